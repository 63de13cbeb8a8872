package content

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files in the assets directory. Servers that are other programs (nginx, h2o)
// are configured to answer from www; the Go servers answer only www/static.
const (
	RootDir  = "www"
	CertFile = "cert.pem"
	KeyFile  = "key.pem"
)

// StaticSizes are the sizes of the static files; StaticName gives their names.
var StaticSizes = []int64{1 << 10, 64 << 10, 1 << 20}

// byteFiles are the sizes of /bytes/N that are also files, for the servers that
// run no code of ours.
var byteFiles = []int64{64 << 10, 16 << 20}

// StaticName is the name of the static file of n bytes.
func StaticName(n int64) string { return fmt.Sprintf("%d.bin", n) }

// WriteAssets fills dir with the static files, the fixed answers as files, and
// a self-signed certificate for 127.0.0.1 with its key.
func WriteAssets(dir string) error {
	root := filepath.Join(dir, RootDir)
	for _, d := range []string{"static", "bytes"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	files := map[string][]byte{"plaintext": []byte(Hello), "json": JSON()}
	for _, n := range StaticSizes {
		files[filepath.Join("static", StaticName(n))] = AppendPattern(nil, int(n))
	}
	for _, n := range byteFiles {
		files[filepath.Join("bytes", fmt.Sprint(n))] = AppendPattern(nil, int(n))
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			return err
		}
	}
	// nginx drops root for its worker, which must still reach the files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return writeCertificate(dir)
}

// writeCertificate makes an ECDSA P-256 certificate: what most sites use now,
// and the same for every server.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "windhover bench"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, CertFile), "CERTIFICATE", cert); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, KeyFile), "PRIVATE KEY", der)
}

func writePEM(name, kind string, der []byte) error {
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
