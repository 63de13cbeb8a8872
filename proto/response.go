package proto

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto/wire"
)

// response is what an http.Handler's answer needs in the turn beyond reply.
type response struct {
	reply
	entries  []entry  // scratch for sorting
	trailers []string // announced trailer keys
}

// entry is one of a header map.
type entry struct {
	key    string
	values []string
}

// fewEntries is up to how many are sorted on the stack.
const fewEntries = 8

func (r *response) reset() {
	r.reply.reset()
	clear(r.entries)
	clear(r.trailers)
	r.entries, r.trailers = r.entries[:0], r.trailers[:0]
}

// responseWriter is the http.ResponseWriter of one request. It outlives the
// response that it writes to, so that a use after the handler's return fails
// instead of reaching another request.
type responseWriter struct {
	mu       sync.Mutex
	r        *response // nil when the handler has returned
	c        *Conn
	header   http.Header
	hijacked bool // no longer HTTP: hijacked or upgraded
	upgraded bool // by Upgrade: the link goes on
	done     bool // the handler has returned; guarded by c.dmu
}

var (
	_ http.Flusher    = (*responseWriter)(nil)
	_ http.Hijacker   = (*responseWriter)(nil)
	_ io.ReaderFrom   = (*responseWriter)(nil)
	_ io.StringWriter = (*responseWriter)(nil)
)

// Header implements http.ResponseWriter.
func (w *responseWriter) Header() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked {
		w.misuse("response.WriteHeader on hijacked connection")
		return
	}
	if w.r == nil {
		return
	}
	if w.r.started {
		w.misuse("superfluous response.WriteHeader call")
		return
	}
	w.writeHeader(code)
}

// misuse logs a handler's mistake with the place it was made at.
func (w *responseWriter) misuse(what string) {
	f := relevantCaller()
	w.c.svc.logf("http: %s from %s (%s:%d)", what, f.Function, path.Base(f.File), f.Line)
}

// relevantCaller is the first frame outside this package and net/http.
func relevantCaller() runtime.Frame {
	pc := make([]uintptr, 16)
	n := runtime.Callers(1, pc)
	frames := runtime.CallersFrames(pc[:n])
	var frame runtime.Frame
	for {
		f, more := frames.Next()
		if frame = f; !more || !strings.HasPrefix(f.Function, "net/http.") && !strings.HasPrefix(f.Function, packagePath) {
			return frame
		}
	}
}

const packagePath = "github.com/windhover-server/windhover/proto."

// writeHeader fixes status and fields, or sends an interim response.
func (w *responseWriter) writeHeader(code int) {
	if code < 100 || code > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", code))
	}
	r := w.r
	if code < 200 && code != http.StatusSwitchingProtocols {
		fields := r.fields[:0]
		w.inOrder(func(k string) bool {
			return k != "Content-Length" && k != "Transfer-Encoding"
		}, func(k string, vv []string) {
			for _, v := range vv {
				fields = wire.AppendField(fields, k, clean(v))
			}
		})
		_ = r.interim(code, fields)
		return
	}
	r.started = true
	r.status = code
	w.snapshot()
}

// inOrder calls f for those of the header's entries that can be sent and that
// keep wants, in the order of their keys. keep may delete its key.
func (w *responseWriter) inOrder(keep func(string) bool, f func(string, []string)) {
	if len(w.header) <= fewEntries {
		var few [fewEntries]entry
		for _, e := range w.sorted(few[:0], keep) {
			f(e.key, e.values)
		}
		return
	}
	r := w.r
	r.entries = w.sorted(r.entries[:0], keep)
	for _, e := range r.entries {
		f(e.key, e.values)
	}
}

