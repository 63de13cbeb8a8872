// Package wire is the server side of HTTP/1.1 as a machine over bytes: requests
// come in as bytes, in whatever pieces, and go out as events; responses go out
// as bytes. It has no socket, clock, lock or goroutine, and does not know
// net/http.
//
//	                 ┌───────────────────── Conn ─────────────────────┐
//	                 │  parseHead    whole heads, one pass            │
//	bytes in ──────▶ │  scanHead     heads in pieces, resumed         │ ──▶ NeedData
//	  Next(in, h)    │  nextContent  Content-Length                   │     Request   (fills Head)
//	                 │  nextChunk    chunked, extensions              │     Content   (Content())
//	                 │  nextTrailers trailer section                  │     End
//	                 └────────────────────────────────────────────────┘     Failed    (Err())
//
//	                 AppendStatusLine, AppendField, AppendDate ──▶ head
//	bytes out ◀───── Encoder: Account, AppendContent, AppendEnd ──▶ body, framing enforced
//
// # Reading
//
// A connection has one [Conn]. The caller keeps a window of input and calls
// [Conn.Next] with it, dropping what each call has consumed:
//
//	for {
//		n, ev := c.Next(in, &head)
//		in = in[n:]
//		switch ev {
//		case wire.Request:  // head is filled; c.BodyDone() if there is no body
//		case wire.Content:  // c.Content() is a piece of the body
//		case wire.End:      // the message is complete, with head.Trailers
//		case wire.NeedData: // append more input to in
//		case wire.Failed:   // answer with c.Err().Status() and close
//		}
//	}
//
// A head, and a trailer section, must be in the window as a whole to be
// consumed; a Conn remembers how far it has looked, so that asking for more does
// not mean reading again. Everything else is consumed as it comes. Events do not
// depend on how the input is cut.
//
// # Ownership
//
// The input is lent to Next for the call. Two things point into it afterwards:
// [Head.Raw] (with TrailerRaw), until the caller reuses that memory, and
// [Conn.Content], until the next call of Next. A [Head] holds offsets, not
// slices: a caller that must give the memory back copies Raw, sets Head.Raw to
// the copy, and everything in the Head stays right.
//
// A Head belongs to the caller, who can pool it: filling one that has been used
// before allocates nothing for up to 32 field lines. A connection that waits,
// even in the middle of a head, needs none. A [Conn] is 72 bytes and points to
// nothing between events.
//
// # Strictness
//
// What two readers could understand differently is refused, also where RFC 9112
// lets a server be lenient; each refusal is a [Reason] with its clause and a
// sample in testdata/wire. In short: lines end with CRLF only; names are tokens;
// values hold no control byte but HTAB, while bytes above 0x7F pass; lines are
// not folded; versions are HTTP/1.0 and HTTP/1.1; there is at most one
// Content-Length, of digits; Transfer-Encoding is "chunked" and nothing else, in
// HTTP/1.1 only and never beside Content-Length; a chunk line follows the
// grammar, with bounded extensions; Host is there, once, well-formed, and agrees
// with the target's authority.
//
// In a trailer section, fields about framing, routing, authentication and the
// connection (Host, Content-Length, Transfer-Encoding, Connection, Upgrade,
// Expect, Trailer, TE, Authorization, Proxy-Authorization, Cookie) make the
// message invalid. Others that mean something only in a head (such as
// Content-Type, Cache-Control, Range, X-Forwarded-For) are left out of
// [Head.Trailers].
//
// # Limitations
//
// Transfer codings other than chunked are not implemented (501). Chunk
// extensions are checked and dropped. Limits on time and on the size of a body
// are for the caller, who sees every count; their [Reason] values are here.
package wire
