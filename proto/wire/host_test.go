package wire

import "testing"

func TestHostSyntax(t *testing.T) {
	valid := []string{
		"z", "1", "y:1", "1:1", "-", "_", "~", "!", "$", "'", "(", ")", ".", "&", "-foo:1234", "foo.BAR.baz:46245",
		"foo.ba-ar.baz:46245", "xn--asdfaf:134", "127.0.0.1:80", "900.900.900.900:9523547852", "a.test.",
		"[::1]", "[::1]:80", "[ABCdef]", "[abcDEF]:0", "[abcdef:127.2355.1246.114]:0",
	}
	for _, host := range valid {
		wantVerdict(t, nil, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", "ok")
		wantVerdict(t, nil, "GET / HTTP/1.0\r\nHost: "+host+"\r\n\r\n", "ok")
	}
	invalid := []string{
		"[]", "[::]", "[ghijkl]", "[afd:adf:123", "[afd:adf]123", "[afd:adf]:", "[afd adf]", "[ad-314]", "[::1]80",
		"[::1]:80x", "]::1[", ":1234", "a:b:c", "::1", "::", "abcd:1abcd", "abcd:1.2", "1.2.3.4:", "1.2 .4", "a.test:+80",
		"a/b", "a\\b", "a,b", "a;b", "a=b", "a*b", "a+b", "a%20b", "a#b", "a?b", "a@b", "u:p@b", "\"a\"", "<a>", "{a}",
		"a|b", "a^b", "a`b", "http://a/", "a\tb", "caf\xc3\xa9", "[fe80::1%25en0]:80", "[v1.fe]",
	}
	for _, host := range invalid {
		wantVerdict(t, nil, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", "invalid-host")
		wantVerdict(t, nil, "GET / HTTP/1.0\r\nHost: "+host+"\r\n\r\n", "invalid-host")
	}
}

func TestHostPresence(t *testing.T) {
	for _, test := range []struct{ head, want string }{
		{"GET / HTTP/1.1\r\n", "missing-host"},
		{"GET http://a/ HTTP/1.1\r\n", "missing-host"},
		{"CONNECT a:1 HTTP/1.1\r\n", "missing-host"},
		{"GET / HTTP/1.1\r\nX-Host: a\r\n", "missing-host"},
		{"GET / HTTP/1.0\r\n", "ok"},
		{"GET http://a/ HTTP/1.0\r\n", "ok"},
		{"CONNECT a:1 HTTP/1.0\r\n", "ok"},
		{"GET / HTTP/1.1\r\nHost:\r\n", "ok"},
		{"GET / HTTP/1.1\r\nHost: \t \r\n", "ok"},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "multiple-hosts"},
		{"GET / HTTP/1.1\r\nHost:\r\nHost: b\r\n", "multiple-hosts"},
		{"GET / HTTP/1.0\r\nHost: a\r\nhOsT: a\r\n", "multiple-hosts"},
		{"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n", "multiple-hosts"},
	} {
		wantVerdict(t, nil, test.head+"\r\n", test.want)
	}
}
