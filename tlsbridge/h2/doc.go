// Package h2 serves HTTP/2 on connections for which ALPN chose "h2", with
// golang.org/x/net/http2 and an http.Handler.
//
//	sleeve ──Data──▶ protocol ──ServeConn──▶ http2 ──▶ http.Handler
//	                    ▲                      │
//	      Link ◀────────┴── conn (net.Conn) ◀──┘
//
// [Server.Switch] is a tlsbridge.Switch. The first Data runs http2's ServeConn
// on the caller's goroutine, after Link.Leave, and does not return before the
// connection has ended: HTTP/2 keeps two goroutines per connection, idle or
// not. http2 sees the link as a net.Conn; the transport keeps the connection,
// counts it and closes it.
//
// # Limitations
//
// Kestrel's minimum request body data rate does not apply to HTTP/2 streams, nor
// its time limit for a request's head: a connection whose only request is not
// complete is idle, and ends as such. There is no Hijack and no Upgrade, as in
// net/http. A connection without streams takes a second to shut down unless the
// client closes it at the GOAWAY.
package h2
