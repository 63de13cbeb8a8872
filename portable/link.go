package portable

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// What has happened to a link.
const (
	flagAccepted   = 1 << iota // link.proto is set
	flagDrainAsked             // Drain is to be called when the link waits
	flagAborted                // conn has been closed; abortReason says why
	flagClosing                // no more calls but Lost; read deadlines are the transport's
	flagDetached               // conn belongs to somebody else
	flagEnded                  // Lost has been called or is about to be
)

// Whose turn it is.
const (
	waiting uint32 = iota // run waits for input
	calling               // the protocol runs
	watched               // the protocol runs and has called Watch
)

// link is one connection. Its goroutine is in run; that may become another one
// (see watch and renew).
//
// The read side is used by run while it waits, and by the protocol's calls of
// Read while it runs. When the protocol has asked for it, a second goroutine
// may be in watch; mu says who reads. The send queue has a lock of its own,
// sendMu, held by the protocol from Begin to End. While bytes are handed to
// conn no lock is held, but writing is set.
type link struct {
	t     *Transport
	opt   *listen.Options
	conn  net.Conn
	raw   syscall.RawConn // to wait for readiness without a buffer; may be nil
	proto listen.Protocol
	lazy  bool // conn is of use after a timeout, so deadlines may come early

	prev, next *link // guarded by Transport.mu
	listed     bool  // guarded by Transport.mu

	flags atomic.Uint32
	phase atomic.Uint32
	rdl   deadline
	wdl   deadline

	// Reading: used by the goroutine that reads.
	readReady func(fd uintptr) bool // l.tryRead
	errno     error                 // of tryRead
	in        *buffer
	n         int
	readErr   error // sticky: io.EOF or worse; written with mu held
	eofTold   bool  // the protocol knows of the peer's half-close
	got       bool  // run starts with the result of a read that watch has made
	gotErr    error
	lent      *buffer // to the running call of Data
	kept      *buffer // from a call to the read after it
	renewed   bool    // the goroutine has been replaced after its first call
	clean     bool    // everything was sent before the end

	mu          sync.Mutex
	cond        *sync.Cond  // on mu; made when first needed
	ahead       []byte      // read by watch, not yet delivered
	reading     bool        // the protocol is in Read, on conn
	taking      bool        // the protocol is in Read, waiting for watch's read
	watching    bool        // a goroutine is in watch
	handover    bool        // watch is to go on as run
	stopping    bool        // watch is to stop
	parked      bool        // run waits without reading
	blocking    bool        // a write is under way that obeys deadlines
	readLately  bool        // Read was used since the last tick
	timerOn     atomic.Bool // changed with mu held
	toldGone    bool        // watch has reported the end
	gones       int         // calls of Gone under way
	timer       *time.Timer
	rate        sendRate
	rateEnd     int64 // when the peer is too slow; unset: never
	abortReason error

	// Writing.
	sendMu     sync.Mutex
	sendCond   *sync.Cond // on sendMu; made when first needed
	out        *buffer    // the queue; nil when empty
	writing    bool       // somebody is handing bytes to conn
	more       bool       // the writer is to send the queue too
	sent       bool       // something was sent since the last wait
	commits    int        // Ends with something queued, in this call
	sendErr    error      // sticky
	writeReady func(fd uintptr) bool
	wbuf       []byte // for tryWrite; used by the writer, as is wn
	wn         int
}

var _ listen.Link = (*link)(nil)

func newLink(t *Transport, conn net.Conn, opt *listen.Options) *link {
	l := &link{t: t, conn: conn, opt: opt}
	l.rdl.told.Store(never)
	l.wdl.told.Store(never)
	l.phase.Store(calling)
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		l.lazy = true
		l.useRaw()
	}
	return l
}

// stateLink is a link whose conn is a *tls.Conn or the like.
type stateLink struct {
	*link
	state interface{ ConnectionState() tls.ConnectionState }
}

// ConnectionState returns that of the accepted conn.
func (l stateLink) ConnectionState() tls.ConnectionState { return l.state.ConnectionState() }

// handle returns what the protocol is given.
func (l *link) handle() listen.Link {
	if s, ok := l.conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return stateLink{l, s}
	}
	return l
}

// LocalAddr and RemoteAddr implement [listen.Link].
func (l *link) LocalAddr() net.Addr  { return l.conn.LocalAddr() }
func (l *link) RemoteAddr() net.Addr { return l.conn.RemoteAddr() }

// NetConn implements [listen.Link]: the accepted conn itself.
func (l *link) NetConn() net.Conn { return l.conn }

// event is what ends a wait.
type event uint8

const (
	evData event = iota
	evAhead
	evEOF
	evExpired
	evDrain
	evBroken
)

// start is the connection's goroutine.
func (l *link) start() {
	if l.opt.Greet != nil {
		if taken, err := l.greet(); taken || err != nil {
			l.clean = true // there may be an answer, which a reset would destroy
			l.end(err)
			return
		}
	}
	l.phase.Store(waiting)
	l.run()
}

// greet calls Options.Greet; a handler served there may end the goroutine.
func (l *link) greet() (taken bool, err error) {
	returned := false
	defer func() {
		if !returned {
			l.end(nil)
		}
	}()
	taken, err = l.opt.Greet(l.conn)
	returned = true
	l.rearmRead(true) // Greet may have had deadlines of its own
	return taken, err
}

// run serves the connection until it ends or another goroutine goes on.
func (l *link) run() {
	returned := false
	defer func() {
		if !returned {
			// A handler has ended the goroutine with runtime.Goexit.
			l.end(nil)
		}
	}()
	for l.step() {
	}
	returned = true
}

