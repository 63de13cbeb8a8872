package proto

import (
	"net/http"
	"strings"
	"testing"
)

// signatures are one content for each that http.DetectContentType knows, text
// among them.
var signatures = []string{
	"<!DOCTYPE HTML>", "<html ", "<HEAD>", "<script ", "<IFRAME>", "<h1>", "<DIV>", "<font ", "<TABLE>", "<a ", "<STYLE>", "<title>",
	"<B>", "<body>", "<BR>", "<p>", "<!-- ", "<?xml", "%PDF-", "%!PS-Adobe-", "\xFE\xFF\x00\x00", "\xFF\xFE\x00\x00", "\xEF\xBB\xBF\x00",
	"\x00\x00\x01\x00", "\x00\x00\x02\x00", "BM", "GIF87a", "GIF89a", "RIFF1234WEBPVP", "\x89PNG\x0D\x0A\x1A\x0A", "\xFF\xD8\xFF",
	"FORM1234AIFF", "ID3", "OggS\x00", "MThd\x00\x00\x00\x06", "RIFF1234AVI ", "RIFF1234WAVE", "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
	"\x1A\x45\xDF\xA3", strings.Repeat("a", 34) + "LP", "\x00\x01\x00\x00", "OTTO", "ttcf", "wOFF", "wOF2", "\x1F\x8B\x08", "PK\x03\x04",
	"Rar!\x1A\x07\x00", "Rar!\x1A\x07\x01\x00", "\x00\x61\x73\x6D", "Hello, World!", `{"message":"Hello"}`, "Grüße", "a\x1bb", "a\x7fb", "a\x00b",
}

func checkDetect(t *testing.T, data []byte) {
	t.Helper()
	if got, want := detectContentType(data), http.DetectContentType(data); got != want {
		t.Fatalf("%q: %s, want %s", data, got, want)
	}
}

// TestDetectContentType compares with net/http for every beginning of two
// bytes, on its own and in front of what may follow, and for signatures with
// each of their bytes changed.
func TestDetectContentType(t *testing.T) {
	tails := []string{"", "text", strings.Repeat("x", 32) + "LP", strings.Repeat("y", 600) + "\x00", strings.Repeat("y", 509) + "\x00"}
	for i := range 1 << 16 {
		for _, tail := range tails {
			checkDetect(t, append([]byte{byte(i >> 8), byte(i)}, tail...))
		}
	}
	for _, s := range signatures {
		data := []byte(s)
		for i := range data {
			for b := range 256 {
				data[i] = byte(b)
				checkDetect(t, data)
			}
			data[i] = s[i]
			checkDetect(t, data[:i])
		}
	}
}

func FuzzDetectContentType(f *testing.F) {
	for _, s := range signatures {
		for _, before := range []string{"", " ", "\n\t", "x"} {
			f.Add([]byte(before + s))
			f.Add([]byte(before + s + " and more"))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkDetect(t, data) })
}
