package listen

// reusePort is SO_REUSEPORT_LB: with SO_REUSEPORT alone one of the sockets
// gets all connections.
const reusePort = 0x10000
