package listen_test

import (
	"context"
	"fmt"

	"github.com/windhover-server/windhover/listen"
)

func ExampleParse() {
	for _, prefix := range []string{"http://*", "HTTPS://Example.com", "http://[::1]:8080/", "http://unix:/run/app.sock", "http://localhost:http"} {
		e, err := listen.Parse(prefix)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(e, "every interface:", e.Kind() == listen.AnyIP)
	}
	// Output:
	// http://*:80 every interface: true
	// https://example.com:443 every interface: true
	// http://[::1]:8080 every interface: false
	// http://unix:/run/app.sock every interface: false
	// listen: prefix "http://localhost:http": port "http" is not a number from 0 to 65535
}

func ExampleBind() {
	endpoints, err := listen.ParseList("http://127.0.0.1:0; https://127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	var bindings []listen.Binding
	for _, e := range endpoints {
		bindings = append(bindings, listen.Binding{Endpoint: e})
	}
	listeners, err := listen.Bind(context.Background(), bindings)
	if err != nil {
		fmt.Println(err) // and nothing is bound
		return
	}
	for _, ln := range listeners {
		// ln.Address() has the port that the system has picked.
		fmt.Println("bound", ln.Endpoint(), ln.Address() != ln.Endpoint().String())
		ln.Close()
	}
	// Output:
	// bound http://127.0.0.1:0 true
	// bound https://127.0.0.1:0 true
}
