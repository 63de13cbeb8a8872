package tlsbridge

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// clock is the time that a bridge sees.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Now().UnixNano())
	return c
}
func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }
func (c *clock) base() *tls.Config       { return &tls.Config{Time: c.now} }

// reports collects what OnReload and OnWarning are told.
type reports struct {
	mu       sync.Mutex
	reloads  []error
	warnings []error
}

func (r *reports) reload(err error) { r.mu.Lock(); r.reloads = append(r.reloads, err); r.mu.Unlock() }
func (r *reports) warn(err error)   { r.mu.Lock(); r.warnings = append(r.warnings, err); r.mu.Unlock() }
func (r *reports) take() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.reloads
	r.reloads = nil
	return e
}

// Changed files are used from a handshake after the interval on, and
// connections do not notice.
func TestReloadWhenFilesChange(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	clk := newClock()
	var rep reports
	first, second := ca.issue(t, nil, "localhost"), ca.issue(t, nil, "localhost")
	certPath, keyPath := writePEM(t, dir, "cert", first)
	var b *Bridge
	var err error
	b, err = New(&Config{
		Certificates: []Certificate{{Path: certPath, KeyPath: keyPath}}, Base: clk.base(),
		OnReload: func(err error) {
			rep.reload(err)
			if got := b.Certificates(); len(got) != 1 || !got[0].Equal(second.Leaf) {
				t.Errorf("OnReload finds %v in use", got)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	old := dial(t, b.Wrap(newScript(echo).accept, nil), clientConfig(ca, 0))
	wantEcho(t, old, "before")

	writePEM(t, dir, "cert", second)
	if got := served(t, b, clientConfig(ca, 0)); !got.Equal(first.Leaf) {
		t.Error("looked at files before the interval was over")
	}
	clk.advance(DefaultReloadInterval)
	if got := served(t, b, clientConfig(ca, 0)); !got.Equal(second.Leaf) {
		t.Error("the new certificate is not served")
	}
	if got := rep.take(); len(got) != 1 || got[0] != nil {
		t.Errorf("OnReload was told %v", got)
	}
	clk.advance(DefaultReloadInterval)
	served(t, b, clientConfig(ca, 0))
	if got := rep.take(); len(got) != 0 {
		t.Errorf("OnReload was told %v though nothing had changed", got)
	}
	wantEcho(t, old, "after")
}

// While only half of a pair has been replaced the old one stays, which is
// reported once; the other half completes it.
func TestReloadOfHalfAPair(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	clk := newClock()
	var rep reports
	first, second := ca.issue(t, nil, "localhost"), ca.issue(t, nil, "localhost")
	certPath, keyPath := writePEM(t, dir, "cert", first)
	b, err := New(&Config{Certificates: []Certificate{{Path: certPath, KeyPath: keyPath}}, Base: clk.base(), OnReload: rep.reload})
	if err != nil {
		t.Fatal(err)
	}
	newCert, newKey := writePEM(t, dir, "new", second)
	if err := os.Rename(newCert, certPath); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		clk.advance(DefaultReloadInterval)
		if got := served(t, b, clientConfig(ca, 0)); !got.Equal(first.Leaf) {
			t.Fatal("half a pair is served")
		}
	}
	if got := rep.take(); len(got) != 1 || got[0] == nil || !strings.Contains(got[0].Error(), certPath) {
		t.Errorf("OnReload was told %v, want one error with the file", got)
	}
	if err := os.Rename(newKey, keyPath); err != nil {
		t.Fatal(err)
	}
	clk.advance(DefaultReloadInterval)
	if got := served(t, b, clientConfig(ca, 0)); !got.Equal(second.Leaf) {
		t.Fatal("the whole pair is not served")
	}
	if got := rep.take(); len(got) != 1 || got[0] != nil {
		t.Errorf("OnReload was told %v", got)
	}
}

// Reload does not wait for the interval; what cannot be loaded keeps its old
// value, and does not keep others from being renewed.
func TestExplicitReload(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	a1, a2 := ca.issue(t, nil, "a.example"), ca.issue(t, nil, "a.example")
	b1 := ca.issue(t, nil, "b.example")
	aCert, aKey := writePEM(t, dir, "a", a1)
	bCert, bKey := writePEM(t, dir, "b", b1)
	bridge, err := New(&Config{
		ReloadInterval: -1,
		Certificates:   []Certificate{{Path: aCert, KeyPath: aKey}},
		Names:          map[string]Name{"b.example": {Certificates: []Certificate{{Path: bCert, KeyPath: bKey}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := func(name string) *tls.Config { return &tls.Config{ServerName: name, RootCAs: ca.pool()} }
	writePEM(t, dir, "a", a2)
	writeFile(t, bKey, []byte("junk"))
	if got := served(t, bridge, client("a.example")); !got.Equal(a1.Leaf) {
		t.Error("reloaded without being asked")
	}
	err = bridge.Reload()
	if ce, ok := errors.AsType[*ConfigError](err); !ok || ce.Path != bKey {
		t.Errorf("Reload: %v, want the fault of %s", err, bKey)
	}
	if got := served(t, bridge, client("a.example")); !got.Equal(a2.Leaf) {
		t.Error("a.example was not renewed")
	}
	if got := served(t, bridge, client("b.example")); !got.Equal(b1.Leaf) {
		t.Error("b.example lost its certificate")
	}
}

// Handshakes and echoes go on, none fails, while certificates change.
func TestReloadUnderLoad(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	certPath, keyPath := writePEM(t, dir, "cert", ca.issue(t, nil, "localhost"))
	b, err := New(&Config{Certificates: []Certificate{{Path: certPath, KeyPath: keyPath}}})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var clients, done sync.WaitGroup
	var handshakes atomic.Int64
	for i := range 4 {
		clients.Go(func() {
			cfg := clientConfig(ca, versions[i%2])
			cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for {
				select {
				case <-stop:
					return
				default:
				}
				client, server := memConnPair()
				done.Go(func() { serve(server, b.Wrap(newScript(echo).accept, nil), 4096) })
				c := tls.Client(client, cfg)
				if _, err := c.Write([]byte("x")); err != nil {
					t.Error(err)
				} else if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Error(err)
				}
				c.Close()
				handshakes.Add(1)
			}
		})
	}
	for i := 0; i < 20 || handshakes.Load() < 100; i++ {
		writePEM(t, dir, "cert", ca.issue(t, nil, "localhost"))
		if err := b.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	clients.Wait()
	done.Wait()
	if st := b.Stats(); st.Failed != 0 || st.Resumed == 0 || st.Active != 0 {
		t.Errorf("stats %+v", st)
	}
}

// Authorities of clients are reloaded as certificates are, and a session does
// not outlive its authority.
func TestReloadOfClientAuthorities(t *testing.T) {
	dir := t.TempDir()
	ca, old, renewed := newAuthority(t, "root"), newAuthority(t, "old"), newAuthority(t, "new")
	path := filepath.Join(dir, "clients.pem")
	write := func(a *testAuthority) {
		writeFile(t, path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	}
	write(old)
	b := newBridge(t, ca, &Config{ClientCertificate: RequireClientCertificate, ClientCAPaths: []string{path}})
	eachVersion(t, func(t *testing.T, version uint16) {
		cache := tls.NewLRUClientSessionCache(1)
		cert := old.issue(t, nil, "client")
		client := func() error {
			cfg := clientConfig(ca, version)
			cfg.ClientSessionCache = cache
			cfg.Certificates = []tls.Certificate{cert}
			c := tls.Client(serveMem(t, b.Wrap(newScript(echo).accept, nil)), cfg)
			defer c.Close()
			c.Write([]byte("x"))
			_, err := c.Read(make([]byte, 1))
			return err
		}
		for range 2 {
			if err := client(); err != nil {
				t.Fatal(err)
			}
		}
		write(renewed)
		if err := b.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := client(); err == nil {
			t.Error("a session outlived its authority")
		}
		cert = renewed.issue(t, nil, "client")
		if err := client(); err != nil {
			t.Error(err)
		}
		write(old)
		if err := b.Reload(); err != nil {
			t.Fatal(err)
		}
	})
	writeFile(t, path, []byte("junk"))
	if err := b.Reload(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Reload of junk: %v", err)
	}
}

// resumes reports whether a session from one bridge is resumed at another.
func resumes(t *testing.T, ca *testAuthority, version uint16, from, to *Bridge) bool {
	t.Helper()
	cache := tls.NewLRUClientSessionCache(1)
	var resumed bool
	for _, b := range []*Bridge{from, to} {
		cfg := clientConfig(ca, version)
		cfg.ClientSessionCache = cache
		c := dial(t, b.Wrap(newScript(echo).accept, nil), cfg)
		wantEcho(t, c, "x")
		resumed = c.ConnectionState().DidResume
		c.Close()
	}
	return resumed
}

func TestSessionTickets(t *testing.T) {
	ca := newAuthority(t, "root")
	cert := ca.issue(t, nil, "localhost")
	dir := t.TempDir()
	write := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(strings.Join(lines, "\n")+"\n"))
		return path
	}
	bridge := func(cfg Config) *Bridge {
		cfg.Certificates = []Certificate{{TLS: &cert}}
		return newBridge(t, ca, &cfg)
	}
	k1 := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))
	k2 := hex.EncodeToString(bytes.Repeat([]byte{2}, 32))
	eachVersion(t, func(t *testing.T, version uint16) {
		clk := newClock()
		alone := bridge(Config{Base: clk.base()})
		if !resumes(t, ca, version, alone, alone) {
			t.Error("no resumption at the same bridge")
		}
		if err := alone.Reload(); err != nil || !resumes(t, ca, version, alone, alone) {
			t.Errorf("no resumption after Reload (%v)", err)
		}
		if resumes(t, ca, version, alone, bridge(Config{})) {
			t.Error("another process could resume")
		}
		off := bridge(Config{DisableSessionTickets: true})
		if resumes(t, ca, version, off, off) {
			t.Error("resumption though it is off")
		}
		shared := bridge(Config{TicketKeysPath: write("one.keys", "# fleet", "", k1)})
		fleet := bridge(Config{TicketKeysPath: write("two.keys", k2, k1)})
		if !resumes(t, ca, version, shared, fleet) {
			t.Error("no resumption with the fleet's older key")
		}
		if resumes(t, ca, version, fleet, shared) {
			t.Error("resumption with a key that is not in the file")
		}
		write("one.keys", k2)
		if err := shared.Reload(); err != nil || !resumes(t, ca, version, fleet, shared) {
			t.Errorf("no resumption with a new key in the file (%v)", err)
		}
	})
	for name, lines := range map[string][]string{"empty": {"# none"}, "short": {"YWJj"}, "junk": {k1, "!!"}, "many": slicesRepeat(k1, maxTicketKeys+1)} {
		_, err := New(&Config{Certificates: []Certificate{{TLS: &cert}}, TicketKeysPath: write(name, lines...)})
		if ce, ok := errors.AsType[*ConfigError](err); !ok || ce.Option != "TicketKeysPath" || ce.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func slicesRepeat(s string, n int) []string {
	return strings.Split(strings.Repeat(s+" ", n-1)+s, " ")
}

// Ticket keys of the process are replaced every day.
func TestTicketKeyRotation(t *testing.T) {
	ca := newAuthority(t, "root")
	clk := newClock()
	b := newBridge(t, ca, &Config{Base: clk.base()})
	cache := &oneSession{}
	resume := func() bool {
		cfg := clientConfig(ca, tls.VersionTLS13)
		cfg.ClientSessionCache, cfg.Time = cache, clk.now
		c := dial(t, b.Wrap(newScript(echo).accept, nil), cfg)
		defer c.Close()
		wantEcho(t, c, "x")
		return c.ConnectionState().DidResume
	}
	resume()
	first := cache.state
	clk.advance(25 * time.Hour)
	if !resume() {
		t.Error("yesterday's key is not known any more")
	}
	cache.state = first
	clk.advance(7 * 24 * time.Hour)
	if resume() {
		t.Error("a key is used for longer than a week")
	}
}

// staple makes an OCSP response of ca for c.
func staple(t testing.TB, ca *testAuthority, c *x509.Certificate, status int, until time.Time) []byte {
	t.Helper()
	b, err := ocsp.CreateResponse(ca.cert, ca.cert, ocsp.Response{
		Status: status, SerialNumber: c.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: until,
		RevokedAt: time.Now().Add(-time.Hour), IssuerHash: crypto.SHA1,
	}, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOCSPResponse(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, "root")
	c := ca.issue(t, nil, "localhost")
	c.Certificate = append(c.Certificate, ca.cert.Raw)
	certPath, keyPath := writePEM(t, dir, "cert", c)
	clk := newClock()
	var rep reports
	good := staple(t, ca, c.Leaf, ocsp.Good, clk.now().Add(time.Hour))
	stapled := func(b *Bridge) []byte {
		conn := dial(t, b.Wrap(newScript(echo).accept, nil), clientConfig(ca, 0))
		defer conn.Close()
		return conn.OCSPResponse()
	}
	plain, err := os.ReadFile(certPath)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle.pem")
	writeFile(t, bundle, append(plain, pem.EncodeToMemory(&pem.Block{Type: "OCSP RESPONSE", Bytes: good})...))
	other := filepath.Join(dir, "response.der")
	writeFile(t, other, good)
	for name, cert := range map[string]Certificate{
		"in the bundle": {Path: bundle, KeyPath: keyPath},
		"own path":      {Path: certPath, KeyPath: keyPath, OCSPPath: other},
	} {
		b := newBridge(t, ca, &Config{Certificates: []Certificate{cert}})
		if !bytes.Equal(stapled(b), good) {
			t.Errorf("%s: not stapled", name)
		}
	}

	// Beside the certificate: it may come later, and it is not stapled past
	// its time.
	b := newBridge(t, ca, &Config{Certificates: []Certificate{{Path: certPath, KeyPath: keyPath}}, Base: clk.base(), OnReload: rep.reload, OnWarning: rep.warn})
	if stapled(b) != nil {
		t.Error("stapled out of nothing")
	}
	writeFile(t, certPath+".ocsp", good)
	clk.advance(DefaultReloadInterval)
	if !bytes.Equal(stapled(b), good) {
		t.Error("not stapled when it came")
	}
	clk.advance(2 * time.Hour)
	if stapled(b) != nil {
		t.Error("stapled past its time")
	}
	if len(rep.warnings) != 1 || !strings.Contains(rep.warnings[0].Error(), "past its time") {
		t.Errorf("warnings %v", rep.warnings)
	}
	writeFile(t, certPath+".ocsp", staple(t, ca, c.Leaf, ocsp.Good, clk.now().Add(time.Hour)))
	clk.advance(DefaultReloadInterval)
	if stapled(b) == nil {
		t.Error("the renewed response is not stapled")
	}

	stranger := newAuthority(t, "stranger")
	for name, response := range map[string][]byte{
		"revoked":           staple(t, ca, c.Leaf, ocsp.Revoked, clk.now().Add(time.Hour)),
		"unknown":           staple(t, ca, c.Leaf, ocsp.Unknown, clk.now().Add(time.Hour)),
		"other certificate": staple(t, ca, ca.issue(t, nil, "localhost").Leaf, ocsp.Good, clk.now().Add(time.Hour)),
		"other authority":   staple(t, stranger, c.Leaf, ocsp.Good, clk.now().Add(time.Hour)),
	} {
		writeFile(t, other, response)
		_, err := New(&Config{Certificates: []Certificate{{Path: certPath, KeyPath: keyPath, OCSPPath: other}}})
		if err == nil || !strings.Contains(err.Error(), "OCSP response") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRandomTicketKeyFileIsRejectedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	raw := make([]byte, 80) // as other servers have it
	rand.Read(raw)
	writeFile(t, path, raw)
	if _, err := loadTicketKeys(path); err == nil || !strings.Contains(err.Error(), "openssl rand") {
		t.Fatal(err)
	}
}
