// Package oracle compares package uring with
// github.com/pawelgaczynski/giouring, byte for byte: every entry both can
// prepare, every flag and every offset both know. It is a module of its own,
// because giouring links with Go 1.23 and later only like this:
//
//	go test -ldflags=-checklinkname=0 ./...
//
// docs/adr/0001-our-own-uring.md has the whole story.
package oracle
