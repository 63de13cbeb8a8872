// Package e2e holds the tests of the whole server, from the client's side of a
// connection. There is nothing in it to import.
//
// A test body is written once and run over every combination of transport
// (memory, portable, ring), socket (TCP, Unix), TLS or not, and handler kind
// (net/http's or the native one); see run in modes_test.go. Parity with
// net/http is a table of handlers that run under http.Server and under Windhover,
// whose answers on the wire have to be the same (parity_test.go). Timeouts are
// tested with the clock of testing/synctest over the memory transport.
package e2e
