package portable_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// BenchmarkEcho is one round trip of 100 bytes on a connection of its own, the
// client's work included. Goal: 0 allocations, and the time that a bare
// goroutine on the net.Conn takes (package=net).
func BenchmarkEcho(b *testing.B) {
	reply := make([]byte, 100)
	b.Run("package=portable", func(b *testing.B) {
		ln := listenTCP(b)
		serve(b, ln, listen.Options{}, func(f *funcs) {
			f.link.SetSendRate(240, 5*time.Second)
			f.data = func([]byte) listen.Verdict {
				f.link.SetReadDeadline(time.Now().Add(130 * time.Second))
				f.link.End(append(f.link.Begin(), reply...))
				return listen.Wait
			}
		})
		roundTrips(b, ln)
	})
	b.Run("package=net", func(b *testing.B) {
		ln := listenTCP(b)
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					in := make([]byte, 16<<10)
					for {
						if _, err := c.Read(in); err != nil {
							return
						}
						if _, err := c.Write(reply); err != nil {
							return
						}
					}
				}()
			}
		}()
		roundTrips(b, ln)
	})
}

func roundTrips(b *testing.B, ln net.Listener) {
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		p := make([]byte, 100)
		for pb.Next() {
			if _, err := c.Write(p); err != nil {
				b.Error(err)
				return
			}
			if _, err := io.ReadFull(c, p); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// idleClients is how many connections BenchmarkIdle opens, in another process.
const idleClients = 5000

// BenchmarkIdle measures what a connection costs that waits after one request:
// growth of the resident set (Linux only) and of the stacks. Goal: 5 KiB
// together with what HTTP keeps, which is about 1 KiB.
func BenchmarkIdle(b *testing.B) {
	if addr := os.Getenv("WINDHOVER_IDLE_CLIENT"); addr != "" {
		idleClient(addr)
		return
	}
	ln := listenTCP(b)
	serve(b, ln, listen.Options{}, func(f *funcs) {
		f.link.SetReadDeadline(time.Now().Add(130 * time.Second))
	})
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rss := residentSet()
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkIdle$", "-test.benchtime=1x")
		cmd.Env = append(os.Environ(), "WINDHOVER_IDLE_CLIENT="+ln.Addr().String())
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
		for sc := bufio.NewScanner(out); sc.Scan() && !strings.Contains(sc.Text(), "connected"); {
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(residentSet()-rss)/idleClients, "RSS-B/conn")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/idleClients, "stack-B/conn")
		in.Close()
		_ = cmd.Wait()
	}
}

func idleClient(addr string) {
	p := make([]byte, 100)
	conns := make([]net.Conn, idleClients)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			fmt.Println("connected", i, err)
			break
		}
		conns[i] = c
		c.Write(p)
		io.ReadFull(c, p)
	}
	fmt.Println("connected")
	io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		c.Close()
	}
}

// residentSet is 0 where /proc does not tell.
func residentSet() int {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if f := strings.Fields(rest); len(f) > 0 {
		kib, _ := strconv.Atoi(f[0])
		return kib << 10
	}
	return 0
}
