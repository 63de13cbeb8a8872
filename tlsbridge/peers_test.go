package tlsbridge_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/tlsbridge"
)

// peerServer starts a server that answers requests, and returns its port and
// the file of its certificate.
func peerServer(t *testing.T, tr listen.Transport) (port, ca string) {
	t.Helper()
	a := func(l listen.Link) listen.Protocol { return &answer{l} }
	f := start(t, tr, "tcp", &tlsbridge.Config{}, a)
	cert, err := devCert()
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, cert.CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(f.addr.(*net.TCPAddr).Port), ca
}

// program returns the path of a program, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func TestCurl(t *testing.T) {
	curl := program(t, "curl")
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		if network != "tcp" {
			t.Skip("by TCP only")
		}
		port, ca := peerServer(t, tr)
		for _, version := range []string{"1.2", "1.3"} {
			args := []string{"--silent", "--show-error", "--max-time", "20", "--http1.1", "--cacert", ca, "--tlsv" + version, "--tls-max", version}
			for range 3 { // on one connection
				args = append(args, "https://localhost:"+port+"/")
			}
			out, err := exec.Command(curl, args...).CombinedOutput()
			if err != nil || string(out) != strings.Repeat("Hello, world!", 3) {
				t.Errorf("TLS %s: %q, %v", version, out, err)
			}
		}
		out, _ := exec.Command(curl, "--silent", "--max-time", "20", "--write-out", "%{http_code}", "http://localhost:"+port+"/").CombinedOutput()
		if !strings.HasPrefix(string(out), "Client sent an HTTP request to an HTTPS server.") || !strings.HasSuffix(string(out), "400") {
			t.Errorf("plain HTTP: %q", out)
		}
	})
}

// OpenSSL's client updates keys on its own command, which crypto/tls's cannot.
func TestOpenSSLKeyUpdate(t *testing.T) {
	openssl := program(t, "openssl")
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		if network != "tcp" {
			t.Skip("by TCP only")
		}
		port, ca := peerServer(t, tr)
		s := startOpenSSL(t, openssl, "-connect", "localhost:"+port, "-CAfile", ca, "-tls1_3")
		for i, command := range []string{"", "K\n", "k\n", "K\n"} { // K asks for an update of ours, too
			if command != "" {
				s.send(t, command)
				s.wait(t, "KEYUPDATE", i)
			}
			s.send(t, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			s.wait(t, "Hello, world!", i+1)
		}
	})
}

func TestOpenSSLRenegotiationIsRefused(t *testing.T) {
	openssl := program(t, "openssl")
	transports(t, func(t *testing.T, tr listen.Transport, network string) {
		if network != "tcp" {
			t.Skip("by TCP only")
		}
		port, ca := peerServer(t, tr)
		s := startOpenSSL(t, openssl, "-connect", "localhost:"+port, "-CAfile", ca, "-tls1_2")
		s.send(t, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		s.wait(t, "Hello, world!", 1)
		s.send(t, "R\n")
		s.wait(t, "unexpected message", 1)
	})
}

// session is a running openssl s_client.
type session struct {
	in  interface{ Write([]byte) (int, error) }
	out chan []byte
	got bytes.Buffer
}

func startOpenSSL(t *testing.T, path string, args ...string) *session {
	t.Helper()
	cmd := exec.Command(path, append([]string{"s_client"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{in: in, out: make(chan []byte, 1000)}
	cmd.Stdout, cmd.Stderr = s, s
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	s.wait(t, "Verify return code: 0", 1)
	return s
}

// Write takes the program's output.
func (s *session) Write(p []byte) (int, error) {
	s.out <- bytes.Clone(p)
	return len(p), nil
}

func (s *session) send(t *testing.T, text string) {
	t.Helper()
	if _, err := s.in.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// wait waits until the output has text n times.
func (s *session) wait(t *testing.T, text string, n int) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for bytes.Count(s.got.Bytes(), []byte(text)) < n {
		select {
		case p := <-s.out:
			s.got.Write(p)
		case <-limit:
			t.Fatalf("%q did not come %d times in\n%s", text, n, &s.got)
		}
	}
}