// step waits for an event, has the protocol handle it and does what it wants.
// It is false when the goroutine has no more to do.
func (l *link) step() bool {
	ev, err := l.await()
	if ev == evBroken {
		l.end(err)
		return false
	}
	l.phase.Store(calling)
	switch v := l.call(ev); v {
	case listen.Wait:
		return l.wait()
	case listen.Close, listen.Finish: // the wait is in another goroutine's time
		l.end(l.finish())
	case listen.Detached:
		l.end(nil)
	default:
		l.end(l.failure())
	}
	return false
}

// call lets the protocol handle ev.
func (l *link) call(ev event) listen.Verdict {
	switch ev {
	case evData:
		l.lent, l.in = l.in, nil // watch may read while the call runs
		v := l.proto.Data(l.lent.b[:l.n])
		in := l.lent
		l.lent = nil
		if in == nil { // see Release
			return v
		}
		if v == listen.Wait && l.raw != nil {
			l.kept = in // for the read that usually finds nothing
			return v
		}
		l.putIn(in)
		return v
	case evAhead:
		l.mu.Lock()
		p := l.ahead
		l.ahead = nil
		l.mu.Unlock()
		return l.proto.Data(p)
	case evEOF:
		return l.proto.EOF()
	case evExpired:
		return l.proto.Expired()
	}
	return l.proto.Drain()
}

// Release implements [listen.Releaser].
func (l *link) Release() {
	if in := l.lent; in != nil {
		l.lent = nil
		l.putIn(in)
	}
}

// wait sends what a call has queued and makes the link wait for input. After
// the connection's first call a new goroutine goes on: the stack has grown, and
// would stay so until the collector has run, but many connections send one
// request and then nothing for long.
func (l *link) wait() bool {
	kept := l.kept
	l.kept = nil
	if err := l.flushTurn(); err != nil {
		if kept != nil {
			l.putIn(kept)
		}
		l.end(l.failure())
		return false
	}
	if !l.phase.CompareAndSwap(calling, waiting) {
		if kept != nil {
			l.putIn(kept)
		}
		return l.unwatch()
	}
	if kept != nil {
		l.in = kept
		if !l.renewed {
			l.renewed = true
			go l.run()
			return false
		}
	}
	return true
}

// unwatch ends Watch when a call returns. If a read is under way for it, the
// goroutine there goes on with the connection, and the caller is done.
func (l *link) unwatch() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopTimer()
	l.phase.Store(waiting)
	if l.watching && len(l.ahead) > 0 {
		l.stopWatch()
	}
	if !l.watching {
		return true
	}
	l.handover = true
	if l.flags.Load()&flagDrainAsked != 0 {
		l.kickLocked()
	}
	l.syncRead()
	return false
}

// await waits for input, or for another reason to call the protocol.
func (l *link) await() (event, error) {
	for odd := 0; ; {
		if f := l.flags.Load(); f&(flagAborted|flagDrainAsked) != 0 {
			if f&flagAborted != 0 {
				return evBroken, l.failure()
			}
			l.flags.And(^uint32(flagDrainAsked))
			return evDrain, nil
		}
		if len(l.ahead) > 0 {
			return evAhead, nil
		}
		if l.readErr != nil {
			if l.readErr != io.EOF {
				return evBroken, l.readErr
			}
			if !l.eofTold {
				l.eofTold = true
				return evEOF, nil
			}
			if l.park() {
				return evExpired, nil
			}
			continue
		}
		err := l.receive()
		if err == nil {
			return evData, nil
		}
		if !isTimeout(err) {
			l.readErr = err
			continue
		}
		if l.takeReadDeadline() {
			return evExpired, nil
		}
		if l.early(l.rdl.told.Load()) {
			// A conn that is of no use after a timeout says so again.
			if odd++; odd > 2 {
				return evBroken, err
			}
		}
		l.rearmRead(true)
	}
}

// takeReadDeadline reports whether the read deadline has passed, and if so
// makes it none: Expired is called once for each.
func (l *link) takeReadDeadline() bool {
	if !l.passed(&l.rdl) {
		return false
	}
	a := l.rdl.asked.Load()
	l.rdl.asked.CompareAndSwap(a, unset)
	l.rearmRead(true)
	return true
}

// park waits after the peer's half-close, when there is nothing to read. It
// reports whether the read deadline has passed.
func (l *link) park() (expired bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parked = true
	defer func() { l.parked = false }()
	for l.flags.Load()&(flagAborted|flagDrainAsked) == 0 {
		a := l.rdl.asked.Load()
		if a == unset {
			l.sleep()
			continue
		}
		left := time.Duration(a - l.now())
		if left <= 0 {
			l.rdl.asked.CompareAndSwap(a, unset)
			return true
		}
		alarm := time.AfterFunc(left, func() {
			l.mu.Lock()
			l.wake()
			l.mu.Unlock()
		})
		l.sleep()
		alarm.Stop()
	}
	return false
}

// sleep, with mu held, waits for wake.
func (l *link) sleep() {
	if l.cond == nil {
		l.cond = sync.NewCond(&l.mu)
	}
	l.cond.Wait()
}

// wake, with mu held, wakes those in sleep.
func (l *link) wake() {
	if l.cond != nil {
		l.cond.Broadcast()
	}
}

// askDrain has Drain called when the link next waits, which may be now.
func (l *link) askDrain() {
	l.flags.Or(flagDrainAsked)
	if l.phase.Load() == waiting {
		l.kick()
	}
}
