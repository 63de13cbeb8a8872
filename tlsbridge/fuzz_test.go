package tlsbridge

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// Whatever comes instead of a handshake, in pieces of any size: the connection
// ends, the protocol gets no data, and Lost once.
func FuzzInsteadOfHandshake(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), byte(3))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), byte(1))
	f.Add([]byte("\x80\x2e\x01\x00\x02"), byte(0))
	f.Add(clientHello(f), byte(200))
	ca := newAuthority(f, "root")
	b := newBridge(f, ca, &Config{})
	f.Fuzz(func(t *testing.T, in []byte, piece byte) {
		client, server := memConnPair()
		client.Write(in)
		client.CloseWrite()
		s := newScript(echo)
		serve(server, b.Wrap(s.accept, nil), int(piece)+1)
		if s.got.Len() > 0 || s.eofs > 0 || len(s.lost) != 1 {
			t.Fatalf("the protocol got %q, EOF %d times, Lost %v", &s.got, s.eofs, s.lost)
		}
		if st := b.Stats(); st.Succeeded != 0 || st.Active != 0 {
			t.Fatalf("stats %+v", st)
		}
	})
}

// After the handshake a program of records, valid and not, arrives in pieces
// of any size: no call waits, the protocol gets what was valid up to the first
// fault, and nothing else.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{0, 5, 1, 0, 0, 200, 2, 0, 3, 0}, byte(7), true)
	f.Add([]byte{0, 9, 4, 30, 0, 1}, byte(1), false)
	f.Add([]byte{5, 0, 0, 3, 6, 2, 0, 3}, byte(90), true)
	ca := newAuthority(f, "root")
	b := newBridge(f, ca, &Config{})
	f.Fuzz(func(t *testing.T, program []byte, piece byte, v13 bool) {
		version := versions[0]
		if v13 {
			version = versions[1]
		}
		s := newScript(nil)
		s.eof = func(*script) listen.Verdict { return listen.Wait }
		h := newHand(t, ca, b, version, s)
		in, want, ends := assemble(h.raw, program)
		verdict := listen.Wait
		for n := int(piece) + 1; len(in) > 0 && verdict == listen.Wait; {
			n = min(n, len(in))
			verdict = h.feed(in[:n])
			in = in[n:]
		}
		if got := s.got.String(); got != want {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
		if ends && s.eofs != 1 {
			t.Fatalf("EOF %d times after close_notify", s.eofs)
		}
		if verdict == listen.Wait {
			h.p.EOF()
		}
		h.p.Lost(nil)
	})
}

// assemble makes records of a program: pairs of an operation and its size. It
// returns what the protocol must get of them, and whether close_notify comes
// before any fault.
func assemble(c *rawClient, program []byte) (in []byte, want string, ends bool) {
	var data strings.Builder
	sound := true // nothing has come that ends the connection
	useless := 0  // crypto/tls tolerates 16 records in a row that carry nothing
	for len(program) >= 2 && len(in) < 64<<10 {
		op, n := program[0]%7, int(program[1])
		program = program[2:]
		switch op {
		case 0:
			s := strings.Repeat("x", n*10)
			in = append(in, c.data(s)...)
			if sound {
				data.WriteString(s)
			}
			if useless++; n > 0 {
				useless = 0
			}
		case 1, 2:
			if c.state.Version != tls.VersionTLS13 {
				continue
			}
			in = append(in, c.keyUpdate(op == 1)...)
			useless++
		case 3:
			in = append(in, c.seal(typeAlert, []byte{1, 0})...)
			ends = ends || sound
			sound = false
		case 4:
			for i := range n {
				in = append(in, byte(i*7))
			}
			sound = sound && n == 0
			// Noise may leave the rest of the stream inside one long record,
			// or be too short to be a record.
		case 5:
			r := c.data("forged")
			r[len(r)-1] ^= 1
			in = append(in, r...)
			sound = false
		case 6:
			in = append(in, c.seal(typeAlert, []byte{2, byte(n) | 1})...)
			sound = false
		}
		if useless > 16 {
			sound = false
		}
	}
	return in, data.String(), ends
}

// A key has 32 bytes, however it is written.
func FuzzTicketKey(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add(strings.Repeat("0f", 32))
	f.Fuzz(func(t *testing.T, s string) {
		if _, ok := parseTicketKey(s); ok && len(s) < 43 {
			t.Fatalf("%q is a key", s)
		}
	})
}
