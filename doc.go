// Package windhover is an HTTP/1.1 server with the features of Kestrel: an
// io_uring transport on Linux, a portable one everywhere else, any
// http.Handler unchanged, and a native handler that allocates nothing.
//
//	srv := &windhover.Server{URLs: []string{"http://localhost:5000"}, Handler: mux}
//	log.Fatal(srv.ListenAndServe())
//
// The packages, and who imports whom:
//
//	cmd/windhover      bench (own module)
//	       └───────┬────────┘
//	           windhover                      Sockets cannot see HTTP.
//	    ┌─────────┼─────────┬──────────┐      wire and listen are leaves.
//	  ring    portable ──▶ proto   tlsbridge
//	    │         │       │   │        │
//	    │         │       │   └▶ wire  │
//	    └─────────┴───────┴────────────┘
//	                   listen
//
// Programs that want no more than a server for their own listener embed
// package portable instead: pure Go, every operating system.
package windhover
