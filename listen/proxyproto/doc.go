// Package proxyproto reads the PROXY protocol header, version 1 or 2, that a
// load balancer puts in front of each connection, and shows the protocol above
// the addresses of the real client.
//
//	load balancer ──▶ Transport ──▶ [Wrap] ──header taken off──▶ TLS, HTTP, …
//	                                  └─ Link with the client's addresses
//
// It is a sleeve: a [listen.Acceptor] around another one, put on before TLS.
// The inner protocol is made when the header has come, so everything it counts
// and times starts there; until then the connection costs at most the header's
// bytes (4 KiB and a little) and [Config].Timeout. On a windhover.Server such a
// connection counts against MaxConcurrentConnections.
//
// Whoever may open a connection could claim to be anybody, so a header is
// taken from trusted peers only, and from them it is required: whether a
// header is there is never guessed.
package proxyproto
