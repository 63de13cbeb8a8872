// Package nethttpadapter puts Windhover behind the adapter that
// internal/nethttpsuite wants, so that Go's own server tests run against it.
// WINDHOVER_TRANSPORT selects the transport: portable (the default) or ring.
package nethttpadapter

import (
	"fmt"
	"net/http"
	"os"

	"github.com/windhover-server/windhover"
)

// New returns a server configured as c is. It panics when WINDHOVER_TRANSPORT
// names no transport: a run with a mistyped name must not pass.
func New(c *http.Server) *windhover.Server {
	transport := windhover.Portable
	if name := os.Getenv("WINDHOVER_TRANSPORT"); name != "" {
		var err error
		if transport, err = windhover.ParseTransport(name); err != nil {
			panic(fmt.Sprintf("WINDHOVER_TRANSPORT: %v", err))
		}
	}
	return Configure(c, transport)
}

// Configure returns a server over the transport that behaves as c would: with
// net/http's limits, which are fewer and wider than Windhover's own. ErrorLog is
// left to HTTPServer, where tests replace it late.
func Configure(c *http.Server, transport windhover.Transport) *windhover.Server {
	maxHeader := c.MaxHeaderBytes
	if maxHeader == 0 {
		maxHeader = http.DefaultMaxHeaderBytes
	}
	return &windhover.Server{
		Addr:                         c.Addr,
		Handler:                      c.Handler,
		Transport:                    transport,
		TLSConfig:                    c.TLSConfig,
		TLSNextProto:                 c.TLSNextProto,
		DisableHTTP2:                 true,
		ReadTimeout:                  c.ReadTimeout,
		ReadHeaderTimeout:            c.ReadHeaderTimeout,
		WriteTimeout:                 c.WriteTimeout,
		IdleTimeout:                  c.IdleTimeout,
		MaxHeaderBytes:               maxHeader,
		BaseContext:                  c.BaseContext,
		ConnContext:                  c.ConnContext,
		ConnState:                    c.ConnState,
		DisableGeneralOptionsHandler: c.DisableGeneralOptionsHandler,
		ServerHeader:                 "-", // net/http sends none
		HTTPServer:                   c,
	}
}
