package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/windhover-server/windhover/listen"
)

// DefaultTimeout is how long a peer may take to send its header. A load
// balancer sends it with its first packet.
const DefaultTimeout = 5 * time.Second

// drainGrace is how long a new connection is waited for when the server stops,
// as http.Server.Shutdown does.
const drainGrace = 5 * time.Second

const (
	maxHeaderV1 = 107 // PROXY protocol specification, section 2.1
	headV2      = 16  // signature, version and command, family, length
	maxBodyV2   = 4096
)

var (
	// ErrUntrusted says that a peer that is not trusted has connected.
	ErrUntrusted = errors.New("proxyproto: connection from a peer that is not trusted")
	// ErrNoHeader says that a connection did not begin with a PROXY header.
	ErrNoHeader = errors.New("proxyproto: no PROXY protocol header")
	// ErrHeaderTimeout says that the header was not complete in time.
	ErrHeaderTimeout = errors.New("proxyproto: PROXY protocol header not received in time")
	// ErrHeaderTooLong says that a header is longer than any sensible one.
	ErrHeaderTooLong = errors.New("proxyproto: PROXY protocol header too long")
)

var signatureV1 = []byte("PROXY ")

// Config says whose headers are taken. The zero value is usable. It must not
// change while it is in use; it may be shared by any number of connections.
type Config struct {
	// Trusted are the networks of the load balancers. None means the
	// loopback addresses. Peers on Unix sockets, which have no IP address, are
	// always trusted. To trust everybody, list 0.0.0.0/0 and ::/0.
	Trusted []netip.Prefix

	// AllowDirect serves connections of other peers as they are, without a
	// header; a header they send anyway is then an error of the protocol
	// above. By default they are closed at once.
	AllowDirect bool

	// Timeout bounds the wait for a complete header, from the accept on. Zero
	// means [DefaultTimeout]; a negative value means no bound.
	Timeout time.Duration

	// OnError is told of each connection that was turned away: the peer as
	// the socket shows it, and why (one of this package's errors, or what
	// is wrong with the header). It may be nil, must not block and may be
	// called from several goroutines.
	OnError func(peer net.Addr, err error)
}

// Wrap returns an Acceptor that takes the header off each connection and then
// hands it to next, on a Link whose RemoteAddr and LocalAddr (also of its
// net.Conn) are those of the header. A header without addresses (LOCAL, as sent
// with health checks, or UNKNOWN) leaves the socket's own.
func Wrap(c *Config, next listen.Acceptor) listen.Acceptor {
	return func(link listen.Link) listen.Protocol {
		if !c.trusts(link.RemoteAddr()) {
			if c.AllowDirect {
				return next(link)
			}
			c.report(link.RemoteAddr(), ErrUntrusted)
			return nil
		}
		timeout := c.Timeout
		if timeout == 0 {
			timeout = DefaultTimeout
		}
		if timeout > 0 {
			link.SetReadDeadline(time.Now().Add(timeout))
		}
		return &sleeve{config: c, link: link, next: next}
	}
}

func (c *Config) report(peer net.Addr, err error) {
	if c.OnError != nil {
		c.OnError(peer, err)
	}
}

