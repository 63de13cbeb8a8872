//go:build unix

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
)

// manyTunnels is how many connections are upgraded at a time.
func manyTunnels() int {
	if raceEnabled || testing.Short() {
		return 1000
	}
	return 10_000
}

// maxTunnelBytes is what an idle upgraded connection may cost: the goroutine of
// its handler and what the server keeps for it. It is far above what is
// measured and below one buffer more.
// With TLS there are crypto/tls's state and a deeper stack.
const (
	maxTunnelBytes    = 16 << 10
	maxTLSTunnelBytes = 32 << 10
)

// tunnelClient, in the environment, makes of the test program the client of many
// connections: "ADDRESS NUMBER KIND", where the kind is upgrade, tls or
// tls-upgrade.
const tunnelClient = "WINDHOVER_E2E_TUNNELS"

// A tunnelServer is the other side.
type tunnelServer interface {
	Serve(net.Listener) error
	ServeTLS(ln net.Listener, certFile, keyFile string) error
	Shutdown(context.Context) error
}

// TestManyUpgradedConnections pins that thousands of upgraded connections at
// once all work, that what they cost is bounded, and that nothing of them is
// left. It logs what they cost beside net/http's.
func TestManyUpgradedConnections(t *testing.T) {
	n := manyTunnels()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil || uint64(files.Cur) < uint64(n+500) {
		t.Skipf("%d connections need more descriptors than the %d that this process may have (%v)", n, files.Cur, err)
	}
	hijack, upgrade := http.HandlerFunc(hijackEcho), http.HandlerFunc(upgradeEcho)
	for _, tt := range []struct {
		name, transport string
		server          tunnelServer
		kind            string
		n               int
	}{
		{"net-http-Hijack", "net/http", &http.Server{Handler: hijack}, "upgrade", n / 4},
		{"portable-Hijack", "portable", &windhover.Server{Handler: hijack, Transport: windhover.Portable}, "upgrade", n / 4},
		{"portable-Upgrade", "portable", &windhover.Server{Handler: upgrade, Transport: windhover.Portable}, "upgrade", n},
		{"ring-Hijack", "ring", &windhover.Server{Handler: hijack, Transport: windhover.Ring}, "upgrade", n / 4},
		{"ring-Upgrade", "ring", &windhover.Server{Handler: upgrade, Transport: windhover.Ring}, "upgrade", n},
		{"net-http-Hijack-tls", "net/http", &http.Server{Handler: hijack, TLSConfig: serverTLS(t)}, "tls-upgrade", n / 10},
		{"portable-Upgrade-tls", "portable", &windhover.Server{Handler: upgrade, Transport: windhover.Portable, TLSConfig: serverTLS(t)}, "tls-upgrade", n / 10},
		{"ring-Upgrade-tls", "ring", &windhover.Server{Handler: upgrade, Transport: windhover.Ring, TLSConfig: serverTLS(t)}, "tls-upgrade", n / 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needTransport(t, tt.transport)
			testManyTunnels(t, tt.server, tt.kind, tt.n)
		})
	}
}

// maxIdleTLSBytes is what an idle keep-alive connection with TLS 1.3 may cost on
// the ring. It is above what is measured, and below one buffer or stack more.
const maxIdleTLSBytes = 7 << 10

// spareGoroutines is how many the ring may keep for the next work, however many
// connections there are: one for each loop, and some that end.
func spareGoroutines() int { return 2*runtime.GOMAXPROCS(0) + 8 }

