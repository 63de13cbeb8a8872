package windhover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/tlsbridge"
)

// Where a Server listens when nothing else is said; the second one is
// [Server.ListenAndServeTLS]'s.
const (
	DefaultURL    = "http://localhost:5000"
	DefaultTLSURL = "https://localhost:5001"
)

// Endpoint is an address to listen on with settings of its own.
type Endpoint struct {
	// URL is its prefix; see [listen.Parse].
	URL string
	// Bind says how the socket is made, or which sockets there are already.
	Bind listen.BindOptions
	// TLS is for https; nil means the server's TLS or TLSConfig.
	TLS *tlsbridge.Config
	// DisableHTTP2 stops this endpoint from offering h2.
	DisableHTTP2 bool
	// Sleeve, if not nil, is put around each connection before TLS. It is the
	// place for the PROXY protocol:
	//
	//	trusted := &proxyproto.Config{Trusted: balancers}
	//	e.Sleeve = func(next listen.Acceptor) listen.Acceptor { return proxyproto.Wrap(trusted, next) }
	//
	// It is called once; the connections in it count against
	// MaxConcurrentConnections, for which its Link, if it has one of its own,
	// should have the method that [proto.Service.Reserve] asks for. It does
	// not go together with TLS and [Server].TLSNextProto.
	Sleeve func(listen.Acceptor) listen.Acceptor
}

// bound is a listener that Listen has made.
type bound struct {
	ln     *listen.Listener
	bridge *tlsbridge.Bridge // nil for http
	sleeve func(listen.Acceptor) listen.Acceptor
}

// certFiles are those of ListenAndServeTLS.
type certFiles struct{ cert, key string }

// endpoints returns where to listen. opened is what was bound for that already,
// which is the caller's to close.
func (s *Server) endpoints(ctx context.Context, files *certFiles) (all []Endpoint, opened net.Listener, err error) {
	all = append(all, s.Endpoints...)
	for _, list := range s.URLs {
		for url := range strings.SplitSeq(list, ";") {
			if url = strings.TrimSpace(url); url != "" {
				all = append(all, Endpoint{URL: url})
			}
		}
	}
	scheme, url := "http", DefaultURL
	if files != nil {
		scheme, url = "https", DefaultTLSURL
	}
	switch {
	case len(all) > 0:
		return all, nil, nil
	case s.Addr == "":
		return []Endpoint{{URL: url}}, nil, nil
	}
	// Addr is http.Server's: names are resolved, and localhost is one address.
	// So it is package net that binds it.
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, nil, err
	}
	e := Endpoint{URL: scheme + "://" + ln.Addr().String()}
	e.Bind.Inherited = []net.Listener{ln}
	return []Endpoint{e}, ln, nil
}

// bindings translates endpoints and loads the certificates of https ones;
// bridges has nil for the others.
func (s *Server) bindings(endpoints []Endpoint, files *certFiles) ([]listen.Binding, []*tlsbridge.Bridge, error) {
	bindings := make([]listen.Binding, len(endpoints))
	bridges := make([]*tlsbridge.Bridge, len(endpoints))
	secure := false
	for i := range endpoints {
		e := &endpoints[i]
		parsed, err := listen.Parse(e.URL)
		if err != nil {
			return nil, nil, err
		}
		bindings[i] = listen.Binding{Endpoint: parsed, Options: e.Bind}
		switch {
		case !parsed.TLS():
		case e.Sleeve != nil && len(s.TLSNextProto) > 0:
			err = errors.New("a Sleeve is put on before TLS, which TLSNextProto does not allow; use one of them")
		default:
			secure = true
			bridges[i], err = s.endpointBridge(e, files)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.URL, err)
		}
	}
	if files != nil && !secure {
		return nil, nil, errors.New("windhover: ListenAndServeTLS has nothing to do: no URL begins with https://")
	}
	return bindings, bridges, nil
}

func (s *Server) endpointBridge(e *Endpoint, files *certFiles) (*tlsbridge.Bridge, error) {
	cfg := e.TLS
	if cfg == nil {
		if files == nil {
			files = &certFiles{}
		}
		var err error
		if cfg, err = s.tlsFor(files.cert, files.key); err != nil {
			return nil, err
		}
	}
	if e.DisableHTTP2 && len(cfg.Protocols) == 0 {
		c := *cfg
		c.Protocols = []string{"http/1.1"}
		cfg = &c
	}
	return s.newBridge(cfg)
}
