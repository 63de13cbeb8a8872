package h2

//lint:file-ignore SA1019 package http2 points to http.Server, which serves HTTP/2 only on sockets that it has accepted; this file is all that depends on it.

import (
	"context"
	"net"
	"net/http"

	"golang.org/x/net/http2"
)

// engine is golang.org/x/net/http2, and all that this package uses of it.
type engine struct{ server http2.Server }

// configure prepares for serving with the settings of s, and has s.Shutdown
// send GOAWAY.
func (e *engine) configure(s *http.Server) error { return http2.ConfigureServer(s, &e.server) }

// serve runs a connection until it has ended.
func (e *engine) serve(ctx context.Context, c net.Conn, s *http.Server, h http.Handler) {
	e.server.ServeConn(c, &http2.ServeConnOpts{Context: ctx, BaseConfig: s, Handler: h})
}
