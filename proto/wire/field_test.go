package wire

import (
	"math/rand"
	"strings"
	"testing"
)

// TestKnownFieldsAreFound: every known name in every kind of case, near and far
// from the end of the input, and nothing that differs by one byte.
func TestKnownFieldsAreFound(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	for id := FieldUnknown + 1; id < fieldCount; id++ {
		name := id.Canonical()
		if name == "" || len(name) > maxKnownName {
			t.Fatalf("field %d is called %q", id, name)
		}
		mixed := []byte(name)
		for i := range mixed {
			if rnd.Intn(2) == 0 {
				mixed[i] = strings.ToUpper(name)[i]
			}
		}
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name), string(mixed)} {
			for _, behind := range []string{"", ":", ": x\r\n\r\n", ": a long value behind the name\r\n"} {
				in := []byte("xxx" + spelling + behind)
				if got := lookupField(in[:len(in):len(in)], 3, len(name)); got != id {
					t.Fatalf("%s with %q behind: %v", spelling, behind, got)
				}
			}
		}
		for i := range len(name) {
			for c := range 256 {
				if byte(c)|0x20 == name[i]|0x20 && byte(c)|0x20 >= 'a' && byte(c)|0x20 <= 'z' || byte(c) == name[i] {
					continue
				}
				wrong := []byte(name)
				wrong[i] = byte(c)
				if got := lookupField(wrong, 0, len(wrong)); got == id {
					t.Fatalf("%q is taken for %s", wrong, name)
				}
			}
		}
	}
}

func TestLookupField(t *testing.T) {
	for name, want := range map[string]FieldID{
		"":                          FieldUnknown,
		"host":                      FieldHost,
		"HOST":                      FieldHost,
		"te":                        FieldTE,
		"Hosts":                     FieldUnknown,
		"Content-Length":            FieldContentLength,
		"Upgrade-Insecure-Requests": FieldUpgradeInsecureRequests,
		"upgrade-insecure_requests": FieldUnknown,
		"access-control-request-headers-and-more": FieldUnknown,
	} {
		if got := LookupField(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if FieldID(200).Canonical() != "" || FieldUnknown.Canonical() != "" {
		t.Error("an unknown field has a name")
	}
}

func TestSpecialFieldsAreTheFirst(t *testing.T) {
	for _, id := range []FieldID{FieldHost, FieldConnection, FieldContentLength, FieldTransferEncoding, FieldExpect, FieldUpgrade} {
		if id > lastSpecial {
			t.Errorf("%s is not remembered", id.Canonical())
		}
	}
	if fieldCount > 64 {
		t.Error("the fields do not fit the bits of Head.present")
	}
}
