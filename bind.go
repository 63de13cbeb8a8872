package windhover

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/windhover-server/windhover/listen"
)

// DefaultDrainTimeout is .NET's HostOptions.ShutdownTimeout.
const DefaultDrainTimeout = 30 * time.Second

// ErrListening is returned by Listen after Listen.
var ErrListening = errors.New("windhover: the server listens already")

// Listen binds all of Endpoints and URLs (Addr, else [DefaultURL], if there
// are none), or none of them, and loads the certificates of https. Connections
// wait until [Server.ServeListeners]; Shutdown and Close end that, too. With
// both, Endpoints come first. Errors are those of [listen.Parse],
// [listen.Bind] and [tlsbridge.New], and http.ErrServerClosed after Shutdown or
// Close.
func (s *Server) Listen(ctx context.Context) error { return s.listen(ctx, nil) }

func (s *Server) listen(ctx context.Context, files *certFiles) (err error) {
	if _, err := s.prepare(); err != nil {
		return err
	}
	switch {
	case s.transports.stopped():
		return http.ErrServerClosed
	case len(s.Listeners()) > 0:
		return ErrListening
	}
	endpoints, opened, err := s.endpoints(ctx, files)
	if err != nil {
		return err
	}
	if opened != nil {
		defer func() {
			if err != nil {
				_ = opened.Close() // err says what went wrong
			}
		}()
	}
	bindings, bridges, err := s.bindings(endpoints, files)
	if err != nil {
		return err
	}
	lns, err := listen.Bind(ctx, bindings)
	if err != nil {
		return err
	}
	all := make([]bound, len(lns))
	for i, ln := range lns {
		n := ln.Index()
		all[i] = bound{ln, bridges[n], endpoints[n].Sleeve}
	}
	if err := s.keep(all); err != nil {
		for _, b := range all {
			_ = b.ln.Close() // err says what went wrong
		}
		return err
	}
	return nil
}

// keep makes all the server's listeners, if they can be served.
func (s *Server) keep(all []bound) error {
	for _, b := range all {
		if _, err := s.transports.pick(b.ln.Unwrap()); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.transports.stopped(): // in the meantime
		return http.ErrServerClosed
	case len(s.bound) > 0:
		return ErrListening
	}
	s.bound = all
	return nil
}

// closeUnserved closes what Listen has bound if nobody will serve it.
func (s *Server) closeUnserved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving {
		return // the transports close them
	}
	for _, b := range s.bound {
		_ = b.ln.Close() // nobody has accepted anything from it
	}
}

// Listeners returns those that Listen has bound: none before, and the closed
// ones after the server has ended.
func (s *Server) Listeners() []*listen.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*listen.Listener, len(s.bound))
	for i, b := range s.bound {
		out[i] = b.ln
	}
	return out
}

// Addrs returns the addresses of the listeners, with actual ports.
func (s *Server) Addrs() []net.Addr {
	var out []net.Addr
	for _, ln := range s.Listeners() {
		out = append(out, ln.Addr())
	}
	return out
}

// Addresses returns the addresses as Kestrel reports them: "http://[::]:80",
// "http://localhost:5000" (once), "http://unix:/run/app.sock".
func (s *Server) Addresses() []string { return listen.Addresses(s.Listeners()) }

// ServeListeners accepts connections on all that Listen has bound. It returns
// http.ErrServerClosed after Shutdown or Close, else the first listener's
// error; then it has closed the server, since half of one helps nobody. It is
// called once.
func (s *Server) ServeListeners() error {
	s.mu.Lock()
	all, again, stopped := s.bound, s.serving, s.transports.stopped()
	s.serving = again || !stopped
	s.mu.Unlock()
	switch {
	case stopped:
		return http.ErrServerClosed
	case len(all) == 0:
		return errors.New("windhover: ServeListeners without Listen")
	case again:
		return errors.New("windhover: ServeListeners was called twice")
	}
	ended := make(chan error, len(all))
	for _, b := range all {
		go func() { ended <- s.serveOne(b) }()
	}
	first := error(http.ErrServerClosed)
	for range all {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) && errors.Is(first, http.ErrServerClosed) {
			first = err
			_ = s.Close() // first is the error to report
		}
	}
	return first
}

func (s *Server) serveOne(b bound) error {
	if b.bridge != nil && len(s.TLSNextProto) > 0 {
		// Its functions want a *tls.Conn that nobody has read from.
		return s.serve(tls.NewListener(b.ln, b.bridge.TLS()), nil)
	}
	return s.serveBound(b.ln.Unwrap(), b.bridge, b.sleeve, b.ln.Delayed())
}

// ListenAndServe is Listen, unless that has been called, and ServeListeners.
// It logs the addresses. Unlike http.Server's, it listens on [DefaultURL] when
// no address is given.
func (s *Server) ListenAndServe() error {
	if err := s.start(context.Background(), nil); err != nil {
		return err
	}
	return s.ServeListeners()
}

// ListenAndServeTLS is ListenAndServe with the certificate in the files for
// https endpoints that have none of their own. When both names are empty it
// comes from TLS or TLSConfig. Addr means https here; without any address it is
// [DefaultTLSURL].
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	if len(s.Listeners()) > 0 {
		return ErrListening // with other certificates
	}
	if err := s.start(context.Background(), &certFiles{certFile, keyFile}); err != nil {
		return err
	}
	return s.ServeListeners()
}

// start listens and logs where.
func (s *Server) start(ctx context.Context, files *certFiles) error {
	if len(s.Listeners()) == 0 || s.transports.stopped() {
		if err := s.listen(ctx, files); err != nil {
			return err
		}
	}
	if s.Logger == nil {
		return nil
	}
	for _, ln := range s.Listeners() {
		for _, warning := range ln.Warnings() {
			s.Logger.Warn(warning)
		}
	}
	for _, address := range s.Addresses() {
		s.Logger.Info("Now listening on: " + address)
	}
	return nil
}

// Run is ListenAndServe until ctx ends. Then the server drains as Shutdown
// says, for DrainTimeout at most, and what is left is aborted. It returns nil
// when everything could be finished, an error that wraps
// context.DeadlineExceeded when something was aborted, and otherwise what
// ListenAndServe returns.
func (s *Server) Run(ctx context.Context) error {
	if err := s.start(ctx, nil); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeListeners() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit := s.DrainTimeout
	if limit == 0 {
		limit = DefaultDrainTimeout
	}
	drain := context.WithoutCancel(ctx)
	if limit > 0 {
		var cancel context.CancelFunc
		drain, cancel = context.WithTimeout(drain, limit)
		defer cancel()
	}
	err := s.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("windhover: connections were aborted after draining for %v: %w", limit, err)
		_ = s.Close() // err is the error to report
	}
	<-ended
	return err
}

// ListenAndServe serves h on the prefixes in urls, separated by semicolons:
// "http://localhost:5000", "http://*:80;http://unix:/run/app.sock". Empty means
// [DefaultURL]. It returns when something fails.
func ListenAndServe(urls string, h http.Handler) error {
	return (&Server{URLs: []string{urls}, Handler: h}).ListenAndServe()
}
