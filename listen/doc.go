// Package listen holds the seam between transports and protocols, the URL
// prefixes a server listens on, and how they are bound.
//
//	prefix ──Parse──▶ Endpoint ──Bind──▶ *Listener
//	                                        │
//	socket ◀──▶ Transport ──Data, EOF, …──▶ Protocol
//	               ▲                           │
//	               └──── Link: Begin/End, Write, Read, … ◀┘
//
// A [Transport] moves bytes and cannot see HTTP; a [Protocol] speaks HTTP and
// cannot see sockets. The package is a leaf: it imports nothing else of
// Windhover.
package listen
