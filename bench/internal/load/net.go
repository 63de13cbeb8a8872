package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// netRun drives the load with a goroutine per connection.
type netRun struct {
	spec   *Spec
	dialer net.Dialer
	batch  []byte
	base   time.Time
	dials  atomic.Int64
	errors atomic.Int64
	open   atomic.Bool
	closed chan struct{} // when the window is over
	cancel context.CancelFunc

	answered atomic.Int64 // within the window

	mu    sync.Mutex // guards sched
	sched schedule
}

// runNet is Run over package net and crypto/tls.
func runNet(ctx context.Context, spec *Spec) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &netRun{spec: spec, batch: spec.batch(), cancel: cancel, closed: make(chan struct{})}
	if spec.Mode == Open {
		r.sched = newSchedule(spec.Rate, spec.Warmup+spec.Duration)
	}
	workers := make([]*worker, spec.Conns)
	defer func() {
		for _, w := range workers {
			w.close()
		}
	}()
	for i := range workers {
		workers[i] = newWorker(r)
		if spec.Mode == Churn {
			continue
		}
		if err := workers[i].dial(ctx); err != nil {
			return nil, err
		}
	}
	return r.drive(ctx, workers)
}

func (r *netRun) drive(ctx context.Context, workers []*worker) (*Result, error) {
	r.base = time.Now()
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.run(ctx) })
	}
	elapsed := r.window(ctx)
	wg.Wait()
	total := &Result{Latency: NewHistogram(), Elapsed: elapsed}
	for _, w := range workers {
		w.res.Out = w.out.Load()
		total.add(&w.res)
	}
	return total, nil
}

// window opens and closes the window and returns its length.
func (r *netRun) window(ctx context.Context) time.Duration {
	if !sleep(ctx, time.Until(r.base.Add(r.spec.Warmup))) {
		close(r.closed)
		return 0
	}
	r.edge(true)
	start := time.Now()
	r.open.Store(true)
	sleep(ctx, r.spec.Duration)
	for late := time.Duration(0); r.answered.Load() < int64(r.spec.Least) && late < r.spec.Drain && sleep(ctx, time.Millisecond); {
		late += time.Millisecond
	}
	r.open.Store(false)
	close(r.closed)
	elapsed := time.Since(start)
	r.edge(false)
	return elapsed
}

func (r *netRun) edge(open bool) {
	if r.spec.Edge != nil {
		r.spec.Edge(open)
	}
}

// sleep waits for d and reports whether it was not cut short.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// over reports whether the window is closed.
func (r *netRun) over() bool {
	select {
	case <-r.closed:
		return true
	default:
		return false
	}
}

// arrival takes the next arrival of the schedule.
func (r *netRun) arrival() (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.sched.arrival()
	r.sched.take()
	return at, ok
}

// worker is one connection after the other.
type worker struct {
	r    *netRun
	conn net.Conn
	head headParser
	buf  []byte
	have []byte // received and not yet used, in buf
	res  Result
	out  atomic.Int64 // Result.Out: a large request is sent by another goroutine
}

// netBuffer is what a worker reads at once: a TLS record.
const netBuffer = 16 << 10

func newWorker(r *netRun) *worker {
	return &worker{
		r: r, buf: make([]byte, netBuffer),
		head: headParser{status: r.spec.Status, length: r.spec.Length},
		res:  Result{Latency: NewHistogram()},
	}
}

func (w *worker) close() {
	if w != nil && w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// dial connects, with the TLS handshake and the upgrade if there is one.
func (w *worker) dial(ctx context.Context) error {
	d := w.r.dialer
	if w.r.spec.Mode == Churn {
		d.LocalAddr = sourceAddr(w.r.spec.Addr, w.r.dials.Add(1))
	}
	c, err := d.DialContext(ctx, "tcp", w.r.spec.Addr)
	if err != nil {
		return err
	}
	w.conn, w.have = c, nil
	if err := c.SetDeadline(time.Now().Add(w.r.spec.Warmup + w.r.spec.Duration + 2*w.r.spec.Drain)); err != nil {
		return err
	}
	if w.r.spec.TLS != nil {
		t := tls.Client(c, w.r.spec.TLS)
		w.conn = t
		if err := t.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
	}
	if w.r.spec.Upgrade == nil {
		return nil
	}
	if _, err := w.conn.Write(w.r.spec.Upgrade); err != nil {
		return err
	}
	want := headParser{status: 101, length: -1}
	_, err = w.readHead(&want)
	return err
}

// sourceAddr spreads connections over the addresses of the loopback network on
// Linux, which has all of 127.0.0.0/8; see the constant sources.
func sourceAddr(to string, i int64) net.Addr {
	host, _, err := net.SplitHostPort(to)
	if ip := net.ParseIP(host); runtime.GOOS != "linux" || err != nil || !ip.IsLoopback() || ip.To4() == nil {
		return nil
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%200))}
}

