// Package listentest tests transports: [Run] is the conformance suite that
// every [listen.Transport] must pass, [Memory] a network without sockets.
//
//	Run ──Dial──▶ Network ◀──Serve── Transport ──Data, …──▶ scripted Protocol
//	 └────────────── what each side must see ◀────────────────┘
//
// Memory is a net.Listener whose connections are buffered, half-close and have
// deadlines. Everything in it waits on conditions, so that it works in the
// bubbles of testing/synctest, where time passes only when everybody waits.
// portable.Transport on a Memory is the in-memory transport.
//
// Limitations: a Memory knows no reset; what is not read when a connection is
// closed is lost without a word to the peer.
package listentest
