// Package tlsbridge speaks TLS between a transport and a protocol, with
// crypto/tls and without a goroutine for connections that wait.
//
//	transport ──Data(ciphertext)──▶ sleeve ──Data(plaintext)──▶ inner protocol
//	                                │    ▲                            │
//	          memConn ◀─── tls.Conn ┘    └──────── inner Link ◀───────┘
//	             │
//	             └──▶ outer Link: Begin/End, Write, Read
//
// [New] checks a [Config] and loads its files; [Bridge.Wrap] makes a
// [listen.Acceptor] of the one for plaintext. The package fits any transport
// and any protocol; HTTP/2 is in its subpackage h2.
//
// # How it works
//
// A tls.Conn reads from and writes to an in-memory connection. The handshake
// runs on the goroutine of the call that completed the first record, which it
// keeps until the client has answered or the handshake timeout ends it. After
// that ciphertext goes in with each call and plaintext comes out until there is
// no complete record left, which crypto/tls learns from a temporary error.
// What the inner protocol commits is encrypted at once into the outer link's
// queue.
//
// # Ownership
//
// Plaintext is in a pooled buffer while the inner Data runs. Ciphertext is read
// from what the transport lent, or by tls.Conn from the outer link into its own
// memory. That memory, the only buffer of a waiting connection, belongs to
// crypto/tls: it is as long as the longest record that the peer has sent.
//
// # Limitations
//
// A TLS connection has no sendfile. Gone does not see a close_notify whose FIN
// does not follow. Renegotiation is refused, as crypto/tls refuses it.
package tlsbridge
