// Package portable serves connections over package net: any net.Listener, on
// every GOOS, in pure Go without unsafe.
//
//	net.Listener ──Accept──▶ link ──Data, EOF, …──▶ listen.Protocol
//	                          │  ▲                       │
//	            one goroutine │  └── Begin/End, Write ◀──┘
//	                          ▼
//	                       net.Conn
//
// A [Transport] runs one goroutine for each connection. It reads into a pooled
// buffer, calls the protocol and sends what the call has queued with one write.
// On Unix systems a TCP or Unix-socket connection that waits for input holds no
// buffer: the goroutine waits for readiness first. Deadlines are kept by the
// link and given to the net.Conn only when that makes a difference, because
// telling it costs more than a small request.
//
// Limitations: a write hands everything to the kernel before it returns, so
// [listen.Options].SendBuffer matters only when it is negative (writes then
// never wait). A net.Conn other than *net.TCPConn and *net.UnixConn holds a
// buffer of 4 KiB while it waits.
package portable
