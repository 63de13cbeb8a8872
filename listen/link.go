package listen

import (
	"context"
	"errors"
	"net"
	"time"
)

// ErrSlowPeer is the reason given to [Protocol.Lost] and returned by writes
// when the peer took bytes more slowly than [Link.SetSendRate] demands.
var ErrSlowPeer = errors.New("listen: peer reads more slowly than the minimum data rate")

// ErrServerClosed is returned by [Transport.Serve] after Shutdown or Close.
var ErrServerClosed = errors.New("listen: transport closed")

// Verdict is what a [Protocol] wants done with its connection when one of its
// calls returns.
type Verdict uint8

const (
	// Wait keeps the connection: the protocol needs more input or has nothing
	// to do. The transport sends what is queued and calls again on the next
	// event. A waiting connection owns no goroutine and no buffer of the
	// transport (portable: one parked goroutine).
	Wait Verdict = iota
	// Close sends what is queued, half-closes, discards input for a bounded
	// time so that a reset cannot destroy the last response (lingering
	// close, RFC 9112 section 9.6), then closes.
	Close
	// Abort drops the connection at once, discarding what is queued.
	Abort
	// Detached says that [Link.Detach] has handed the connection to somebody
	// else. The transport forgets it without touching the socket.
	Detached
	// Finish is Close for a peer that has promised to send nothing more, such
	// as with "Connection: close" (RFC 9112 section 9.6), so that no reset
	// threatens the last response: a transport need not wait for its end. One
	// that has seen the promise broken, or to which it makes no difference,
	// does what Close says.
	Finish
)

// Protocol is the server side of one connection, driven by a [Transport].
//
// Data, EOF, Expired, Drain and Lost are serialised: the transport never calls
// one while another is running. They run on a goroutine of the transport's
// choosing and, Lost excepted, may block in the methods of [Link] or in a
// handler; a transport that serves several connections on that goroutine sees
// to it that the others go on (see [Link.Leave]).
type Protocol interface {
	// Data delivers bytes from the peer. p is lent until Data returns.
	// Whatever Data does not use it must copy.
	Data(p []byte) Verdict

	// EOF says that the peer has half-closed and everything it sent has been
	// delivered. It is called at most once, and not when a [Link.Read] has
	// already returned io.EOF.
	EOF() Verdict

	// Expired says that the read deadline passed while the connection was
	// waiting, or before. It is told once; then there is no deadline.
	Expired() Verdict

	// Drain says that the server wants idle connections gone, because it is
	// stopping or persistent connections were switched off: finish what is
	// under way and start nothing new. It is called while the connection is
	// waiting, and may be called again.
	Drain() Verdict

	// Lost is the last call: the connection has ended, or was detached. err is
	// nil when the protocol itself ended it, else the reason. Lost must not
	// block.
	Lost(err error)

	// Gone may be called at any time, from any goroutine, while another call
	// is running: the peer has half-closed (io.EOF) or the connection broke
	// (any other error). It may come more than once, must not block, and is
	// promised only after [Link.Watch].
	Gone(err error)
}

