package listen_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

// The rows of kestrel's ServerAddressTests that stay valid, and those of
// modern Kestrel.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		prefix, text string
		kind         listen.Kind
	}{
		{"http://+", "http://+:80", listen.AnyIP},
		{"http://*", "http://*:80", listen.AnyIP},
		{"https://*", "https://*:443", listen.AnyIP},
		{"http://localhost", "http://localhost:80", listen.Localhost},
		{"HTTP://LocalHost:5000/", "http://localhost:5000", listen.Localhost},
		{"http://app.localhost:5000", "http://app.localhost:5000", listen.Localhost},
		{"http://localhost.:5000", "http://localhost.:5000", listen.Localhost},
		{"https://www.example.com", "https://www.example.com:443", listen.AnyIP},
		{"http://www.Example.com/", "http://www.example.com:80", listen.AnyIP},
		{"http://www.example.com:5000/", "http://www.example.com:5000", listen.AnyIP},
		{"http://*.example.com:5000", "http://*.example.com:5000", listen.AnyIP},
		{"http://bücher.example:5000", "http://bücher.example:5000", listen.AnyIP},
		{"http://127.0.0.1:0", "http://127.0.0.1:0", listen.IP},
		{"http://0.0.0.0:65535", "http://0.0.0.0:65535", listen.IP},
		{"http://[::1]", "http://[::1]:80", listen.IP},
		{"https://[::]", "https://[::]:443", listen.IP},
		{"http://[FE80::1%eth0]:80", "http://[fe80::1%eth0]:80", listen.IP},
		{"http://[::ffff:127.0.0.1]:80", "http://127.0.0.1:80", listen.IP},
		{"http://::1:50000", "http://[::1]:50000", listen.IP},
		{"http://unix:5000", "http://unix:5000", listen.AnyIP},
		{"http://unix:/tmp/k.sock", "http://unix:/tmp/k.sock", listen.Unix},
		{"https://unix:/tmp/K.sock", "https://unix:/tmp/K.sock", listen.Unix},
		{"http://unix:/tmp/k.sock:", "http://unix:/tmp/k.sock", listen.Unix},
		{"http://unix:/tmp/k.sock:/", "http://unix:/tmp/k.sock", listen.Unix},
		{"http://unix:/tmp/k.sock/", "http://unix:/tmp/k.sock/", listen.Unix},
		{"http://unix:@name", "http://unix:@name", listen.Unix},
	} {
		e, err := listen.Parse(c.prefix)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.prefix, err)
			continue
		}
		if e.String() != c.text || e.Kind() != c.kind {
			t.Errorf("Parse(%q) = %s, kind %d, want %s, kind %d", c.prefix, e, e.Kind(), c.text, c.kind)
		}
		if again, err := listen.Parse(e.String()); err != nil || again != e {
			t.Errorf("Parse(%q) = %v, %v, want %v", e, again, err, e)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		prefix string
		kind   error
	}{
		{"", listen.ErrSyntax}, {"5000", listen.ErrSyntax}, {"//noscheme", listen.ErrSyntax},
		{"://", listen.ErrSyntax}, {"://:5000", listen.ErrSyntax}, {"http://", listen.ErrSyntax},
		{"http://:5000", listen.ErrSyntax}, {"http:///", listen.ErrSyntax}, {"http:///:5000", listen.ErrSyntax},
		{"http:////", listen.ErrSyntax}, {"http:////:5000", listen.ErrSyntax},
		{"://emptyscheme", listen.ErrScheme}, {"ftp://localhost", listen.ErrScheme}, {" http://localhost", listen.ErrScheme},
		{"ftp://localhost/base", listen.ErrScheme},
		{"http://www.example.com/foo?bar=baz", listen.ErrPathBase}, {"http://a//", listen.ErrPathBase},
		{"http://unix:/tmp/k.sock:5000/doesn't/matter", listen.ErrPathBase},
		{"http://unix:5000/tmp/k.sock", listen.ErrPathBase},
		{"http://www.example.com:NOTAPORT", listen.ErrPort}, {"http://foo:/tmp/k.sock", listen.ErrPort},
		{"http://unix:foo/tmp/k.sock", listen.ErrPort}, {"http://a:65536", listen.ErrPort},
		{"http://a:-1", listen.ErrPort}, {"http://a:+80", listen.ErrPort}, {"http://a: 80", listen.ErrPort}, {"http://a:", listen.ErrPort},
		{"http://127.1", listen.ErrHost}, {"http://0x7f.1", listen.ErrHost}, {"http://2130706433", listen.ErrHost},
		{"http://1.2.3.4.", listen.ErrHost}, {"http://256.1.1.1", listen.ErrHost}, {"http://0x", listen.ErrHost},
		{"http://[127.0.0.1]", listen.ErrHost}, {"http://[::g]:80", listen.ErrHost}, {"http://[::1", listen.ErrHost},
		{"http://::1", listen.ErrHost}, {"http://::1:5000", listen.ErrHost}, {"http://a:b:80", listen.ErrHost},
		{"http://user@host", listen.ErrHost}, {"http://a b", listen.ErrHost}, {"http://host?x", listen.ErrHost}, {"http://a\x00", listen.ErrHost},
		{"http://localhost:0", listen.ErrLocalhostPort}, {"http://app.localhost:0", listen.ErrLocalhostPort},
		{"http://unix:/", listen.ErrSyntax}, {"http://unix:@", listen.ErrSyntax},
	} {
		_, err := listen.Parse(c.prefix)
		var pe *listen.PrefixError
		if !errors.Is(err, c.kind) || !errors.As(err, &pe) || pe.Prefix != c.prefix || !strings.Contains(err.Error(), c.prefix) {
			t.Errorf("Parse(%q): error %v, want a PrefixError of kind %v that names it", c.prefix, err, c.kind)
		}
	}
}

