package portable_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/portable"
)

// upper answers every line in capitals. It is a listen.Protocol.
type upper struct{ link listen.Link }

func (u upper) Data(p []byte) listen.Verdict {
	out := u.link.Begin()
	for _, b := range p {
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		out = append(out, b)
	}
	u.link.End(out)
	return listen.Wait
}

func (upper) EOF() listen.Verdict     { return listen.Close }
func (upper) Expired() listen.Verdict { return listen.Close }
func (upper) Drain() listen.Verdict   { return listen.Close }
func (upper) Lost(error)              {}
func (upper) Gone(error)              {}

func ExampleTransport() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	var t portable.Transport
	served := make(chan error)
	go func() {
		served <- t.Serve(ln, listen.Options{}, func(l listen.Link) listen.Protocol { return upper{l} })
	}()

	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(c, "windhover\n")
	var line string
	fmt.Fscanln(c, &line)
	fmt.Println(line)
	c.Close()

	fmt.Println(t.Shutdown(context.Background()), <-served)
	// Output:
	// WINDHOVER
	// <nil> listen: transport closed
}