// run asks until the window closes.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		at := int64(time.Since(w.r.base))
		if w.r.spec.Mode == Open {
			var more bool
			if at, more = w.r.arrival(); !more {
				return
			}
			if !sleep(ctx, time.Until(w.r.base.Add(time.Duration(at)))) {
				return
			}
		} else if w.r.over() {
			return
		}
		if err := w.exchange(ctx, at); err != nil {
			if ctx.Err() == nil {
				w.fail(err)
			}
			return
		}
	}
}

// fail counts an error and, when there are too many, ends the run.
func (w *worker) fail(err error) {
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		err = ErrUnanswered
	} else if errors.Is(err, io.EOF) {
		err = ErrEarlyClose
	}
	w.res.Errors++
	w.res.First = fmt.Errorf("load: %w", err)
	w.close()
	// A worker fails once, so when all have there is nothing left to wait for.
	if w.r.errors.Add(1) >= int64(min(w.r.spec.MaxErrors, w.r.spec.Conns)) {
		w.r.cancel()
	}
}

// exchange sends one batch and reads its answers; at is when it counts from.
func (w *worker) exchange(ctx context.Context, at int64) error {
	churn := w.r.spec.Mode == Churn
	if churn {
		if err := w.dial(ctx); err != nil {
			return err
		}
		defer w.close()
	}
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Now()) })
	defer stop()
	// A request that is larger than the socket's buffers is answered while it
	// is still being sent only by an echo that streams.
	sent := make(chan error, 1)
	if len(w.r.batch) > netBuffer {
		go func() { sent <- w.send() }()
	} else {
		sent <- w.send()
	}
	for range w.r.spec.Depth {
		if err := w.response(); err != nil {
			return err
		}
		w.count(at)
	}
	if err := <-sent; err != nil {
		return err
	}
	if len(w.have) > 0 {
		return ErrUnasked
	}
	if churn {
		return w.expectEOF()
	}
	return nil
}

func (w *worker) send() error {
	n, err := w.conn.Write(w.r.batch)
	if w.r.open.Load() {
		w.out.Add(int64(n))
	}
	return err
}

// count records a response that was asked for at.
func (w *worker) count(at int64) {
	in := w.r.open.Load()
	if w.r.spec.Mode == Open {
		in = at >= int64(w.r.spec.Warmup)
	}
	if in {
		w.r.answered.Add(1)
		w.res.record(int64(time.Since(w.r.base)) - at)
	}
}

// response reads one answer, or one echoed message.
func (w *worker) response() error {
	if w.r.spec.Upgrade != nil {
		return w.echoed()
	}
	n, err := w.readHead(&w.head)
	if err != nil {
		return err
	}
	return w.body(n, nil)
}

func (w *worker) echoed() error { return w.body(int64(len(w.r.batch)), w.r.batch) }

// readHead reads a head and returns the length of the body after it.
func (w *worker) readHead(p *headParser) (int64, error) {
	for {
		n, err := p.parse(w.have)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			w.have = w.have[n:]
			return max(p.length, 0), nil
		}
		if len(w.have) == len(w.buf) {
			return 0, errors.New("a response head of more than 16 KiB")
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
}

// body takes n bytes, which must equal want unless that is nil.
func (w *worker) body(n int64, want []byte) error {
	for n > 0 {
		if len(w.have) == 0 {
			if err := w.fill(); err != nil {
				return err
			}
		}
		k := min(n, int64(len(w.have)))
		if want != nil {
			if string(want[:k]) != string(w.have[:k]) {
				return ErrNotEchoed
			}
			want = want[k:]
		}
		w.have = w.have[k:]
		n -= k
		if w.r.open.Load() {
			w.res.In += k
		}
	}
	return nil
}

// fill reads more, after what is there.
func (w *worker) fill() error {
	k := copy(w.buf, w.have)
	n, err := w.conn.Read(w.buf[k:])
	w.have = w.buf[:k+n]
	if n > 0 {
		return nil
	}
	return err
}

// expectEOF waits for the server to close.
func (w *worker) expectEOF() error {
	n, err := w.conn.Read(w.buf)
	switch {
	case n > 0:
		return ErrUnasked
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}
