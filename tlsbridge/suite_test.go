package tlsbridge_test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/listen/listentest"
	"github.com/windhover-server/windhover/portable"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

// sleeved is a transport whose connections speak TLS.
type sleeved struct {
	listen.Transport
	bridge *tlsbridge.Bridge
}

func (s *sleeved) Serve(ln net.Listener, opt listen.Options, accept listen.Acceptor) error {
	return s.Transport.Serve(ln, opt, s.bridge.Wrap(accept, nil))
}

// tlsClient half-closes as clients of TLS do, both TLS and the connection below.
type tlsClient struct{ *tls.Conn }

func (c tlsClient) CloseWrite() error {
	if err := c.Handshake(); err != nil {
		return err
	}
	if err := c.Conn.CloseWrite(); err != nil {
		return err
	}
	return c.NetConn().(interface{ CloseWrite() error }).CloseWrite()
}

// notOverTLS are the cases of the suite that say something about plaintext.
var notOverTLS = map[string]string{
	"ReceiveBackPressure":  "after a write that timed out a tls.Conn, the client's, is of no use",
	"CloseWithoutOutput":   "there is always a close_notify to protect",
	"ExpiredBeforeData":    "the deadline may pass during the handshake",
	"ShutdownWhileWaiting": "a connection in its handshake cannot be told anything",

	"memory/CloseIsNotAReset": "the case fills the network's buffer to the last byte",
}

// overTLS is a network whose clients speak TLS. Their handshake begins at once.
func overTLS(t *testing.T, below listentest.Network) (listentest.Network, *tlsbridge.Bridge) {
	cert, err := devCert()
	if err != nil {
		t.Fatal(err)
	}
	pair := cert.TLS()
	b, err := tlsbridge.New(&tlsbridge.Config{Certificates: []tlsbridge.Certificate{{TLS: &pair}}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{ServerName: "localhost", RootCAs: cert.Pool()}
	n := listentest.Network{Name: "tls over " + below.Name, Skip: func(name string) string {
		return notOverTLS[name] + notOverTLS[below.Name+"/"+name]
	}}
	n.Listen = func(t testing.TB) (net.Listener, func() (net.Conn, error)) {
		ln, dial := below.Listen(t)
		return ln, func() (net.Conn, error) {
			c, err := dial()
			if err != nil {
				return nil, err
			}
			tc := tls.Client(c, cfg)
			go tc.Handshake()
			return tlsClient{tc}, nil
		}
	}
	return n, b
}

// The inner link keeps what the suite demands of a transport's.
func TestTransportSuite(t *testing.T) {
	run := func(t *testing.T, newTransport func(testing.TB) listen.Transport, networks ...listentest.Network) {
		for _, n := range networks {
			n, b := overTLS(t, n)
			listentest.Run(t, func(t testing.TB) listen.Transport { return &sleeved{newTransport(t), b} }, n)
		}
	}
	t.Run("portable", func(t *testing.T) {
		run(t, func(testing.TB) listen.Transport { return &portable.Transport{} }, listentest.OverTCP(), listentest.OverMemory())
	})
	t.Run("ring", func(t *testing.T) {
		run(t, func(t testing.TB) listen.Transport {
			tr, err := ring.New(ring.Options{})
			if err != nil {
				t.Skipf("no io_uring here: %v", err)
			}
			return tr
		}, listentest.OverTCP())
	})
}
