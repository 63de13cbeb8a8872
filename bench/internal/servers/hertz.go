package servers

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strconv"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/config"
	"github.com/cloudwego/hertz/pkg/common/hlog"
	"github.com/cloudwego/hertz/pkg/network"
	"github.com/cloudwego/hertz/pkg/network/standard"

	"github.com/windhover-server/windhover/bench/internal/content"
)

func hertzServer() *Server {
	return &Server{
		Name: "hertz", Title: "hertz (netpoll)", Kind: Peer, Handler: "native", Features: all,
		Version: moduleVersion("github.com/cloudwego/hertz"),
		Serve: func(ctx context.Context, opt Options) error {
			return serveListener(ctx, opt, func(ln net.Listener) error { return serveHertz(ln, opt) })
		},
	}
}

func serveHertz(ln net.Listener, opt Options) error {
	hlog.SetOutput(io.Discard)
	options := []config.Option{
		server.WithListener(ln),
		server.WithStreamBody(true),
		server.WithMaxRequestBodySize(content.MaxBytes),
		server.WithDisablePrintRoute(true),
	}
	if opt.TLS {
		cert, err := tls.LoadX509KeyPair(filepath.Join(opt.Assets, content.CertFile), filepath.Join(opt.Assets, content.KeyFile))
		if err != nil {
			return err
		}
		// netpoll has no TLS; hertz's own transport over package net has.
		options = append(options, server.WithTransport(standard.NewTransporter),
			server.WithTLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	}
	h := server.New(options...)
	h.GET(content.PathPlaintext, func(_ context.Context, c *app.RequestContext) { hertzHello(c) })
	h.GET(content.PathJSON, func(_ context.Context, c *app.RequestContext) {
		c.SetContentType(content.JSONType)
		c.Response.SetBodyRaw(content.JSON())
	})
	h.GET(content.PathBytes+":n", hertzBytes)
	h.POST(content.PathEcho, hertzEcho)
	h.POST(content.PathUpload, hertzUpload)
	h.GET(content.PathBurn+":n", func(_ context.Context, c *app.RequestContext) {
		n, err := content.Size(c.Param("n"), "")
		if err != nil {
			c.String(404, err.Error())
			return
		}
		content.Burn(n)
		hertzHello(c)
	})
	h.GET(content.PathUpgrade, hertzUpgrade)
	h.StaticFS(content.PathStatic, &app.FS{
		Root:        filepath.Join(opt.Assets, content.RootDir, "static"),
		PathRewrite: app.NewPathSlashesStripper(1),
	})
	return h.Run()
}

func hertzHello(c *app.RequestContext) {
	c.SetContentType(content.TextType)
	c.SetBodyString(content.Hello)
}

func hertzBytes(_ context.Context, c *app.RequestContext) {
	n, err := content.Size(c.Param("n"), "")
	if err != nil {
		c.String(404, err.Error())
		return
	}
	c.SetContentType(content.BinaryType)
	if b, ok := content.Pattern(n); ok {
		c.Response.SetBodyRaw(b) // not copied
		return
	}
	c.SetBodyStream(content.PatternReader(n), int(n))
}

func hertzEcho(_ context.Context, c *app.RequestContext) {
	body, err := c.Body()
	if err != nil {
		c.String(400, err.Error())
		return
	}
	c.SetContentType(content.BinaryType)
	c.Response.SetBodyRaw(body)
}

func hertzUpload(_ context.Context, c *app.RequestContext) {
	n, err := io.Copy(io.Discard, c.RequestBodyStream())
	if err != nil {
		c.String(400, err.Error())
		return
	}
	c.SetContentType(content.TextType)
	c.Response.SetBodyRaw(strconv.AppendInt(nil, n, 10))
}

func hertzUpgrade(_ context.Context, c *app.RequestContext) {
	if !bytes.EqualFold(c.GetHeader("Upgrade"), []byte(content.UpgradeToken)) {
		c.String(426, "this resource speaks the protocol echo only")
		return
	}
	c.SetStatusCode(101)
	c.Header("Connection", "Upgrade")
	c.Header("Upgrade", content.UpgradeToken)
	c.Hijack(func(conn network.Conn) { echo(conn, conn) })
}
