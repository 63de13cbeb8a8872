package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/site"
	"github.com/windhover-server/windhover/cmd/windhover/internal/upstream"
)

// content is what a command serves.
type content struct {
	http.Handler
	close func()
}

// contentFunc makes the content of a command from its arguments.
type contentFunc func(args []string, cfg *config.Config, logger *slog.Logger) (content, error)

func (p *program) siteContent(args []string, cfg *config.Config, logger *slog.Logger) (content, error) {
	dir := cfg.Static.Root
	if len(args) == 1 {
		dir = args[0]
	}
	s, err := site.Open(dir, site.Options{
		Index: cfg.Static.Index, Listing: cfg.Static.Listing, Dotfiles: cfg.Static.Dotfiles,
		Compress: cfg.Static.Compress, Precompressed: cfg.Static.Precompressed,
		CacheControl: cfg.Static.CacheControl, Logger: logger,
	})
	if err != nil {
		return content{}, err
	}
	return content{s, func() { _ = s.Close() }}, nil // the process ends; nothing could be done
}

// helloContent is the first application of Kestrel's documentation.
func helloContent([]string, *config.Config, *slog.Logger) (content, error) {
	const text = "Hello World!"
	return content{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text) // the client is gone if this fails
	}), func() {}}, nil
}

func proxyContent(args []string, cfg *config.Config, logger *slog.Logger) (content, error) {
	address := cfg.Proxy.Upstream
	if len(args) == 1 {
		address = args[0]
	}
	if address == "" {
		return content{}, usageError{errors.New(`proxy needs an upstream; give one such as "http://localhost:3000" or "unix:/run/app.sock"`)}
	}
	target, err := upstream.Parse(address)
	if err != nil {
		return content{}, usageError{err}
	}
	c := &cfg.Proxy
	p, err := upstream.New(target, upstream.Options{
		PreserveHost: c.PreserveHost, ConnectTimeout: bounded(c.ConnectTimeout), ResponseTimeout: bounded(c.ResponseTimeout),
		IdleTimeout: bounded(c.IdleTimeout), MaxIdle: int(c.MaxIdle), MaxConnections: int(max(c.MaxConnections, 0)),
		CA: c.CA, Insecure: c.Insecure, Logger: logger,
	})
	if err != nil {
		return content{}, fmt.Errorf("upstream %s: %w", address, err)
	}
	return content{p, p.Close}, nil
}

// bounded turns our "unlimited" into net/http's zero.
func bounded[T ~int64](d T) T { return max(d, 0) }
