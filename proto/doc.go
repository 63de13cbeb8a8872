// Package proto serves HTTP/1.1 on one connection: it joins the sans-IO
// machine of proto/wire to a [listen.Link], runs handlers, and keeps limits
// and deadlines.
//
//	            ┌──────────────── Conn (a listen.Protocol) ───────────────┐
//	Data(p) ──▶ │ wire.Conn ──Request──▶ Exchange ──▶ Handler             │
//	            │      ▲            └──▶ http.Request ──▶ http.Handler    │
//	Link.Read ─▶│      └─ body ◀─────────────┘    │                       │
//	            │                 wire.Encoder ◀──┘──▶ Link.Begin/End     │
//	            └─────────────────────────────────────────────────────────┘
//
// A [Service] holds what the connections of a server share; its Accept method
// is the [listen.Acceptor] to give to a transport. Two kinds of handler are
// served: any http.Handler, with everything net/http promises it, and the
// native [Handler], which allocates nothing.
//
// A connection runs on the goroutine that calls Data, from the first byte of
// a request to the last of its response, and holds buffers only in between:
// the scratch space of a turn and whatever part of a request has arrived.
// Bytes that a transport lends to Data, and all slices an [Exchange] hands
// out, are dead when the call that lent them returns.
package proto