func (c *Config) trusts(peer net.Addr) bool {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return true
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if len(c.Trusted) == 0 {
		return addr.IsLoopback()
	}
	for _, network := range c.Trusted {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// sleeve is the Protocol of one connection: first it collects the header, then
// it passes everything on.
type sleeve struct {
	config *Config
	link   listen.Link
	next   listen.Acceptor
	head   []byte // an incomplete header; nil once there is an inner protocol

	draining bool // the server is stopping, and there is no inner protocol yet

	// inner is set once, by Data. It is atomic because Gone may come from any
	// goroutine.
	inner atomic.Pointer[listen.Protocol]
}

func (s *sleeve) Data(p []byte) listen.Verdict {
	if inner := s.inner.Load(); inner != nil {
		return (*inner).Data(p)
	}
	data := p
	if len(s.head) > 0 {
		s.head = append(s.head, p...)
		data = s.head
	}
	n, err := headerLen(data)
	switch {
	case err != nil:
		return s.fail(err)
	case n == 0 && len(s.head) == 0:
		s.head = append(s.head, p...) // p is lent
		return listen.Wait
	case n == 0:
		return listen.Wait
	}
	link, err := s.read(data[:n])
	if err != nil {
		return s.fail(err)
	}
	return s.start(link, data[n:])
}

func (s *sleeve) start(link listen.Link, rest []byte) listen.Verdict {
	s.link.SetReadDeadline(time.Time{})
	inner := s.next(link)
	if inner == nil {
		return listen.Abort
	}
	s.inner.Store(&inner)
	s.head = nil
	v := listen.Wait
	if len(rest) > 0 {
		v = inner.Data(rest)
	}
	if v == listen.Wait && s.draining {
		return inner.Drain()
	}
	return v
}

// read parses a complete header.
func (s *sleeve) read(head []byte) (listen.Link, error) {
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(head), len(head)))
	if err != nil {
		return nil, err
	}
	if h.Command.IsLocal() || h.TransportProtocol == proxyproto.UNSPEC {
		return s.link, nil
	}
	if !h.TransportProtocol.IsStream() || h.SourceAddr == nil || h.DestinationAddr == nil {
		return nil, fmt.Errorf("proxyproto: header of a connection that is no stream: %w", proxyproto.ErrUnsupportedAddressFamilyAndProtocol)
	}
	return newLink(s.link, h.SourceAddr, h.DestinationAddr), nil
}

func (s *sleeve) fail(err error) listen.Verdict {
	s.config.report(s.link.RemoteAddr(), err)
	return listen.Abort
}

// headerLen returns the length of the header that data begins with, 0 while
// that cannot be known or the header is not complete.
func headerLen(data []byte) (int, error) {
	switch {
	case bytes.HasPrefix(data, signatureV1):
		end := bytes.IndexByte(data[:min(len(data), maxHeaderV1)], '\n')
		if end < 0 && len(data) >= maxHeaderV1 {
			return 0, ErrHeaderTooLong
		}
		return end + 1, nil
	case bytes.HasPrefix(data, proxyproto.SIGV2):
		if len(data) < headV2 {
			return 0, nil
		}
		body := int(binary.BigEndian.Uint16(data[headV2-2:]))
		if body > maxBodyV2 {
			return 0, ErrHeaderTooLong
		}
		if len(data) < headV2+body {
			return 0, nil
		}
		return headV2 + body, nil
	case bytes.HasPrefix(signatureV1, data), bytes.HasPrefix(proxyproto.SIGV2, data):
		return 0, nil
	}
	return 0, ErrNoHeader
}

func (s *sleeve) EOF() listen.Verdict {
	if inner := s.inner.Load(); inner != nil {
		return (*inner).EOF()
	}
	if len(s.head) == 0 {
		return listen.Abort // a bare connect, as port checks do: nothing to report
	}
	return s.fail(ErrNoHeader)
}

func (s *sleeve) Expired() listen.Verdict {
	if inner := s.inner.Load(); inner != nil {
		return (*inner).Expired()
	}
	return s.fail(ErrHeaderTimeout)
}

// Drain lets a connection that has just been made go on for a while: its header
// and first request may be on their way.
func (s *sleeve) Drain() listen.Verdict {
	if inner := s.inner.Load(); inner != nil {
		return (*inner).Drain()
	}
	if !s.draining {
		s.draining = true
		s.link.SetReadDeadline(time.Now().Add(drainGrace))
	}
	return listen.Wait
}

func (s *sleeve) Lost(err error) {
	if inner := s.inner.Load(); inner != nil {
		(*inner).Lost(err)
	}
}

func (s *sleeve) Gone(err error) {
	if inner := s.inner.Load(); inner != nil {
		(*inner).Gone(err)
	}
}
