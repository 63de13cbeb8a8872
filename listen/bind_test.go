package listen_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

func parse(t *testing.T, prefix string) listen.Endpoint {
	t.Helper()
	e, err := listen.Parse(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// bind binds prefixes with the same options and closes them after the test.
func bind(t *testing.T, o listen.BindOptions, prefixes ...string) ([]*listen.Listener, error) {
	t.Helper()
	var bs []listen.Binding
	for _, p := range prefixes {
		bs = append(bs, listen.Binding{Endpoint: parse(t, p), Options: o})
	}
	ls, err := listen.Bind(t.Context(), bs)
	t.Cleanup(func() {
		for _, l := range ls {
			l.Close()
		}
	})
	return ls, err
}

// exchange proves that l accepts connections made to address.
func exchange(t *testing.T, l net.Listener, network, address string) {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
}

func haveIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback here:", err)
	}
	ln.Close()
}

func TestBindReportsTheActualAddress(t *testing.T) {
	ls, err := bind(t, listen.BindOptions{}, "http://127.0.0.1:0", "https://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for i, scheme := range []string{"http", "https"} {
		want := scheme + "://" + ls[i].Addr().String()
		if got := ls[i].Address(); got != want || strings.HasSuffix(got, ":0") {
			t.Errorf("address %q, want %q", got, want)
		}
		if _, ok := ls[i].Unwrap().(*net.TCPListener); !ok {
			t.Errorf("Unwrap returns a %T", ls[i].Unwrap())
		}
		exchange(t, ls[i], "tcp", ls[i].Addr().String())
	}
}

func TestEveryInterfaceTakesBothFamilies(t *testing.T) {
	haveIPv6(t)
	ls, err := bind(t, listen.BindOptions{}, "http://*:0", "http://contoso.com:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ls[0].Addr().String())
	if got, want := ls[0].Address(), "http://[::]:"+port; got != want {
		t.Errorf("address %q, want %q", got, want)
	}
	exchange(t, ls[0], "tcp4", "127.0.0.1:"+port)
	exchange(t, ls[0], "tcp6", "[::1]:"+port)
	if ls[0].Index() != 0 || ls[len(ls)-1].Index() != 1 {
		t.Errorf("indices %d and %d", ls[0].Index(), ls[len(ls)-1].Index())
	}
	if len(ls[0].Warnings()) != 0 || len(ls[len(ls)-1].Warnings()) != 1 {
		t.Errorf("warnings %q and %q: only a host name deserves one", ls[0].Warnings(), ls[len(ls)-1].Warnings())
	}
}

func TestIPv4AnyTakesOnlyIPv4(t *testing.T) {
	haveIPv6(t)
	ls, err := bind(t, listen.BindOptions{}, "http://0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(ls[0].Addr().String())
	if c, err := net.Dial("tcp6", "[::1]:"+port); err == nil {
		c.Close()
		t.Error("IPv6 is served")
	}
	exchange(t, ls[0], "tcp4", "127.0.0.1:"+port)
}

func TestLocalhostIsBothLoopbacks(t *testing.T) {
	haveIPv6(t)
	port := freePort(t)
	ls, err := bind(t, listen.BindOptions{}, "http://localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if len(ls) != 2 || ls[0].Addr().String() != "127.0.0.1:"+port || ls[1].Addr().String() != "[::1]:"+port {
		t.Fatalf("bound %v", ls)
	}
	if got := listen.Addresses(ls); len(got) != 1 || got[0] != "http://localhost:"+port {
		t.Errorf("addresses %q", got)
	}
}

func TestLocalhostInUseOnOneFamilyFails(t *testing.T) {
	haveIPv6(t)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		taken, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		_, port, _ := net.SplitHostPort(taken.Addr().String())
		_, err = bind(t, listen.BindOptions{}, "http://localhost:"+port)
		var be *listen.BindError
		if !errors.As(err, &be) || be.Address != "http://"+host+":"+port || be.Prefix != "http://localhost:"+port || be.Remedy == "" {
			t.Errorf("error %v does not name %s", err, host)
		}
	}
}

func TestBindIsWholeOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := freePort(t)
	sock := filepath.Join(t.TempDir(), "s")
	_, err = bind(t, listen.BindOptions{}, "http://127.0.0.1:"+port, "http://unix:"+sock, "http://"+taken.Addr().String())
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("error %v does not name %v", err, taken.Addr())
	}
	if _, err := os.Lstat(sock); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the socket file is left")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal("the first endpoint is still bound:", err)
	}
	ln.Close()
}

