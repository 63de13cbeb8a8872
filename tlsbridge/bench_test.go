package tlsbridge_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

// The peer of the benchmarks is this test binary in another process, so that
// the server's memory and CPU can be told from the client's.
const clientEnv = "WINDHOVER_TLS_CLIENT"

func TestMain(m *testing.M) {
	if job := os.Getenv(clientEnv); job != "" {
		if err := client(job); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if left := leaked(); code == 0 && left != "" {
		fmt.Printf("goroutines are left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines of ours that do not end.
func leaked() string {
	var left []string
	for range 100 {
		buf := make([]byte, 1<<20)
		left = left[:0]
		for _, s := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(s, "windhover/") && !strings.Contains(s, ".TestMain(") {
				left = append(left, s)
			}
		}
		if len(left) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return strings.Join(left, "\n\n")
}

const (
	request  = "GET /some/path HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
	response = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!"

	bigRequest = "GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"
	bigHead    = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1048576\r\n\r\n"
)

var bigBody = bytes.Repeat([]byte("windhover"), 1<<20/9+1)[:1<<20]

// client connects as often as the job says, makes a request on each connection
// and says so. Then it obeys lines of standard input: "run DURATION" makes
// requests on all connections, "big DURATION" large ones, "shake DURATION" and
// "resume DURATION" make handshakes; each is answered with how many.
func client(job string) error {
	var addr string
	var conns, depth int
	if _, err := fmt.Sscanf(job, "%s %d %d", &addr, &conns, &depth); err != nil {
		return err
	}
	cert, err := os.ReadFile(os.Getenv(clientEnv + "_CA"))
	if err != nil {
		return err
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	cfg.RootCAs.AppendCertsFromPEM(cert)
	all := make([]*requester, conns)
	for i := range all {
		c, err := tls.Dial("tcp", addr, cfg)
		if err != nil {
			return err
		}
		all[i] = &requester{c: c, r: bufio.NewReader(c), out: []byte(strings.Repeat(request, depth)), depth: depth}
		if _, err := all[i].do(); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var what, dur string
		fmt.Sscanf(in.Text(), "%s %s", &what, &dur)
		d, err := time.ParseDuration(dur)
		if err != nil {
			return err
		}
		do := func(i int) (int, error) { return all[i].do() }
		workers := conns
		switch what {
		case "big":
			for _, r := range all {
				r.out = []byte(bigRequest)
			}
		case "shake", "resume":
			workers = 8
			do = func(int) (int, error) { return handshake(addr, cfg, what == "resume") }
		}
		n, err := repeat(workers, d, do)
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
	return nil
}

var sessions = tls.NewLRUClientSessionCache(64)

func handshake(addr string, cfg *tls.Config, resume bool) (int, error) {
	cfg = cfg.Clone()
	if resume {
		cfg.ClientSessionCache = sessions
	}
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	r := &requester{c: c, r: bufio.NewReader(c), out: []byte(request), depth: 1}
	return r.do()
}

type requester struct {
	c     net.Conn
	r     *bufio.Reader
	out   []byte
	depth int
}

// do makes depth requests at once and reads the responses.
func (r *requester) do() (int, error) {
	if _, err := r.c.Write(r.out); err != nil {
		return 0, err
	}
	for range r.depth {
		length := 0
		for {
			line, err := r.r.ReadSlice('\n')
			if err != nil {
				return 0, err
			}
			if len(line) <= 2 {
				break
			}
			if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				fmt.Sscan(string(v), &length)
			}
		}
		if _, err := r.r.Discard(length); err != nil {
			return 0, err
		}
	}
	return r.depth, nil
}

// repeat has n workers call do for a while and returns the sum.
func repeat(n int, d time.Duration, do func(i int) (int, error)) (int, error) {
	var mu sync.Mutex
	var total int
	var first error
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for i := range n {
		wg.Go(func() {
			sum := 0
			var err error
			for err == nil && time.Now().Before(end) {
				var k int
				k, err = do(i)
				sum += k
			}
			mu.Lock()
			defer mu.Unlock()
			total += sum
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return total, first
}

// loader is the client process.
type loader struct {
	in  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

func startLoader(b *testing.B, addr net.Addr, ca string, conns, depth int) *loader {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", clientEnv, addr, conns, depth), clientEnv+"_CA="+ca)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	l := &loader{in, bufio.NewScanner(out), cmd}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if !l.out.Scan() || l.out.Text() != "ready" {
		b.Fatalf("client: %s", l.out.Text())
	}
	return l
}

func (l *loader) do(b *testing.B, what string, d time.Duration) int {
	b.Helper()
	fmt.Fprintln(l.in, what, d)
	var n int
	if !l.out.Scan() {
		b.Fatal("the client has ended")
	}
	if _, err := fmt.Sscan(l.out.Text(), &n); err != nil {
		b.Fatalf("client: %s", l.out.Text())
	}
	return n
}

// answer is an inner protocol that answers each request.
type answer struct{ link listen.Link }

func (a *answer) Data(p []byte) listen.Verdict {
	if bytes.Contains(p, []byte("/big")) {
		a.link.End(append(a.link.Begin(), bigHead...))
		if _, err := a.link.Write(bigBody); err != nil {
			return listen.Abort
		}
		return listen.Wait
	}
	for range bytes.Count(p, []byte("\r\n\r\n")) {
		a.link.End(append(a.link.Begin(), response...))
	}
	return listen.Wait
}
func (a *answer) EOF() listen.Verdict     { return listen.Close }
func (a *answer) Expired() listen.Verdict { return listen.Close }
func (a *answer) Drain() listen.Verdict   { return listen.Close }
func (a *answer) Lost(error)              {}
func (a *answer) Gone(error)              {}

// servers are what is compared. Each serves the development certificate until
// the benchmark ends.
var servers = []struct {
	name  string
	start func(b *testing.B, ln net.Listener, pair tls.Certificate)
}{
	{"ring", func(b *testing.B, ln net.Listener, pair tls.Certificate) {
		tr, err := ring.New(ring.Options{})
		if err != nil {
			b.Skipf("no io_uring here: %v", err)
		}
		serveBridge(b, tr, ln, pair)
	}},
	{"portable", func(b *testing.B, ln net.Listener, pair tls.Certificate) {
		serveBridge(b, &portable.Transport{}, ln, pair)
	}},
	{"goroutine per tls.Conn", func(b *testing.B, ln net.Listener, pair tls.Certificate) {
		tl := tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}})
		b.Cleanup(func() { tl.Close() })
		go func() {
			for {
				c, err := tl.Accept()
				if err != nil {
					return
				}
				go serveConn(c)
			}
		}()
	}},
	{"net-http", func(b *testing.B, ln net.Listener, pair tls.Certificate) {
		s := &http.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				if r.URL.Path == "/big" {
					w.Header().Set("Content-Length", "1048576")
					w.Write(bigBody)
					return
				}
				io.WriteString(w, "Hello, world!")
			}),
		}
		b.Cleanup(func() { s.Close() })
		go s.ServeTLS(ln, "", "")
	}},
}

// serveConn is the plainest server that crypto/tls allows.
func serveConn(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	var out []byte
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		out = out[:0]
		if bytes.Contains(buf[:n], []byte("/big")) {
			io.WriteString(c, bigHead)
			if _, err := c.Write(bigBody); err != nil {
				return
			}
			continue
		}
		for range bytes.Count(buf[:n], []byte("\r\n\r\n")) {
			out = append(out, response...)
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func serveBridge(b *testing.B, tr listen.Transport, ln net.Listener, pair tls.Certificate) {
	bridge, err := tlsbridge.New(&tlsbridge.Config{Certificates: []tlsbridge.Certificate{{TLS: &pair}}})
	if err != nil {
		b.Fatal(err)
	}
	go tr.Serve(ln, listen.Options{}, bridge.Wrap(func(l listen.Link) listen.Protocol { return &answer{l} }, nil))
	b.Cleanup(func() { tr.Close() })
}

// eachServer starts every server with a client of so many connections.
func eachServer(b *testing.B, conns, depth int, f func(b *testing.B, l *loader)) {
	cert, err := devCert()
	if err != nil {
		b.Fatal(err)
	}
	ca := b.TempDir() + "/ca.pem"
	if err := os.WriteFile(ca, cert.CertPEM, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s.start(b, ln, cert.TLS())
			f(b, startLoader(b, ln.Addr(), ca, conns, depth))
		})
	}
}

// BenchmarkIdleMemory reports the bytes of heap and of stacks that a waiting
// TLS 1.3 connection costs after one request. Goal: 6 KiB on the ring.
func BenchmarkIdleMemory(b *testing.B) {
	const conns = 2000
	eachServer(b, 1, 1, func(b *testing.B, l *loader) {
		ca, job := envOf(l, clientEnv+"_CA="), envOf(l, clientEnv+"=")
		addr, _, _ := strings.Cut(job, " ")
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		before := memory()
		startLoader(b, a, ca, conns, 1)
		after := memory()
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/conns, "heap-B/conn")
		b.ReportMetric(float64(int64(after.StackInuse)-int64(before.StackInuse))/conns, "stack-B/conn")
		b.ReportMetric(0, "ns/op")
	})
}

func envOf(l *loader, prefix string) string {
	for _, e := range l.cmd.Env {
		if v, ok := strings.CutPrefix(e, prefix); ok {
			return v
		}
	}
	return ""
}

func memory() runtime.MemStats {
	// Finalizers and pools need more than one collection; the second shrinks
	// stacks that the first has found too large.
	for range 4 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}
