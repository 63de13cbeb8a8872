// Command conformapp serves the application that the wire-level conformance
// cases talk to (../conformance/README.md), by Windhover over the transport
// asked for, or by net/http for comparison. It prints the bound address on a
// line of its own and serves until it is killed.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/ring"
)

// settings are the command's flags.
type settings struct {
	addr, unix, transport string
	tls, native, check    bool
	keepAlive, headers    time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.addr, "addr", "127.0.0.1:8080", "`host:port` to listen on; port 0 takes any free one")
	flag.StringVar(&s.unix, "unix", "", "`path` of a Unix domain socket to listen on instead")
	flag.StringVar(&s.transport, "transport", "portable", "portable, ring, or nethttp for net/http's own server")
	flag.BoolVar(&s.tls, "tls", false, "serve TLS with a certificate made at start")
	flag.BoolVar(&s.check, "check", false, "say whether this host has the transport, by the exit status (3: no), and serve nothing")
	flag.BoolVar(&s.native, "native", false, "serve the application's native handler")
	flag.DurationVar(&s.keepAlive, "keepalive", 3*time.Second, "keep-alive timeout")
	flag.DurationVar(&s.headers, "headers-timeout", 4*time.Second, "request headers timeout")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "conformapp: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if s.transport == "ring" {
		if err := probeRing(); err != nil {
			fmt.Fprintf(os.Stderr, "conformapp: no ring transport on this host: %v\n", err)
			os.Exit(exitNoTransport)
		}
	}
	if s.check {
		return
	}
	if err := serve(s); err != nil {
		fmt.Fprintf(os.Stderr, "conformapp: %v\n", err)
		os.Exit(1)
	}
}

// probeRing reports why this host has no ring transport, or nil.
func probeRing() error {
	t, err := ring.New(ring.Options{})
	if err != nil {
		return err
	}
	return t.Close()
}

// exitNoTransport tells scripts that there is nothing to test here.
const exitNoTransport = 3

func serve(s settings) error {
	ln, err := listen(s)
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	if s.transport == "nethttp" {
		return serveNetHTTP(s, ln)
	}
	transport, err := windhover.ParseTransport(s.transport)
	if err != nil {
		return err
	}
	srv := &windhover.Server{
		Transport: transport,
		Limits: proto.Limits{
			KeepAliveTimeout:      s.keepAlive,
			RequestHeadersTimeout: s.headers,
		},
		ErrorLog: log.New(io.Discard, "", 0), // every other case is an error
	}
	if s.native {
		srv.Native = native{}
	} else {
		srv.Handler = app{}
	}
	if !s.tls {
		return srv.Serve(ln)
	}
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	return srv.ServeTLS(ln, "", "")
}

// listen binds what the flags name. A socket file that a killed run has left
// behind is removed.
func listen(s settings) (net.Listener, error) {
	if s.unix == "" {
		return net.Listen("tcp", s.addr)
	}
	if err := os.Remove(s.unix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", s.unix)
}

// serveNetHTTP shows what net/http makes of the cases.
func serveNetHTTP(s settings, ln net.Listener) error {
	if s.native {
		return errors.New("net/http has no native handler")
	}
	srv := &http.Server{
		Handler:           app{limitBody: true},
		IdleTimeout:       s.keepAlive,
		ReadHeaderTimeout: s.headers,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	if !s.tls {
		return srv.Serve(ln)
	}
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	return srv.ServeTLS(ln, "", "")
}