func TestBindRefusesBeforeBinding(t *testing.T) {
	e := parse(t, "http://127.0.0.1:"+freePort(t))
	for name, c := range map[string]struct {
		second listen.Binding
		kind   error
	}{
		"duplicate":       {listen.Binding{Endpoint: e}, listen.ErrConflict},
		"zero endpoint":   {listen.Binding{}, listen.ErrSyntax},
		"made by hand":    {listen.Binding{Endpoint: listen.Endpoint{Scheme: "http", Host: "A", Port: 1}}, listen.ErrSyntax},
		"localhost:0":     {listen.Binding{Endpoint: listen.Endpoint{Scheme: "http", Host: "localhost"}}, listen.ErrLocalhostPort},
		"backlog":         {listen.Binding{Endpoint: parse(t, "http://*:0"), Options: listen.BindOptions{Backlog: -1}}, listen.ErrOption},
		"mode":            {listen.Binding{Endpoint: parse(t, "http://*:0"), Options: listen.BindOptions{UnixMode: fs.ModeSetuid}}, listen.ErrOption},
		"unknown owner":   {listen.Binding{Endpoint: parse(t, "http://*:0"), Options: listen.BindOptions{UnixOwner: "no such user"}}, listen.ErrOption},
		"https on a port": {listen.Binding{Endpoint: listen.Endpoint{Scheme: "https", Host: e.Host, Port: e.Port}}, listen.ErrConflict},
	} {
		if _, err := listen.Bind(t.Context(), []listen.Binding{{Endpoint: e}, c.second}); !errors.Is(err, c.kind) {
			t.Errorf("%s: error %v, want %v", name, err, c.kind)
		}
	}
}

func TestBindStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := listen.Bind(ctx, []listen.Binding{{Endpoint: parse(t, "http://127.0.0.1:0")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestInheritedListenersAreUsed(t *testing.T) {
	for _, fail := range []bool{false, true} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		bs := []listen.Binding{{Endpoint: parse(t, "https://*:443"), Options: listen.BindOptions{Inherited: []net.Listener{ln}}}}
		if fail {
			bs = append(bs, listen.Binding{Endpoint: parse(t, "http://"+ln.Addr().String())})
		}
		ls, err := listen.Bind(t.Context(), bs)
		if (err != nil) != fail {
			t.Fatal(err)
		}
		if !fail && (ls[0].Address() != "https://"+ln.Addr().String() || !ls[0].Inherited() || ls[0].Unwrap() != ln) {
			t.Errorf("address %s, inherited %v", ls[0].Address(), ls[0].Inherited())
		}
		exchange(t, ln, "tcp", ln.Addr().String()) // in the failed case it must be open still
	}
}

func TestEndpointMatchesItsSocket(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		prefix string
		addr   net.Addr
		want   bool
	}{
		{"http://*:80", tcp("[::]:80"), true},
		{"http://*:80", tcp("0.0.0.0:80"), true},
		{"http://*:80", tcp("127.0.0.1:80"), false},
		{"http://*:80", tcp("[::]:81"), false},
		{"http://localhost:80", tcp("[::1]:80"), true},
		{"http://localhost:80", tcp("127.0.0.1:80"), true},
		{"http://localhost:80", tcp("[::]:80"), false},
		{"http://10.0.0.1:80", tcp("10.0.0.1:80"), true},
		{"http://unix:/a", &net.UnixAddr{Name: "/a", Net: "unix"}, true},
		{"http://unix:/a", &net.UnixAddr{Name: "/b", Net: "unix"}, false},
		{"http://unix:/a", tcp("127.0.0.1:0"), false},
	} {
		if got := parse(t, c.prefix).Matches(c.addr); got != c.want {
			t.Errorf("%s matches %v: %v", c.prefix, c.addr, got)
		}
	}
}
