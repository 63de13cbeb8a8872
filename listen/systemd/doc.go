// Package systemd takes over the sockets that systemd has opened for a service
// (socket activation) and tells systemd how the service is doing (sd_notify).
//
//	systemd ── descriptors 3, 4, …; LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES ──▶ [Inherit]
//	systemd ◀── datagrams to $NOTIFY_SOCKET: READY=1, STOPPING=1, … ── [Notify]
//
// Where systemd has not started the process, Inherit finds no sockets and
// Notify does nothing; so programs call them everywhere.
package systemd
