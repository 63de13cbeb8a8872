//go:build unix

package tlsbridge_test

import (
	"syscall"
	"testing"
	"time"
)

// cpu is the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reports the server's CPU time for each request of a load.
func measure(b *testing.B, l *loader, what string, unit string) {
	const length = 2 * time.Second
	l.do(b, what, length/4) // warm up
	start := cpu()
	n := l.do(b, what, length)
	used := cpu() - start
	b.ReportMetric(float64(used.Microseconds())/float64(n), "CPU-µs/"+unit)
	b.ReportMetric(float64(n)/length.Seconds(), unit+"s/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkKeepAlive: TLS 1.3 requests over connections that stay. Goal: 0.7 of
// net/http's CPU time.
func BenchmarkKeepAlive(b *testing.B) {
	eachServer(b, 64, 1, func(b *testing.B, l *loader) { measure(b, l, "run", "request") })
}

// BenchmarkPipelined: 16 requests at once.
func BenchmarkPipelined(b *testing.B) {
	eachServer(b, 64, 16, func(b *testing.B, l *loader) { measure(b, l, "run", "request") })
}

// BenchmarkDownload: responses of 1 MiB.
func BenchmarkDownload(b *testing.B) {
	eachServer(b, 4, 1, func(b *testing.B, l *loader) { measure(b, l, "big", "MiB") })
}

// BenchmarkHandshake: a full handshake and a request each. Goal: not above
// net/http.
func BenchmarkHandshake(b *testing.B) {
	eachServer(b, 1, 1, func(b *testing.B, l *loader) { measure(b, l, "shake", "handshake") })
}

// BenchmarkResumption: a resumed handshake and a request each.
func BenchmarkResumption(b *testing.B) {
	eachServer(b, 1, 1, func(b *testing.B, l *loader) { measure(b, l, "resume", "handshake") })
}