// TestManyIdleTLSConnections pins that on the ring an idle https connection has
// no goroutine, and what it costs. It logs the others' beside it.
func TestManyIdleTLSConnections(t *testing.T) {
	n := manyTunnels() / 5
	server := func(tr windhover.Transport, a app) *windhover.Server {
		s := &windhover.Server{Transport: tr, DisableHTTP2: true, TLSConfig: serverTLS(t)}
		if a.handler != nil {
			s.Handler = a.handler
		} else {
			s.Native = a.native
		}
		return s
	}
	for _, tt := range []struct {
		name, transport string
		server          tunnelServer
		perConn         int // goroutines
	}{
		{"net-http", "net/http", &http.Server{Handler: hello.handler, TLSConfig: serverTLS(t), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}, 1},
		{"portable", "portable", server(windhover.Portable, app{handler: hello.handler}), 1},
		{"ring", "ring", server(windhover.Ring, app{handler: hello.handler}), 0},
		{"ring-native", "ring", server(windhover.Ring, app{native: hello.native}), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needTransport(t, tt.transport)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				done <- tt.server.(interface {
					ServeTLS(_ net.Listener, _, _ string) error
				}).ServeTLS(ln, "", "")
			}()
			startTunnels(t, ln.Addr(), 1, "tls").end(t)
			before, goroutinesBefore := memoryInUse(), runtime.NumGoroutine()
			c := startTunnels(t, ln.Addr(), n, "tls")
			// The goroutines of handshakes end a little later than those do.
			var each int64
			var more int
			for tick, limit := time.NewTicker(50*time.Millisecond), time.Now().Add(patience); ; <-tick.C {
				each = (memoryInUse() - before) / int64(n)
				more = runtime.NumGoroutine() - goroutinesBefore
				if more <= n*tt.perConn+spareGoroutines() || time.Now().After(limit) {
					tick.Stop()
					break
				}
			}
			t.Logf("%d bytes of heap and stack for each of %d idle connections, %d goroutines", each, n, more)
			if more > n*tt.perConn+spareGoroutines() {
				t.Errorf("%d goroutines, want %d for each and some", more, tt.perConn)
			}
			if tt.transport == "ring" && !raceEnabled && each > maxIdleTLSBytes {
				t.Errorf("more than %d bytes", maxIdleTLSBytes)
			}
			c.check(t) // they still live
			c.end(t)
			if err := tt.server.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := await(t, "Serve to return", done); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve returned %v", err)
			}
		})
	}
}

// serverTLS is for servers that are asked by name or not.
func serverTLS(t *testing.T) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
}

func testManyTunnels(t *testing.T, s tunnelServer, kind string, n int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	if kind == "upgrade" {
		go func() { done <- s.Serve(ln) }()
	} else {
		go func() { done <- s.ServeTLS(ln, "", "") }()
	}
	// One connection before, for what a server makes once.
	startTunnels(t, ln.Addr(), 1, kind).end(t)
	before, goroutinesBefore := memoryInUse(), runtime.NumGoroutine()

	c := startTunnels(t, ln.Addr(), n, kind)
	c.check(t)
	each := (memoryInUse() - before) / int64(n)
	t.Logf("%d bytes of heap and stack for each of %d idle upgraded connections, %.2f goroutines",
		each, n, float64(runtime.NumGoroutine()-goroutinesBefore)/float64(n))
	w, ours := s.(*windhover.Server)
	bounded := ours && !raceEnabled // the race detector keeps things of its own
	limit := int64(maxTunnelBytes)
	if kind != "upgrade" {
		limit = maxTLSTunnelBytes
	}
	if bounded && each > limit {
		t.Errorf("more than %d bytes", limit)
	}
	if ours {
		if open := w.Stats().Connections; open != 0 {
			t.Errorf("%d of them still count as HTTP connections", open)
		}
	}
	c.check(t) // they still live
	c.end(t)

	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := await(t, "Serve to return", done); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
	if left := memoryInUse() - before; bounded && left > int64(n)*limit/8 {
		t.Errorf("%d bytes are left of them", left)
	}
}

