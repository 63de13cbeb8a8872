package tlsbridge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// store keeps what comes from files and the tls.Configs made of it.
type store struct {
	cfg  *Config
	root *tls.Config // asks configFor; its ticket keys are every connection's
	now  func() time.Time

	mu      sync.Mutex // held while files are read
	inputs  []*input
	certs   map[string][]*bundle // by the option that names them
	cas     *x509.CertPool
	tickets [][32]byte

	state atomic.Pointer[state]
	next  atomic.Int64 // when to look at files again, in Unix nanoseconds
}

// input is a value that comes from files.
type input struct {
	paths []string
	seen  []fs.FileInfo // as of the last attempt to load; nil: absent
	load  func() error  // replaces the value when it succeeds
}

// changed reports whether a file is another one than at the last attempt.
func (in *input) changed() bool {
	return !slices.EqualFunc(in.seen, in.stat(), func(a, b fs.FileInfo) bool {
		if a == nil || b == nil {
			return a == nil && b == nil
		}
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}

func (in *input) stat() []fs.FileInfo {
	s := make([]fs.FileInfo, len(in.paths))
	for i, p := range in.paths {
		if fi, err := os.Stat(p); err == nil {
			s[i] = fi
		}
	}
	return s
}

// try loads in. What it looks like is noted before, so that a change while it
// is read is a change.
func (in *input) try() error {
	in.seen = in.stat()
	return in.load()
}

// newStore checks cfg and loads its files.
func newStore(cfg *Config) (*store, error) {
	s := &store{cfg: cfg, now: cfg.Base.Time, certs: map[string][]*bundle{}}
	if s.now == nil {
		s.now = time.Now
	}
	errs := cfg.check()
	s.addCertificates("Certificates", cfg.Certificates)
	for name, n := range cfg.Names {
		s.addCertificates(fmt.Sprintf("Names[%q].Certificates", name), n.Certificates)
	}
	if len(cfg.ClientCAPaths) > 0 {
		s.inputs = append(s.inputs, &input{paths: cfg.ClientCAPaths, load: s.loadCAs})
	}
	if cfg.TicketKeysPath != "" {
		s.inputs = append(s.inputs, &input{paths: []string{cfg.TicketKeysPath}, load: s.loadTickets})
	}
	for _, in := range s.inputs {
		errs = append(errs, in.try())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.root = cfg.Base.Clone()
	s.root.GetConfigForClient = s.configFor
	s.root.SessionTicketsDisabled = s.root.SessionTicketsDisabled || cfg.DisableSessionTickets
	s.next.Store(s.now().Add(cfg.ReloadInterval).UnixNano())
	s.warn(s.publish())
	return s, nil
}

// addCertificates makes an input of each certificate. They are loaded apart:
// one that cannot be renewed does not hold up the others.
func (s *store) addCertificates(option string, list []Certificate) {
	s.certs[option] = make([]*bundle, len(list))
	for i := range list {
		c := &list[i]
		in := &input{load: func() error {
			b, err := c.load(fmt.Sprintf("%s[%d]", option, i))
			if err == nil {
				s.certs[option][i] = b
			}
			return err
		}}
		for _, p := range []string{c.Path, c.KeyPath, c.staplePath()} {
			if p != "" {
				in.paths = append(in.paths, p)
			}
		}
		s.inputs = append(s.inputs, in)
	}
}

func (s *store) loadCAs() error {
	pool := x509.NewCertPool()
	if s.cfg.ClientCAs != nil {
		pool = s.cfg.ClientCAs.Clone()
	}
	for i, p := range s.cfg.ClientCAPaths {
		option := fmt.Sprintf("ClientCAPaths[%d]", i)
		raw, err := readFile(option, p)
		if err != nil {
			return err
		}
		if !pool.AppendCertsFromPEM(raw) {
			return &ConfigError{option, p, errors.New("no CERTIFICATE block in it"), "give a PEM file with the authority's certificate"}
		}
	}
	s.cas = pool
	return nil
}

func (s *store) loadTickets() error {
	keys, err := loadTicketKeys(s.cfg.TicketKeysPath)
	if err == nil {
		s.tickets = keys
	}
	return err
}

// configFor is the GetConfigForClient of every connection.
func (s *store) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if f := s.cfg.Base.GetConfigForClient; f != nil {
		if c, err := f(hello); c != nil || err != nil {
			return c, err
		}
	}
	s.poll()
	return s.state.Load().pick(hello.ServerName), nil
}

// poll looks whether files have changed, if that is due. One connection in an
// interval pays for it; others go on with what there is.
func (s *store) poll() {
	if s.cfg.ReloadInterval < 0 {
		return
	}
	now, due := s.now(), s.next.Load()
	if now.UnixNano() < due || !s.next.CompareAndSwap(due, now.Add(s.cfg.ReloadInterval).UnixNano()) {
		return
	}
	_ = s.reload(false)
}

// reload loads the files that have changed, or all of them, and publishes the
// outcome. It reports what could not be loaded. The hooks are called without
// the lock: they may ask for the certificates in use.
func (s *store) reload(all bool) error {
	tried, warnings, err := s.update(all)
	s.warn(warnings)
	if tried && s.cfg.OnReload != nil {
		s.cfg.OnReload(err)
	}
	return err
}

func (s *store) update(all bool) (tried bool, warnings []error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, in := range s.inputs {
		if len(in.paths) > 0 && (all || in.changed()) {
			tried = true
			errs = append(errs, in.try())
		}
	}
	if tried || s.now().After(s.state.Load().until) {
		warnings = s.publish()
	}
	return tried, warnings, errors.Join(errs...)
}

func (s *store) warn(warnings []error) {
	for _, w := range warnings {
		if s.cfg.OnWarning != nil {
			s.cfg.OnWarning(w)
		}
	}
}

// leaves returns the certificates in use.
func (s *store) leaves() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	options := make([]string, 0, len(s.certs))
	for o := range s.certs {
		options = append(options, o)
	}
	slices.Sort(options) // "Certificates" is before "Names[…"
	var list []*x509.Certificate
	for _, o := range options {
		for _, b := range s.certs[o] {
			list = append(list, b.cert.Leaf)
		}
	}
	return list
}
