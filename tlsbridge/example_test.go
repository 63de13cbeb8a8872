package tlsbridge_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
	"github.com/windhover-server/windhover/tlsbridge"
)

// A protocol for plaintext, here one that echoes, is served over TLS on any
// transport. The files are looked at again while the server runs.
func Example() {
	bridge, err := tlsbridge.New(&tlsbridge.Config{
		Certificates: []tlsbridge.Certificate{{Path: "server.pem", KeyPath: "server.key"}},
		Names: map[string]tlsbridge.Name{
			"*.example.com": {Certificates: []tlsbridge.Certificate{{Path: "example.pfx", Password: "secret"}}},
		},
		OnReload: func(err error) { log.Printf("certificates reloaded: %v", err) },
	})
	if err != nil {
		log.Fatal(err) // every fault at once, each with its remedy
	}
	ln, err := net.Listen("tcp", ":8443")
	if err != nil {
		log.Fatal(err)
	}
	accept := func(l listen.Link) listen.Protocol { return &answer{l} }
	var transport portable.Transport
	log.Fatal(transport.Serve(ln, listen.Options{}, bridge.Wrap(accept, nil)))
}

// The errors of a configuration come together.
func ExampleNew() {
	_, err := tlsbridge.New(&tlsbridge.Config{
		MinVersion:        tls.VersionTLS11,
		ClientCertificate: tlsbridge.RequireClientCertificate,
	})
	fmt.Println(err)
	// Output:
	// tlsbridge: Certificates: no certificate; configure one for the endpoint; for localhost, windhover dev-cert makes one
	// tlsbridge: MinVersion: TLS 1.1 is not supported; use 1.2 or 1.3
	// tlsbridge: ClientCAPaths: client certificates are asked for, but not whose to accept; name the PEM file of the authority that issues client certificates
}