// memoryInUse is what heap and stacks hold when the goroutines of connections
// that have ended are gone.
func memoryInUse() int64 {
	var m runtime.MemStats
	for range 3 { // pools and finalizers take two, stacks shrink at each
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func hijackEcho(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	io.WriteString(conn, switching+"Connection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	echoSmall(conn)
}

func upgradeEcho(w http.ResponseWriter, r *http.Request) {
	conn, err := proto.Upgrade(w, r, "echo")
	if err != nil {
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
		return
	}
	echoSmall(conn)
}

func echoSmall(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 256)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}

// tunnels are the client, another process: the two sides together may have more
// descriptors than one.
type tunnels struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startTunnels connects n times and upgrades each connection, or shakes hands on
// it and makes a request.
func startTunnels(t *testing.T, addr net.Addr, n int, kind string) *tunnels {
	t.Helper()
	c := &tunnels{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", tunnelClient, addr, n, kind))
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.in.Close()
		_ = c.cmd.Process.Kill() // it has ended in most tests
		_ = c.cmd.Wait()
	})
	c.await(t)
	return c
}

// await waits until the client has done what it was told to.
func (c *tunnels) await(t *testing.T) {
	t.Helper()
	if !c.out.Scan() || c.out.Text() != "ok" {
		t.Fatalf("the client: %q", c.out.Text())
	}
}

// check sends a message, or a request, over each connection and awaits its echo.
func (c *tunnels) check(t *testing.T) {
	t.Helper()
	io.WriteString(c.in, "check\n")
	c.await(t)
}

// end closes the connections, each after the server has closed its side.
func (c *tunnels) end(t *testing.T) {
	t.Helper()
	io.WriteString(c.in, "end\n")
	c.await(t)
}

// runTunnelClient is the client's program.
func runTunnelClient(job string) error {
	var addr, kind string
	var n int
	if _, err := fmt.Sscanf(job, "%s %d %s", &addr, &n, &kind); err != nil {
		return err
	}
	conns := make([]net.Conn, n)
	each := func(f func(i int) error) error {
		var wg sync.WaitGroup
		errs := make(chan error, n)
		for worker := range 32 {
			wg.Go(func() {
				for i := worker; i < n; i += 32 {
					if err := f(i); err != nil {
						errs <- fmt.Errorf("connection %d: %w", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		return <-errs
	}
	err := each(func(i int) (err error) {
		d := net.Dialer{KeepAlive: -1}
		if conns[i], err = d.Dial("tcp", addr); err != nil {
			return err
		}
		conns[i].SetDeadline(time.Now().Add(time.Minute))
		if kind != "upgrade" { // who the server is does not matter here
			conns[i] = tls.Client(conns[i], &tls.Config{InsecureSkipVerify: true})
		}
		if kind == "tls" {
			return requestOne(conns[i])
		}
		return upgradeOne(conns[i])
	})
	if err != nil {
		return err
	}
	fmt.Println("ok")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		f := func(i int) error { return echoOne(conns[i]) }
		switch {
		case in.Text() == "end" && kind == "tls":
			f = func(i int) error { return conns[i].Close() }
		case in.Text() == "end":
			f = func(i int) error { return endOne(conns[i]) }
		case kind == "tls":
			f = func(i int) error { return requestOne(conns[i]) }
		}
		if err := each(f); err != nil {
			return err
		}
		fmt.Println("ok")
	}
	return in.Err()
}

func requestOne(c net.Conn) error {
	if _, err := io.WriteString(c, get("/")); err != nil {
		return err
	}
	b := make([]byte, 0, 1024)
	for !strings.HasSuffix(string(b), "\r\n\r\nhello") {
		n, err := c.Read(b[len(b):cap(b)])
		if err != nil {
			return fmt.Errorf("after %q: %w", b, err)
		}
		b = b[:len(b)+n]
	}
	return nil
}

func upgradeOne(c net.Conn) error {
	if _, err := io.WriteString(c, upgradeRequest); err != nil {
		return err
	}
	head := make([]byte, 0, 512)
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		n, err := c.Read(head[len(head):cap(head)])
		if err != nil {
			return err
		}
		head = head[:len(head)+n]
	}
	if !strings.HasPrefix(string(head), switching) {
		return fmt.Errorf("the answer is %q", head)
	}
	return nil
}

func echoOne(c net.Conn) error {
	const message = "a message of some length"
	if _, err := io.WriteString(c, message); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != message {
		return fmt.Errorf("%q came back: %w", got, err)
	}
	return nil
}

func endOne(c net.Conn) error {
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		return fmt.Errorf("at the end: %q, %w", rest, err)
	}
	return c.Close()
}