func TestRelativeSocketPathIsExplained(t *testing.T) {
	for _, prefix := range []string{"http://unix:run/app.sock", "http://unix:", "https://unix:app"} {
		if _, err := listen.Parse(prefix); err == nil || !strings.Contains(err.Error(), "must be absolute") {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}

func TestParseListTrimsAndDropsEmptyPieces(t *testing.T) {
	got, err := listen.ParseList(" http://a:1 ;; https://b:2", "", "http://unix:/x;")
	var texts []string
	for _, e := range got {
		texts = append(texts, e.String())
	}
	if want := []string{"http://a:1", "https://b:2", "http://unix:/x"}; err != nil || !slices.Equal(texts, want) {
		t.Errorf("got %q, %v, want %q", texts, err, want)
	}
}

func TestParseListRefusesWhatCannotBeBoundTogether(t *testing.T) {
	for _, c := range []struct {
		list string
		ok   bool
	}{
		{"http://*:80;http://*:80", false},
		{"http://*:80;https://*:80", false},
		{"http://a.example:80;http://b.example:80", false},
		{"http://*:80;http://127.0.0.1:80", false},
		{"http://localhost:80;http://[::1]:80", false},
		{"http://localhost:80;http://[::]:80", false},
		{"http://0.0.0.0:80;http://127.0.0.1:80", false},
		{"http://[::]:80;http://0.0.0.0:80", false},
		{"http://unix:/a;https://unix:/a", false},
		{"http://0.0.0.0:80;http://[::1]:80", true},
		{"http://127.0.0.1:80;http://[::1]:80", true},
		{"http://127.0.0.1:80;https://127.0.0.2:80", true},
		{"http://*:80;https://*:443", true},
		{"http://127.0.0.1:0;https://127.0.0.1:0", true},
		{"http://unix:/a;http://unix:/b", true},
	} {
		_, err := listen.ParseList(c.list)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, listen.ErrConflict) {
			t.Errorf("ParseList(%q): %v, want ok %v", c.list, err, c.ok)
		}
	}
}

func TestHostNameListensOnEveryInterface(t *testing.T) {
	for prefix, want := range map[string]bool{
		"http://contoso.com": true, "http://*": false, "http://+": false, "http://localhost": false, "http://[::]": false,
	} {
		if e, err := listen.Parse(prefix); err != nil || e.ByName() != want {
			t.Errorf("%s: ByName %v, %v, want %v", prefix, e.ByName(), err, want)
		}
	}
}

// What is accepted prints in a form that means the same.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"http://*:80", "https://[::1]:443", "http://unix:/a:b", "http://127.1", "HTTP://LOCALHOST", "http://[fe80::1%a:b]:1", "http://unix:@x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := listen.Parse(s)
		if err != nil {
			var pe *listen.PrefixError
			if !errors.As(err, &pe) || pe.Prefix != s || e != (listen.Endpoint{}) {
				t.Fatalf("Parse(%q) = %v, %v", s, e, err)
			}
			return
		}
		again, err := listen.Parse(e.String())
		if err != nil || again != e || again.String() != e.String() {
			t.Fatalf("Parse(%q) = %#v prints %q, which reads back as %#v, %v", s, e, e, again, err)
		}
		if e.Kind() == listen.Unix != (e.Host == "") || e.Kind() == listen.Localhost && e.Port == 0 {
			t.Fatalf("Parse(%q) = %#v", s, e)
		}
		if runtime.GOOS != "windows" && e.Path != "" && strings.Contains(e.Path, ":") {
			t.Fatalf("Parse(%q): path %q with a colon", s, e.Path)
		}
	})
}
