package proxyproto_test

import (
	"net/http"
	"net/netip"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/proxyproto"
)

// A load balancer in 10.0.0.0/24 announces its clients on one endpoint; the
// other one takes connections as they are.
func ExampleWrap() {
	behindBalancer := &proxyproto.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}
	server := &windhover.Server{
		Handler: http.DefaultServeMux,
		Endpoints: []windhover.Endpoint{
			{URL: "http://*:8080", Sleeve: func(next listen.Acceptor) listen.Acceptor {
				return proxyproto.Wrap(behindBalancer, next)
			}},
			{URL: "http://localhost:5000"},
		},
	}
	_ = server // server.ListenAndServe()
}
