package servers

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/windhover-server/windhover/bench/internal/content"
)

func fastHTTP() *Server {
	return &Server{
		Name: "fasthttp", Title: "fasthttp", Kind: Peer, Handler: "native", Features: all,
		Version: moduleVersion("github.com/valyala/fasthttp"),
		Serve: func(ctx context.Context, opt Options) error {
			srv := &fasthttp.Server{
				Handler:            fastHandler(opt.Assets),
				StreamRequestBody:  true, // or an upload would have to fit in memory
				MaxRequestBodySize: content.MaxBytes,
				Logger:             quiet{},
			}
			return serveListener(ctx, opt, func(ln net.Listener) error {
				if !opt.TLS {
					return srv.Serve(ln)
				}
				return srv.ServeTLS(ln, filepath.Join(opt.Assets, content.CertFile), filepath.Join(opt.Assets, content.KeyFile))
			})
		},
	}
}

// quiet drops fasthttp's log lines about clients that went away.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func fastHandler(assets string) fasthttp.RequestHandler {
	fs := &fasthttp.FS{
		Root:        filepath.Join(assets, content.RootDir, "static"),
		PathRewrite: fasthttp.NewPathSlashesStripper(1),
	}
	files := fs.NewRequestHandler()
	return func(ctx *fasthttp.RequestCtx) {
		switch path := ctx.Path(); {
		case string(path) == content.PathPlaintext:
			ctx.SetContentType(content.TextType)
			ctx.SetBodyString(content.Hello)
		case string(path) == content.PathJSON:
			ctx.SetContentType(content.JSONType)
			ctx.SetBody(content.JSON())
		case bytes.HasPrefix(path, []byte(content.PathBytes)):
			fastBytes(ctx, string(path))
		case string(path) == content.PathEcho:
			ctx.SetContentType(content.BinaryType)
			ctx.SetBody(ctx.PostBody())
		case string(path) == content.PathUpload:
			n, err := io.Copy(io.Discard, ctx.RequestBodyStream())
			if err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadRequest)
				return
			}
			ctx.SetContentType(content.TextType)
			ctx.SetBody(strconv.AppendInt(nil, n, 10))
		case bytes.HasPrefix(path, []byte(content.PathStatic)):
			files(ctx)
		case bytes.HasPrefix(path, []byte(content.PathBurn)):
			n, err := content.Size(string(path), content.PathBurn)
			if err != nil {
				ctx.Error(err.Error(), fasthttp.StatusNotFound)
				return
			}
			content.Burn(n)
			ctx.SetContentType(content.TextType)
			ctx.SetBodyString(content.Hello)
		case string(path) == content.PathUpgrade:
			fastUpgrade(ctx)
		default:
			ctx.Error("not found", fasthttp.StatusNotFound)
		}
	}
}

func fastBytes(ctx *fasthttp.RequestCtx, path string) {
	n, err := content.Size(path, content.PathBytes)
	if err != nil {
		ctx.Error(err.Error(), fasthttp.StatusNotFound)
		return
	}
	ctx.SetContentType(content.BinaryType)
	if b, ok := content.Pattern(n); ok {
		ctx.Response.SetBodyRaw(b) // not copied
		return
	}
	ctx.SetBodyStream(content.PatternReader(n), int(n))
}

func fastUpgrade(ctx *fasthttp.RequestCtx) {
	if !bytes.EqualFold(ctx.Request.Header.Peek("Upgrade"), []byte(content.UpgradeToken)) {
		ctx.Error("this resource speaks the protocol echo only", fasthttp.StatusUpgradeRequired)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
	ctx.Response.Header.Set("Connection", "Upgrade")
	ctx.Response.Header.Set("Upgrade", content.UpgradeToken)
	ctx.Hijack(func(c net.Conn) { echo(c, c) })
}
