package windhover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto"
)

// fetch gets url and prints the answer.
func fetch(url string) {
	res, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.StatusCode, string(body))
}

// Bind first, then serve: between the two the addresses are known.
func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!", r.PathValue("name"))
	})
	srv := &windhover.Server{URLs: []string{"http://127.0.0.1:0"}, Handler: mux}
	if err := srv.Listen(context.Background()); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeListeners() }()

	fetch(srv.Addresses()[0] + "/hello/world")
	if err := srv.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-ended)
	// Output:
	// 200 Hello, world!
	// http: Server closed
}

// The native handler allocates nothing; what it is lent is valid until it
// returns.
func Example_native() {
	srv := &windhover.Server{
		URLs: []string{"http://127.0.0.1:0"},
		Native: proto.HandlerFunc(func(x *proto.Exchange) {
			x.Respond(http.StatusOK, "text/plain", x.Path())
		}),
	}
	if err := srv.Listen(context.Background()); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeListeners() }()

	fetch(srv.Addresses()[0] + "/plaintext")
	fmt.Println(srv.Close(), <-ended)
	// Output:
	// 200 /plaintext
	// <nil> http: Server closed
}

func ExampleServer_Run() {
	srv := &windhover.Server{URLs: []string{"http://127.0.0.1:0"}, Handler: http.NotFoundHandler()}
	if err := srv.Listen(context.Background()); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		fetch(srv.Addresses()[0])
		stop() // as SIGTERM would
	}()
	fmt.Println(srv.Run(ctx))
	// Output:
	// 404 404 page not found
	//
	// <nil>
}

func ExampleServer_ListenAndServe() {
	srv := &windhover.Server{
		Endpoints: []windhover.Endpoint{
			{URL: "http://unix:/run/app.sock", Bind: listen.BindOptions{UnixMode: 0o660, UnixOwner: ":www-data"}},
			{URL: "http://*:8080", Bind: listen.BindOptions{ReusePort: true}},
		},
		Handler: http.DefaultServeMux,
	}
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func ExampleListenAndServe() {
	log.Fatal(windhover.ListenAndServe("http://localhost:5000;http://unix:/run/app.sock", http.FileServer(http.Dir("."))))
}
