package wire

import "testing"

func TestTargetForms(t *testing.T) {
	for _, test := range []struct{ method, target, host, want string }{
		{"GET", "/", "a", "ok"},
		{"GET", "/?", "a", "ok"},
		{"GET", "//a//b", "a", "ok"},
		{"GET", "/a?b?c=/d", "a", "ok"},
		{"GET", "/a:b;c=d,e|[1]{2}^`'\"<>\\", "a", "ok"},
		{"GET", "/%zz%", "a", "ok"},
		{"GET", "/caf\xc3\xa9?\xff", "a", "ok"},
		{"GET", "/?%00", "a", "ok"},
		{"GET", "/%2500", "a", "ok"},
		{"CONNECT", "/rpc", "a", "ok"},
		{"GET", "/a#b", "a", "invalid-target"},
		{"GET", "/a?b#c", "a", "invalid-target"},
		{"GET", "/%00", "a", "invalid-target"},
		{"GET", "/aaaaaaaaaaaaaaaaaa%00?b", "a", "invalid-target"},
		{"GET", "/%E8%00%84", "a", "invalid-target"},
		{"GET", "/%%00", "a", "invalid-target"},
		{"GET", "/\x00", "a", "invalid-target"},
		{"GET", "/a?\x00", "a", "invalid-target"},
		{"GET", "/\x7f", "a", "invalid-target"},
		{"GET", "/aaaaaaaaaaaaaaaaaaaaa\x0b", "a", "invalid-target"},

		{"OPTIONS", "*", "a", "ok"},
		{"OPTIONS", "*", "", "ok"},
		{"OPTIONS", "**", "a", "invalid-target"},
		{"OPTIONS", "*?", "a", "invalid-target"},
		{"GET", "*", "a", "options-required"},
		{"CONNECT", "*", "a", "options-required"},

		{"GET", "http://a.test", "a.test", "ok"},
		{"GET", "http://a.test/", "a.test", "ok"},
		{"GET", "http://a.test?x", "a.test", "ok"},
		{"GET", "HTTP://a.test/", "A.TEST", "ok"},
		{"GET", "https://a.test/", "a.test", "ok"},
		{"GET", "http://a.test:80/", "a.test", "ok"},
		{"GET", "http://a.test/", "a.test:80", "ok"},
		{"GET", "https://a.test:443/", "a.test", "ok"},
		{"GET", "http://[::1]:8080/", "[::1]:8080", "ok"},
		{"GET", "http://[::1]/", "[::1]:80", "ok"},
		{"GET", "http://a.test/", "b.test", "host-mismatch"},
		{"GET", "http://a.test/", "a.test:81", "host-mismatch"},
		{"GET", "http://a.test:443/", "a.test", "host-mismatch"},
		{"GET", "https://a.test:80/", "a.test", "host-mismatch"},
		{"GET", "http://a.test/", "", "host-mismatch"},
		{"GET", "http://a.tes/", "a.tesT", "host-mismatch"},
		{"GET", "http://a~/", "a^", "invalid-host"},
		{"GET", "http://a.test/%00", "a.test", "invalid-target"},
		{"GET", "http://", "", "invalid-target"},
		{"GET", "http:/", "", "invalid-target"},
		{"GET", "http:///x", "a", "invalid-target"},
		{"GET", "http://:80", "a", "invalid-target"},
		{"GET", "http://?q", "a", "invalid-target"},
		{"GET", "http://user@", "a", "invalid-target"},
		{"GET", "http://user:pw@a.test/", "a.test", "invalid-target"},
		{"GET", "http://abc%20xyz/abc", "abc", "invalid-target"},
		{"GET", "http://a.test:x/", "a.test", "invalid-target"},
		{"GET", "ftp://a.test/", "a.test", "invalid-target"},
		{"GET", "ws://a.test/", "a.test", "invalid-target"},
		{"GET", "httpx://a.test/", "a.test", "invalid-target"},
		{"CONNECT", "http://a.test/", "a.test", "invalid-target"},

		{"CONNECT", "a.test:443", "a.test:443", "ok"},
		{"CONNECT", "A.test:443", "a.TEST:443", "ok"},
		{"CONNECT", "[::1]:443", "[::1]:443", "ok"},
		{"CONNECT", "a-b_c~d.test:443", "a-b_c~d.test:443", "ok"},
		{"CONNECT", "a.test", "a.test", "invalid-target"},
		{"CONNECT", "a.test:", "a.test:", "invalid-target"},
		{"CONNECT", ":443", ":443", "invalid-target"},
		{"CONNECT", "u@a.test:443", "a.test:443", "invalid-target"},
		{"CONNECT", "a.test:443/", "a.test:443", "invalid-target"},
		{"CONNECT", "a.test:443", "b.test:443", "ok"},
		{"CONNECT", "a.test:443", "a.test", "ok"},
		{"CONNECT", "[]%20%48%54%54%50", "a", "invalid-target"},
		{"GET", "a.test:443", "a.test:443", "connect-required"},
		{"GET", "a", "a", "connect-required"},
		{"GET", "../../x", "a", "invalid-target"},
		{"GET", "./x", "a", "invalid-target"},
		{"GET", "..\\.", "a", "invalid-target"},
		{"GET", "?q=1", "a", "invalid-target"},
		{"GET", "mailto:x", "a", "invalid-target"},
	} {
		wantVerdict(t, nil, test.method+" "+test.target+" HTTP/1.1\r\nHost: "+test.host+"\r\n\r\n", test.want)
	}
}