func (w *responseWriter) sorted(dst []entry, keep func(string) bool) []entry {
	for k, vv := range w.header {
		if keep(k) && wire.ValidFieldName(k) {
			dst = append(dst, entry{k, vv})
		}
	}
	slices.SortFunc(dst, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return dst
}

// snapshot serialises the header as it is now: what the handler changes later
// does not count, trailers excepted.
func (w *responseWriter) snapshot() {
	r := w.r
	if len(w.header) == 0 {
		return
	}
	noBody, notModified := !wire.BodyAllowed(r.status), r.status == http.StatusNotModified
	w.inOrder(func(k string) bool {
		switch {
		case strings.HasPrefix(k, http.TrailerPrefix):
			r.hasTrailers = true
			return false
		case k == "Content-Length":
			return w.declareLength() && !noBody
		}
		return !(notModified && k == "Content-Type" || noBody && k == "Transfer-Encoding")
	}, func(k string, vv []string) {
		if len(vv) == 0 {
			r.suppress(k)
		}
		for _, v := range vv {
			r.setField(k, clean(v))
			if k == "Trailer" {
				r.declareTrailers(v)
			}
		}
	})
	if noBody {
		r.declared = -1
	}
}

// declareLength notes the Content-Length that the header has, and removes it
// when it is none: it is false then.
func (w *responseWriter) declareLength() bool {
	vv := w.header["Content-Length"]
	if len(vv) == 0 || vv[0] == "" {
		return true
	}
	n, err := strconv.ParseInt(vv[0], 10, 64)
	if err != nil || n < 0 {
		w.c.svc.logf("http: invalid Content-Length of %q", vv[0])
		delete(w.header, "Content-Length")
		return false
	}
	w.r.declared = n
	return true
}

// suppress notes a field that the handler set to nothing: it does not come by
// itself then.
func (r *response) suppress(key string) {
	switch key {
	case "Content-Type":
		r.hasType = true
	case "Date":
		r.hasDate = true
	case "Content-Length":
		r.noLength = true
	}
}

func (r *response) declareTrailers(list string) {
	for key := range strings.SplitSeq(list, ",") {
		key = http.CanonicalHeaderKey(trimBlank(key))
		if validTrailer(key) {
			r.trailers = append(r.trailers, key)
		}
	}
}

// validTrailer refuses what may not be a trailer: framing, routing, request
// modifiers, authentication, content format (RFC 9110 section 6.5.1).
func validTrailer(key string) bool {
	if strings.HasPrefix(key, "If-") {
		return false
	}
	switch key {
	case "", "Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range",
		"Content-Type", "Expect", "Host", "Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate",
		"Proxy-Authorization", "Proxy-Connection", "Range", "Realm", "Te", "Trailer", "Transfer-Encoding",
		"Www-Authenticate":
		return false
	}
	return true
}

// clean makes a value safe for the wire: control characters that could end a
// line, or cut it short, become blanks.
func clean(v string) string {
	if wire.ValidFieldValue(v) && (v == "" || v[0] > ' ' && v[len(v)-1] > ' ') {
		return v
	}
	b := []byte(v)
	for i, x := range b {
		if x < ' ' && x != '\t' || x == 0x7f {
			b[i] = ' '
		}
	}
	return trimBlank(string(b))
}

// finalTrailers serialises the trailer section.
func (w *responseWriter) finalTrailers() {
	r := w.r
	tail := r.tail[:0]
	for _, k := range r.trailers {
		for _, v := range w.header[k] {
			tail = wire.AppendField(tail, k, clean(v))
		}
	}
	for k, vv := range w.header {
		name, ok := strings.CutPrefix(k, http.TrailerPrefix)
		if !ok || !wire.ValidFieldName(name) {
			continue
		}
		for _, v := range vv {
			tail = wire.AppendField(tail, name, clean(v))
		}
	}
	r.tail = tail
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(p []byte) (int, error) { return write(w, p) }

// WriteString implements io.StringWriter.
func (w *responseWriter) WriteString(s string) (int, error) { return write(w, s) }

func write[V string | []byte](w *responseWriter, p V) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked {
		if len(p) > 0 {
			w.misuse("response.Write on hijacked connection")
		}
		return 0, http.ErrHijacked
	}
	r := w.r
	if r == nil {
		return 0, ErrHandlerDone
	}
	if !r.started {
		w.writeHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.account(len(p)); err != nil {
		return 0, err
	}
	if err := writeContent(&r.reply, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError sends what has been written, head included.
func (w *responseWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.r == nil {
		return ErrHandlerDone
	}
	if !w.r.started {
		w.writeHeader(http.StatusOK)
	}
	return w.r.flush()
}

// copyBuffers are for ReadFrom.
var copyBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// sniffLength is how much http.DetectContentType looks at.
const sniffLength = 512

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }

// ReadFrom implements io.ReaderFrom: files go out by sendfile where the
// transport can and the response is not chunked.
func (w *responseWriter) ReadFrom(src io.Reader) (n int64, err error) {
	buf := copyBuffers.Get().(*[largeBuffer]byte)
	defer copyBuffers.Put(buf)
	if rf, ok := w.c.link.(io.ReaderFrom); ok {
		if w.sniffs() {
			n, err = io.CopyBuffer(writerOnly{w}, io.LimitReader(src, sniffLength), buf[:])
			if err != nil || n < sniffLength {
				return n, err
			}
		}
		m, ok, err := w.sendFrom(rf, src)
		n += m
		if ok {
			return n, err
		}
	}
	m, err := io.CopyBuffer(writerOnly{w}, src, buf[:])
	return n + m, err
}

// sniffs reports whether the head waits for the beginning of the content.
func (w *responseWriter) sniffs() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.r
	return r == nil || !r.headSent && !(r.started && (r.hasType || r.hasCoding))
}

// sendFrom lets the link read src. ok is false if it would not.
func (w *responseWriter) sendFrom(rf io.ReaderFrom, src io.Reader) (n int64, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.r
	if r == nil || w.hijacked || !r.started || r.err != nil || r.isHead || r.declared < 0 || !wire.BodyAllowed(r.status) {
		return 0, false, nil
	}
	b := r.c.link.Begin()
	b = r.appendStage(b)
	r.c.link.End(b)
	if r.framing.Kind != wire.Length {
		return 0, false, nil
	}
	left := r.declared - r.written
	lr, limited := src.(*io.LimitedReader)
	if !limited {
		lr = &io.LimitedReader{R: src, N: left}
	} else if lr.N > left {
		return 0, false, nil // the ordinary way reports the surplus
	}
	n, err = rf.ReadFrom(lr)
	if n == 0 && errors.Is(err, errors.ErrUnsupported) {
		return 0, false, nil
	}
	r.written += n
	if aerr := r.accountSent(n); aerr != nil {
		err = aerr
	}
	if err != nil {
		return n, true, r.fail(err)
	}
	return n, limited, nil // unlimited: the ordinary way finds out if there is more
}

// accountSent tells the encoder of content that went past it.
func (r *response) accountSent(n int64) error {
	for n > 0 {
		step := min(n, 1<<30)
		if err := r.enc.Account(int(step)); err != nil {
			return err
		}
		n -= step
	}
	return nil
}

// SetReadDeadline implements http.ResponseController's method.
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	w.c.dmu.Lock()
	defer w.c.dmu.Unlock()
	if w.done {
		return ErrHandlerDone
	}
	w.c.s.body.setDeadline(t)
	return nil
}

// SetWriteDeadline implements http.ResponseController's method.
func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	w.c.dmu.Lock()
	defer w.c.dmu.Unlock()
	if w.done {
		return ErrHandlerDone
	}
	w.c.s.writeDeadline = true
	w.c.link.SetWriteDeadline(t)
	return nil
}

