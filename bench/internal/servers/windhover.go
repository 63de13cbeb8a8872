package servers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/bench/internal/content"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/ring"
)

// windhoverServers are {ring, portable} × {native, http.Handler}. Every setting
// is the default, as for all servers here.
func windhoverServers() []*Server {
	var list []*Server
	for _, t := range []windhover.Transport{windhover.Ring, windhover.Portable} {
		for _, handler := range []string{"native", "http.Handler"} {
			list = append(list, windhoverServer(t, handler))
		}
	}
	return list
}

func windhoverServer(t windhover.Transport, handler string) *Server {
	s := &Server{
		Name: fmt.Sprintf("windhover-%s-native", t), Title: fmt.Sprintf("Windhover %s, native", t),
		Kind: Windhover, Handler: handler,
		Features: dynamic, Lacks: "files are served through http.FileServer: see the http.Handler variant",
		Version: goVersion,
	}
	if handler == "http.Handler" {
		s.Name, s.Title = fmt.Sprintf("windhover-%s-http", t), fmt.Sprintf("Windhover %s, http.Handler", t)
		s.Features, s.Lacks = all, ""
	}
	if t == windhover.Ring {
		s.Available = func() error { return ring.Probe().Err }
	}
	s.Serve = func(ctx context.Context, opt Options) error {
		srv := &windhover.Server{Transport: t, ErrorLog: log.New(io.Discard, "", 0)}
		if handler == "native" {
			srv.Native = proto.HandlerFunc(serveNative)
		} else {
			static, err := windhover.OpenDir(filepath.Join(opt.Assets, content.RootDir, "static"))
			if err != nil {
				return err
			}
			defer static.Close() // nothing was written
			srv.Handler = httpHandler(static)
		}
		return serveListener(ctx, opt, func(ln net.Listener) error {
			if !opt.TLS {
				return srv.Serve(ln)
			}
			srv.DisableHTTP2 = true
			return srv.ServeTLS(ln, filepath.Join(opt.Assets, content.CertFile), filepath.Join(opt.Assets, content.KeyFile))
		})
	}
	return s
}

// serveNative is the native handler. What computes or waits for long goes
// through Go, as its documentation asks.
func serveNative(x *proto.Exchange) {
	switch path := x.Path(); {
	case string(path) == content.PathPlaintext:
		nativeHello(x)
	case string(path) == content.PathJSON:
		x.Respond(200, content.JSONType, content.JSON())
	case bytes.HasPrefix(path, []byte(content.PathBytes)):
		nativeBytes(x, string(path))
	case string(path) == content.PathEcho:
		nativeEcho(x)
	case string(path) == content.PathUpload:
		x.Go(nativeUpload)
	case bytes.HasPrefix(path, []byte(content.PathBurn)):
		x.Go(nativeBurn)
	case string(path) == content.PathUpgrade:
		x.Go(nativeUpgrade)
	default:
		x.Respond(404, content.TextType, []byte("not found"))
	}
}

var helloBytes = []byte(content.Hello)

func nativeHello(x *proto.Exchange) { x.Respond(200, content.TextType, helloBytes) }

func nativeBytes(x *proto.Exchange, path string) {
	n, err := content.Size(path, content.PathBytes)
	if err != nil {
		x.Respond(404, content.TextType, []byte(err.Error()))
		return
	}
	if n <= 64<<10 {
		b, _ := content.Pattern(n)
		x.Respond(200, content.BinaryType, b)
		return
	}
	x.Go(func(x *proto.Exchange) {
		if err := x.SetHeader("Content-Type", content.BinaryType); err != nil {
			x.Abort()
			return
		}
		x.SetContentLength(n)
		_ = content.WritePattern(x, n) // the client may have gone
	})
}

func nativeEcho(x *proto.Exchange) {
	bp, err := readBody(x, x.ContentLength())
	defer echoBuffers.Put(bp)
	if err != nil {
		x.Respond(400, content.TextType, []byte(err.Error()))
		return
	}
	x.Respond(200, content.BinaryType, *bp)
}

// uploadBuffers are as large as what io.Copy allocates for the other servers.
var uploadBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func nativeUpload(x *proto.Exchange) {
	buf := uploadBuffers.Get().(*[32 << 10]byte)
	defer uploadBuffers.Put(buf)
	var sum int64
	for {
		n, err := x.Read(buf[:])
		sum += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			x.Abort()
			return
		}
	}
	x.Respond(200, content.TextType, strconv.AppendInt(nil, sum, 10))
}

func nativeBurn(x *proto.Exchange) {
	n, err := content.Size(string(x.Path()), content.PathBurn)
	if err != nil {
		x.Respond(404, content.TextType, []byte(err.Error()))
		return
	}
	content.Burn(n)
	nativeHello(x)
}

func nativeUpgrade(x *proto.Exchange) {
	if token, _ := x.Field("Upgrade"); !bytes.EqualFold(token, []byte(content.UpgradeToken)) {
		x.Respond(426, content.TextType, []byte("this resource speaks the protocol echo only"))
		return
	}
	c, err := x.Upgrade(content.UpgradeToken)
	if err != nil {
		x.Respond(503, content.TextType, []byte(err.Error()))
		return
	}
	defer c.Close()
	echo(c, c)
}