func TestTargetParts(t *testing.T) {
	for _, test := range []struct {
		line                           string
		form                           TargetForm
		scheme, authority, path, query string
		hasQuery                       bool
		host                           string
	}{
		{"GET /a/b HTTP/1.1", OriginForm, "", "", "/a/b", "", false, "h"},
		{"GET /a?b HTTP/1.1", OriginForm, "", "", "/a", "b", true, "h"},
		{"GET /? HTTP/1.1", OriginForm, "", "", "/", "", true, "h"},
		{"GET /%41?%42?c HTTP/1.1", OriginForm, "", "", "/%41", "%42?c", true, "h"},
		{"GET /!'%41!' HTTP/1.1", OriginForm, "", "", "/!'%41!'", "", false, "h"},
		{"GET /!'aaaaaaaaaaaaaaaaaaaa?!' HTTP/1.1", OriginForm, "", "", "/!'aaaaaaaaaaaaaaaaaaaa", "!'", true, "h"},
		{"GET http://H HTTP/1.1", AbsoluteForm, "http", "H", "", "", false, "H"},
		{"GET HTTPS://h:443/p?q HTTP/1.1", AbsoluteForm, "HTTPS", "h:443", "/p", "q", true, "h:443"},
		{"GET http://h?q/r HTTP/1.1", AbsoluteForm, "http", "h", "", "q/r", true, "h"},
		{"OPTIONS * HTTP/1.1", AsteriskForm, "", "", "", "", false, "h"},
	} {
		var c Conn
		var h Head
		c.Init(nil)
		if _, ev := c.Next([]byte(test.line+"\r\nHost: h\r\n\r\n"), &h); ev != Request {
			t.Errorf("%s: %v", test.line, c.Err())
			continue
		}
		if h.Form != test.form || h.HasQuery != test.hasQuery ||
			string(h.Bytes(h.Scheme)) != test.scheme || string(h.Bytes(h.Authority)) != test.authority ||
			string(h.Bytes(h.Path)) != test.path || string(h.Bytes(h.Query)) != test.query ||
			string(h.Bytes(h.Host)) != test.host {
			t.Errorf("%s:\n%s", test.line, describe(&h))
		}
	}
}

func TestTargetFormNames(t *testing.T) {
	for form, want := range map[TargetForm]string{
		OriginForm: "origin-form", AbsoluteForm: "absolute-form", AuthorityForm: "authority-form",
		AsteriskForm: "asterisk-form", 9: "TargetForm(?)",
	} {
		if form.String() != want {
			t.Errorf("%d: %s", form, form)
		}
	}
}