// Link is a [Transport]'s view of one connection, used by its [Protocol].
//
// One goroutine may read and another may write at the same time; each side
// serves one goroutine at a time. SetReadDeadline, SetWriteDeadline, Abort and
// the address methods may be called from any goroutine.
type Link interface {
	// Begin opens the tail of the send queue and End commits what was
	// appended to it:
	//
	//	b := link.Begin()
	//	b = append(b, "HTTP/1.1 200 OK\r\n"...)
	//	link.End(b)
	//
	// The queue is locked in between, so nothing may block there. What End
	// commits is sent when the running Protocol call returns, on Flush or
	// Write, before a Read blocks, or after about a millisecond, whichever
	// comes first: pipelined responses leave in one send, and a handler that
	// blocks delays no response that was finished before it. So that a lone
	// response costs no timer, the millisecond may begin with the next Begin of
	// the same call: a protocol that goes on to the next piece of work with
	// bytes queued shows it by another Begin and End, which may add nothing.
	// End may wait for the peer, as Flush does, when more than SendBuffer is
	// queued.
	// End with a slice shorter than Begin returned is not allowed.
	Begin() []byte
	End(b []byte)

	// Flush starts sending what is queued, and returns when less than the
	// response buffer limit ([Options].SendBuffer) is unsent.
	Flush() error

	// Write sends what is queued, then p. p is lent until Write returns. It
	// blocks as Flush does.
	Write(p []byte) (int, error)

	// Read returns the next bytes that the peer sent after those already
	// delivered by Data. It blocks until there are some, and returns io.EOF
	// after the peer's half-close and os.ErrDeadlineExceeded after the read
	// deadline. Only for use while a Protocol call is running, or after one
	// in which the protocol has promised not to return (an upgrade).
	Read(p []byte) (int, error)

	// SetReadDeadline bounds Read and, between calls, the wait for input
	// (Expired). The zero time means none. Cheap: transports re-arm lazily.
	SetReadDeadline(t time.Time)

	// SetWriteDeadline bounds Write, Flush and the sending of what is
	// queued. The zero time means none.
	SetWriteDeadline(t time.Time)

	// SetSendRate makes the transport abort the connection with
	// [ErrSlowPeer] when, while bytes are unsent, the peer accepts fewer than
	// bytesPerSecond on average after grace (Kestrel MinResponseDataRate:
	// each send adds its size divided by the rate to a deadline that starts
	// no earlier than now plus grace). Zero switches it off.
	SetSendRate(bytesPerSecond float64, grace time.Duration)

	// Watch asks for Gone when the peer closes while the protocol is busy and
	// nobody reads. It lasts until the running call returns. The transport
	// may read ahead, within [Options].ReceiveBuffer, to find out. Watch never
	// calls Gone itself: callers may hold locks.
	Watch()

	// Leave says that the caller is about to block or to compute for long. A
	// transport that runs protocols on its event loop moves the loop to
	// another goroutine; elsewhere it does nothing. The methods of Link that
	// block call it by themselves.
	Leave()

	// Detach takes the connection out of the transport: it returns a net.Conn
	// for it (*net.TCPConn for TCP, *net.UnixConn for Unix sockets) and the
	// bytes received but neither delivered by Data nor read. Queued bytes are
	// sent first; deadlines and rates are cleared. Afterwards only the
	// address methods may be used, and the running call must return Detached.
	Detach() (conn net.Conn, received []byte, err error)

	// NetConn returns the net.Conn that stands for this connection in
	// callbacks such as http.Server's ConnState. It is the same value each
	// time, and the one Detach returns. It must be used only for its
	// addresses and identity before Detach, and closing it aborts.
	NetConn() net.Conn

	// CloseWrite sends what is queued, then half-closes. Reads go on.
	CloseWrite() error

	// Abort breaks the connection: reads and writes fail with net.ErrClosed,
	// Gone is called, and whatever Verdict the protocol returns, the socket
	// is closed. It does not block and may be called at any time, also twice.
	Abort()

	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// A Link may also implement io.ReaderFrom to send from a source more cheaply
// than by Write, such as with sendfile(2) from an *os.File, possibly inside an
// *io.LimitedReader. ReadFrom sends what is queued first. When r is of no help
// to it, it returns 0 and errors.ErrUnsupported and has read nothing.

// Releaser is what a Link may also implement. Release says that the protocol has
// no more use for the bytes that were lent to the running call of Data, though
// the call may go on for long: an upgraded connection that waits needs no buffer.
type Releaser interface {
	Release()
}

// Acceptor makes the protocol for a new connection. A nil result refuses the
// connection: it is closed at once, without a byte. It is called before
// anything is read, must not block, and may be called from several goroutines.
type Acceptor func(Link) Protocol

// Options bound what a transport buffers for one connection. The zero value of
// each field means the default in its comment; a negative value means no bound.
type Options struct {
	// ReceiveBuffer is how many bytes a transport may hold that the protocol
	// has not taken; at the limit it stops receiving until below. Default
	// 1,048,576 (Kestrel MaxRequestBufferSize).
	ReceiveBuffer int
	// SendBuffer is how many unsent bytes let Write and Flush return.
	// Default 65,536 (Kestrel MaxResponseBufferSize).
	SendBuffer int
	// Linger is how long a closing connection discards input. Default 5 s
	// (Kestrel's drain timeout); in practice the peer's FIN ends it.
	Linger time.Duration
	// Delay leaves Nagle's algorithm on: TCP_NODELAY, which package net sets on
	// each TCP connection, is switched off.
	Delay bool
	// Greet, if set, is called on the connection's own goroutine before
	// anything is read, by transports that give a connection one: for what
	// package net hands out half made, such as a *tls.Conn. taken means that
	// the connection has been served, an error that it is of no use; it is
	// closed in both cases and the protocol gets only Lost. It may be nil.
	Greet func(conn net.Conn) (taken bool, err error)
	// OnError is told of errors that belong to no connection, such as a
	// failed accept that is tried again. It may be nil.
	OnError func(error)
}

// Transport serves connections from listeners. Its methods may be called from
// any goroutine.
type Transport interface {
	// Serve accepts from ln until ln fails or is closed, or the transport is
	// shut down, and then closes ln. It may be called several times at once.
	// A temporary failure of accept (EMFILE and the like) is tried again after
	// 5 ms doubling to 1 s. It returns [ErrServerClosed] after Shutdown or
	// Close, else the listener's error.
	Serve(ln net.Listener, opt Options, accept Acceptor) error

	// DrainIdle calls Drain once on every connection that is waiting now, and
	// may call it on busy ones when they next wait. It does not wait for the
	// calls.
	DrainIdle()

	// Shutdown closes the listeners, calls Drain on waiting connections (and
	// on busy ones when they next wait), and returns when no connection is
	// left. When ctx ends first it returns ctx's error and the connections
	// stay as they are.
	Shutdown(ctx context.Context) error

	// Close closes the listeners and aborts every connection. It does not
	// wait for protocols to return.
	Close() error
}
