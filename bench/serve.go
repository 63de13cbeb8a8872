package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/windhover-server/windhover/bench/internal/content"
	"github.com/windhover-server/windhover/bench/internal/proc"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run one server alone, to point wrk, h2load or curl at it",
		Description: "It answers /plaintext, /json, /bytes/N, POST /echo, POST /upload, /static/65536.bin,\n" +
			"/burn/N (N rounds of computing) and /upgrade (Upgrade: echo) until ctrl-C.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "server", Usage: "which server; see the command list"},
			&cli.StringFlag{Name: "addr", Value: "127.0.0.1:8080", Usage: "`HOST:PORT` to listen on; port 0 picks one"},
			&cli.BoolFlag{Name: "tls", Usage: "speak TLS, with a self-signed certificate"},
			&cli.StringFlag{Name: "transport", Usage: "ring or portable, for windhover and windhover-http"},
			&cli.StringFlag{Name: "assets", Hidden: true, Usage: "directory of files and certificate"},
			&cli.BoolFlag{Name: "exit-with-stdin", Hidden: true, Usage: "end when standard input does"},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return serve(ctx, c)
		},
	}
}

func serve(ctx context.Context, c *cli.Command) error {
	srv, err := servers.Find(c.String("server"), c.String("transport"))
	if err != nil {
		return usageError{err}
	}
	if _, _, err := net.SplitHostPort(c.String("addr")); err != nil {
		return usage("-addr wants HOST:PORT, not %q", c.String("addr"))
	}
	if c.Bool("tls") && srv.Features&servers.TLS == 0 {
		return usage("the server %s has no TLS; leave -tls out", srv.Name)
	}
	if err := srv.Available(); err != nil {
		return fmt.Errorf("the server %s cannot run here: %w", srv.Name, err)
	}
	assets := c.String("assets")
	if assets == "" {
		if assets, err = os.MkdirTemp("", "windhover-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(assets)
		if err := content.WriteAssets(assets); err != nil {
			return err
		}
	}
	if c.Bool("exit-with-stdin") {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
			cancel()
		}()
	}
	scheme := "http"
	if c.Bool("tls") {
		scheme = "https"
	}
	return srv.Serve(ctx, servers.Options{
		Addr: c.String("addr"), TLS: c.Bool("tls"), Assets: assets,
		Ready: func(addr string) { fmt.Printf("%s%s://%s\n", proc.ReadyPrefix, scheme, addr) },
	})
}
