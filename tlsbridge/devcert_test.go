package tlsbridge

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

func TestDevCert(t *testing.T) {
	now := time.Now()
	d, err := NewDevCert(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "app.localhost", "127.0.0.1", "::1"} {
		opts := x509.VerifyOptions{DNSName: host, Roots: d.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if _, err := d.Leaf.Verify(opts); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := d.Leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: d.Pool()}); err == nil {
		t.Error("valid for example.com")
	}
	if d.Leaf.IsCA || d.Leaf.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Error("who trusts it trusts an authority")
	}
	if days := d.Leaf.NotAfter.Sub(d.Leaf.NotBefore).Hours() / 24; days > 398 {
		t.Errorf("valid for %v days", days)
	}
	if d.Leaf.NotBefore.After(now) || d.Leaf.Subject.CommonName != "localhost" {
		t.Errorf("%v from %v", d.Leaf.Subject, d.Leaf.NotBefore)
	}
	if d.ExpiresSoon(now) || !d.ExpiresSoon(d.Leaf.NotAfter.AddDate(0, 0, -10)) {
		t.Error("ExpiresSoon is wrong")
	}
	other, err := NewDevCert(now)
	if err != nil || bytes.Equal(other.KeyPEM, d.KeyPEM) || other.Leaf.SerialNumber.Cmp(d.Leaf.SerialNumber) == 0 {
		t.Errorf("two certificates share key or serial number (%v)", err)
	}
}

func TestDevCertFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "write")
	if _, err := LoadDevCert(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadDevCert of nothing: %v", err)
	}
	d, err := NewDevCert(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it replaces
		c, err := d.Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(&Config{Certificates: []Certificate{c}})
		if err != nil {
			t.Fatal(err)
		}
		got := served(t, b, &tls.Config{ServerName: "localhost", RootCAs: d.Pool()})
		if !got.Equal(d.Leaf) {
			t.Fatal("another certificate is served")
		}
	}
	path, err := d.WritePFX(dir, "secret")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, leaf, err := pkcs12.Decode(raw, "secret"); err != nil || !leaf.Equal(d.Leaf) {
		t.Errorf("PFX: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%d files, %v: want certificate, key and PFX", len(entries), err)
	}
	if runtime.GOOS != "windows" {
		for _, e := range entries {
			fi, err := e.Info()
			if err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", e.Name(), fi.Mode(), err)
			}
		}
	}
	again, err := LoadDevCert(dir)
	if err != nil || !again.Leaf.Equal(d.Leaf) || !bytes.Equal(again.KeyPEM, d.KeyPEM) {
		t.Errorf("LoadDevCert: %v", err)
	}
}

func TestLoadDevCertRefusesOthers(t *testing.T) {
	dir := t.TempDir()
	writePEM(t, dir, "localhost", newAuthority(t, "root").issue(t, nil, "localhost"))
	if _, err := LoadDevCert(dir); err == nil || !strings.Contains(err.Error(), "dev-cert") {
		t.Fatal(err)
	}
}

func TestDevCertDirIsTheUsers(t *testing.T) {
	want, err := os.UserConfigDir()
	if err != nil {
		t.Skipf("this user has no configuration folder: %v", err)
	}
	if dir, err := DevCertDir(); err != nil || !strings.HasPrefix(dir, want) {
		t.Errorf("%s, %v", dir, err)
	}
}

func TestTrustText(t *testing.T) {
	for goos, want := range map[string][]string{
		"linux":   {"certutil -d sql:$HOME/.pki/nssdb -A", "update-ca-certificates", "update-ca-trust", "trust anchor", "administrator rights", "Firefox"},
		"darwin":  {"security add-trusted-cert -r trustRoot -p ssl", "Firefox"},
		"windows": {"certutil -user -addstore Root", "Firefox"},
		"freebsd": {"curl --cacert", "nssdb"},
	} {
		text := TrustText(goos, "/home/me/localhost.pem")
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is missing in\n%s", goos, w, text)
			}
		}
		if strings.Count(text, "/home/me/localhost.pem") < 2 {
			t.Errorf("%s: the path is missing in\n%s", goos, text)
		}
	}
	if text := TrustText("linux", "/home/o'neil $x/c.pem"); !strings.Contains(text, `'/home/o'\''neil $x/c.pem'`) {
		t.Errorf("path not quoted:\n%s", text)
	}
	if text := TrustText("windows", `C:\My Files\c.pem`); !strings.Contains(text, `"C:\My Files\c.pem"`) {
		t.Errorf("path not quoted:\n%s", text)
	}
	if len(TrustSteps("", "x")) == 0 {
		t.Error("no steps for this system")
	}
}
