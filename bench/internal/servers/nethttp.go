package servers

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/windhover-server/windhover/bench/internal/content"
)

func netHTTP() *Server {
	return &Server{
		Name: "nethttp", Title: "net/http", Kind: Peer, Handler: "http.Handler", Features: all,
		Version: goVersion,
		Serve: func(ctx context.Context, opt Options) error {
			srv := &http.Server{Handler: httpHandler(http.Dir(filepath.Join(opt.Assets, content.RootDir, "static"))), ErrorLog: log.New(io.Discard, "", 0)}
			return serveListener(ctx, opt, func(ln net.Listener) error {
				if !opt.TLS {
					return srv.Serve(ln)
				}
				srv.Protocols = new(http.Protocols)
				srv.Protocols.SetHTTP1(true)
				return srv.ServeTLS(ln, filepath.Join(opt.Assets, content.CertFile), filepath.Join(opt.Assets, content.KeyFile))
			})
		},
	}
}

// httpHandler is the handler of net/http and of Windhover's http.Handler
// variants. Each serves files from what it offers itself: [http.Dir] and
// [windhover.Dir].
func httpHandler(static http.FileSystem) http.Handler {
	files := http.StripPrefix(content.PathStatic, http.FileServer(static))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == content.PathPlaintext:
			answer(w, content.TextType, []byte(content.Hello))
		case path == content.PathJSON:
			answer(w, content.JSONType, content.JSON())
		case strings.HasPrefix(path, content.PathBytes):
			serveBytes(w, path)
		case path == content.PathEcho:
			serveEcho(w, r)
		case path == content.PathUpload:
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			answer(w, content.TextType, strconv.AppendInt(nil, n, 10))
		case strings.HasPrefix(path, content.PathStatic):
			files.ServeHTTP(w, r)
		case strings.HasPrefix(path, content.PathBurn):
			n, err := content.Size(path, content.PathBurn)
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			content.Burn(n)
			answer(w, content.TextType, []byte(content.Hello))
		case path == content.PathUpgrade:
			serveUpgrade(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func answer(w http.ResponseWriter, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may have gone
}

func serveBytes(w http.ResponseWriter, path string) {
	n, err := content.Size(path, content.PathBytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", content.BinaryType)
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	_ = content.WritePattern(w, n) // the client may have gone
}

// echoBuffers hold bodies between Read and Write; a server that echoes would
// not allocate each.
var echoBuffers = sync.Pool{New: func() any { return new([]byte) }}

// readBody reads a body of length n, or of unknown length if n is -1, into a
// buffer from echoBuffers, which the caller puts back.
func readBody(r io.Reader, n int64) (*[]byte, error) {
	bp := echoBuffers.Get().(*[]byte)
	if n < 0 {
		b, err := io.ReadAll(io.LimitReader(r, content.MaxEcho))
		*bp = b
		return bp, err
	}
	if n > content.MaxEcho {
		return bp, errors.New("servers: the body is too large to echo")
	}
	if int64(cap(*bp)) < n {
		*bp = make([]byte, n)
	}
	*bp = (*bp)[:n]
	_, err := io.ReadFull(r, *bp)
	return bp, err
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	bp, err := readBody(r.Body, r.ContentLength)
	defer echoBuffers.Put(bp)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, content.BinaryType, *bp)
}

func serveUpgrade(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), content.UpgradeToken) {
		w.Header().Set("Upgrade", content.UpgradeToken)
		http.Error(w, "this resource speaks the protocol echo only", http.StatusUpgradeRequired)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + content.UpgradeToken + "\r\n\r\n"
	if _, err := io.WriteString(c, switching); err != nil {
		return
	}
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		if _, err := c.Write(b); err != nil {
			return
		}
	}
	echo(c, c)
}

// echo writes back what it reads, until either fails: what a message protocol
// would do, without the kernel's splice.
func echo(w io.Writer, r io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
