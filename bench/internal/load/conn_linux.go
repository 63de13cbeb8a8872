//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// sources is how many addresses 127.0.0.2, 127.0.0.3, … churn connects from:
// a closed connection blocks its pair of ports for a minute (TIME_WAIT), and one
// address has 28,000 ports.
const sources = 200

// dial connects c. A blocking dial returns when the connection stands;
// otherwise it may still be on its way, and writing waits for it.
func (l *loop) dial(c *conn, block bool) error {
	kind := unix.SOCK_STREAM | unix.SOCK_CLOEXEC
	if !block {
		kind |= unix.SOCK_NONBLOCK
	}
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := l.connect(fd); err != nil {
		unix.Close(fd)
		return err
	}
	if block {
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fd)
			return os.NewSyscallError("fcntl", err)
		}
	}
	c.gen++
	ev := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     c.slot, Pad: c.gen,
	}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("epoll_ctl", err)
	}
	c.fd, c.phase, c.left, c.body, c.out, c.carry = fd, asking, 0, 0, nil, c.carry[:0]
	return nil
}

func (l *loop) connect(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if l.spec.Mode == Churn && l.to.Addr[0] == 127 {
		from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + l.dials%sources)}}
		l.dials++
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := unix.Bind(fd, &from); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	for {
		err := unix.Connect(fd, &l.to)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil && !errors.Is(err, unix.EINPROGRESS) {
			return os.NewSyscallError("connect", err)
		}
		return nil
	}
}

// handle reacts to what epoll says of c.
func (l *loop) handle(c *conn, events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		l.readable(c, events&^(unix.EPOLLIN|unix.EPOLLOUT) != 0)
	}
	if len(c.out) > 0 && c.fd >= 0 && events&unix.EPOLLOUT != 0 {
		l.flush(c)
	}
}

// readable reads what came. After a short read nothing is left (epoll(7)),
// unless the peer has closed: then the end is still to be read.
func (l *loop) readable(c *conn, toEnd bool) {
	gen := c.gen
	for c.fd >= 0 && c.gen == gen {
		off := copy(l.buf, c.carry)
		n, err := unix.Read(c.fd, l.buf[off:])
		switch {
		case n > 0:
			c.carry = c.carry[:0]
			l.consume(c, l.buf[:off+n], l.now())
			if off+n < len(l.buf) && !toEnd {
				return
			}
		case n == 0 && err == nil:
			l.eof(c)
			return
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			l.fail(c, os.NewSyscallError("read", err))
			return
		}
	}
}

// consume takes the bytes b of c's answers, received at now.
func (l *loop) consume(c *conn, b []byte, now int64) {
	for len(b) > 0 && c.left > 0 {
		if c.body > 0 {
			n := min(int64(len(b)), c.body)
			if c.phase == raw && !bytes.Equal(b[:n], l.batch[int64(len(l.batch))-c.body:][:n]) {
				l.fail(c, ErrNotEchoed)
				return
			}
			if l.open {
				l.res.In += n
			}
			c.body -= n
			b = b[n:]
		} else {
			n, err := l.head.parse(b)
			if err != nil {
				l.fail(c, err)
				return
			}
			if n == 0 {
				c.carry = append(c.carry, b...)
				return
			}
			c.body = max(l.head.length, 0)
			b = b[n:]
		}
		if c.body == 0 {
			l.answered(c, now)
		}
	}
	switch {
	case len(b) > 0:
		l.fail(c, ErrUnasked)
	case c.left == 0 && c.phase != closing:
		l.next(c, now)
	}
}

// answered counts one complete response.
func (l *loop) answered(c *conn, now int64) {
	c.left--
	if c.phase == upgrading {
		return
	}
	if l.spec.Mode == Open {
		if c.started >= int64(l.spec.Warmup) {
			l.res.record(now - c.started)
		}
		return
	}
	if l.open {
		l.res.record(now - c.started)
	}
}

// next follows the last answer of a batch.
func (l *loop) next(c *conn, now int64) {
	switch {
	case len(c.out) > 0:
		l.fail(c, errors.New("the server answered before it had the whole request"))
	case c.phase == upgrading:
		c.phase = raw
		l.ready(c, now)
	case l.spec.Mode == Churn:
		c.phase = closing
	default:
		l.ready(c, now)
	}
}

// ready takes an idle connection: it sends again, or waits for an arrival.
func (l *loop) ready(c *conn, now int64) {
	switch {
	case l.spec.Mode == Open:
		l.idle.push(c)
		l.arrive()
	case !l.ending:
		l.issue(c, now)
	}
}

// issue sends the next batch, which counts from the time at.
func (l *loop) issue(c *conn, at int64) {
	c.started, c.left, c.out = at, l.spec.Depth, l.batch
	if c.phase == raw {
		c.body = int64(len(l.batch))
	}
	l.flush(c)
}

// flush sends what the socket takes.
func (l *loop) flush(c *conn) {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case n > 0:
			c.out = c.out[n:]
			if l.open {
				l.res.Out += int64(n)
			}
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			l.fail(c, os.NewSyscallError("write", err))
			return
		}
	}
}

// eof says that the server has closed c.
func (l *loop) eof(c *conn) {
	if c.phase != closing {
		l.fail(c, ErrEarlyClose)
		return
	}
	unix.Close(c.fd)
	c.fd = -1
	l.renew(c)
}

// renew gives c a new connection and sends its request.
func (l *loop) renew(c *conn) {
	if l.ending {
		return
	}
	at := l.now()
	if err := l.dial(c, false); err != nil {
		l.fail(c, err)
		return
	}
	l.issue(c, at)
}

// fail counts an error and gives the connection up.
func (l *loop) fail(c *conn, err error) {
	l.res.Errors++
	if l.res.First == nil {
		l.res.First = fmt.Errorf("load: %w", err)
	}
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
	c.left, c.phase = 0, asking
	l.live--
}

// arrive sends the requests of an open loop that are due, as far as there are
// free connections, and sets the timer for the next.
func (l *loop) arrive() {
	if l.spec.Mode != Open {
		return
	}
	for l.idle.len() > 0 {
		at, more := l.sched.arrival()
		if !more {
			return
		}
		if wait := at - l.now(); wait > 0 {
			if l.armed != at {
				l.armed = at
				l.arm(wait)
			}
			return
		}
		c := l.idle.pop()
		if c.fd < 0 {
			continue
		}
		l.sched.take()
		l.issue(c, at)
	}
}

// arm makes the loop wake up in ns nanoseconds.
func (l *loop) arm(ns int64) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(ns)}
	if err := unix.TimerfdSettime(l.timer, 0, &spec, nil); err != nil {
		panic(os.NewSyscallError("timerfd_settime", err)) // a valid time on our own fd
	}
}

// queue is a ring of the connections that wait for an arrival, first in first
// out, so that all take part.
type queue struct {
	ring    []*conn
	head, n int
}

func newQueue(size int) queue { return queue{ring: make([]*conn, max(size, 1))} }

func (q *queue) len() int { return q.n }

func (q *queue) push(c *conn) {
	q.ring[(q.head+q.n)%len(q.ring)] = c
	q.n++
}

func (q *queue) pop() *conn {
	c := q.ring[q.head]
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	return c
}