// EnableFullDuplex implements http.ResponseController's method. Reading while
// writing is always possible here.
func (w *responseWriter) EnableFullDuplex() error { return nil }

// CloseNotify implements the deprecated http.CloseNotifier.
func (w *responseWriter) CloseNotify() <-chan bool {
	w.c.dmu.Lock()
	defer w.c.dmu.Unlock()
	if w.done {
		panic("net/http: CloseNotify called after ServeHTTP finished")
	}
	return w.c.cur.Load().closeNotify()
}

// Hijack implements http.Hijacker.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.r == nil {
		panic("net/http: Hijack called after ServeHTTP finished")
	}
	return w.hijack()
}

// serveHTTP runs the http.Handler for the request in the turn.
func (c *Conn) serveHTTP() listen.Verdict {
	s := c.s
	rq, err := c.newRequest()
	if err != nil {
		c.svc.Counters.BadRequests.Add(1)
		c.log(evBadRequest, errAttr(err))
		c.writeError(http.StatusBadRequest, "", "", c.now())
		return listen.Close
	}
	r := &s.resp
	r.begin(c)
	r.sniff = true
	c.link.SetReadDeadline(s.body.deadline)
	c.cur.Store(&rq.ctx)
	handler := c.svc.handler
	switch {
	case s.head.Form == wire.AsteriskForm && !c.svc.DisableGeneralOptionsHandler && rq.req.Method == http.MethodOptions:
		handler = generalOptions{}
	case s.head.ExpectOther:
		handler = expectationFailed{}
	}
	panicked := c.callHTTP(handler, rq)
	return c.endHTTP(rq, panicked)
}

// callHTTP calls the handler and reports whether it panicked.
func (c *Conn) callHTTP(h http.Handler, rq *request) (panicked bool) {
	panicked = true // also by panic(nil), which GODEBUG can make unrecognisable
	defer func() {
		if v := recover(); v != nil {
			c.reportPanic(v)
		}
	}()
	h.ServeHTTP(&rq.writer, &rq.req)
	return false
}

// reportPanic logs what a handler panicked with, with the stack.
func (c *Conn) reportPanic(v any) {
	if v == http.ErrAbortHandler {
		c.log(evApplicationAborted)
		return
	}
	c.svc.Counters.Panics.Add(1)
	buf := make([]byte, 64<<10)
	buf = buf[:runtime.Stack(buf, false)]
	c.logPanic(v, buf)
}

// endHTTP completes the response and cuts the handler's hold on the turn.
func (c *Conn) endHTTP(rq *request, panicked bool) listen.Verdict {
	w := &rq.writer
	rq.ctx.end()
	c.dmu.Lock()
	c.cur.Store(nil)
	w.done = true
	c.dmu.Unlock()
	w.mu.Lock()
	r, hijacked := w.r, w.hijacked
	keep := false
	if !hijacked && !panicked {
		c.restamp()
		if !r.started {
			w.writeHeader(http.StatusOK)
		}
		if r.hasTrailers || len(w.header) > 0 && r.headSent && r.framing.Kind == wire.Chunked {
			w.finalTrailers()
		}
		keep = r.finish()
	}
	w.r = nil
	w.mu.Unlock()
	if b := c.s.reader; b != nil {
		b.Close()
		c.s.reader = nil
	}
	if mf := rq.req.MultipartForm; mf != nil {
		_ = mf.RemoveAll()
	}
	r.reset()
	switch {
	case w.upgraded:
		return listen.Close
	case hijacked:
		return listen.Detached
	case !keep:
		return listen.Close
	}
	return listen.Wait
}

// generalOptions answers "OPTIONS *", as http.Server does.
type generalOptions struct{}

func (generalOptions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "0")
	if r.ContentLength != 0 {
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 4<<10))
	}
}

// expectationFailed answers an expectation that is not 100-continue (RFC 9110
// section 10.1.1).
type expectationFailed struct{}

func (expectationFailed) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusExpectationFailed)
}
