// Package wire is the HTTP/1.1 server machine over bytes.
package wire
