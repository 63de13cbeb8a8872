// Package content holds what every server of the benchmark answers, so that
// all send the same bytes and the load generator knows what to expect.
package content

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
)

// The paths that a server of the benchmark answers.
const (
	PathPlaintext = "/plaintext" // GET: Hello
	PathJSON      = "/json"      // GET: a Message, encoded for each request
	PathBytes     = "/bytes/"    // GET /bytes/N: the first N bytes of the pattern
	PathEcho      = "/echo"      // POST: the request body
	PathUpload    = "/upload"    // POST: reads the body, answers its length in decimal
	PathStatic    = "/static/"   // GET: files of the assets directory
	PathBurn      = "/burn/"     // GET /burn/N: Burn(N), then Hello
	PathUpgrade   = "/upgrade"   // GET with Upgrade: echo; then every byte comes back
)

// UpgradeToken is the protocol that PathUpgrade speaks.
const UpgradeToken = "echo"

// Hello is the plaintext answer.
const Hello = "Hello, World!"

// The media types of the answers.
const (
	TextType   = "text/plain; charset=utf-8"
	JSONType   = "application/json"
	BinaryType = "application/octet-stream"
)

// MaxBytes is the largest N of PathBytes.
const MaxBytes = 1 << 30

// MaxEcho is the largest body that PathEcho takes.
const MaxEcho = 16 << 20

// Message is the JSON answer.
type Message struct {
	Message string `json:"message"`
}

// JSON encodes the JSON answer. Every Go server calls it for each request.
func JSON() []byte {
	b, err := json.Marshal(Message{Message: Hello})
	if err != nil {
		panic(err) // a struct of one string always encodes
	}
	return b
}

// patternSize is the length of the block that PathBytes repeats.
const patternSize = 16 << 20

// patternAt is the pattern's byte at offset i of a block.
func patternAt(i int) byte { return byte(i ^ i>>8 ^ i>>16) }

var pattern = sync.OnceValue(func() []byte {
	b := make([]byte, patternSize)
	for i := range b {
		b[i] = patternAt(i)
	}
	return b
})

// smallSize is what the first block of the pattern holds that is built without
// touching the memory of the whole pattern.
const smallSize = 64 << 10

var small = sync.OnceValue(func() []byte { return AppendPattern(nil, smallSize) })

// Pattern returns the first n bytes of the pattern when one block holds them.
// The bytes are shared and must not be written.
func Pattern(n int64) ([]byte, bool) {
	switch {
	case n <= smallSize:
		return small()[:n], true
	case n <= patternSize:
		return pattern()[:n], true
	}
	return nil, false
}

// AppendPattern appends the first n bytes of the pattern to dst.
func AppendPattern(dst []byte, n int) []byte {
	for i := range n {
		dst = append(dst, patternAt(i%patternSize))
	}
	return dst
}

// WritePattern writes the first n bytes of the pattern.
func WritePattern(w io.Writer, n int64) error {
	for n > 0 {
		b, _ := Pattern(min(n, patternSize))
		if _, err := w.Write(b); err != nil {
			return err
		}
		n -= int64(len(b))
	}
	return nil
}

// PatternReader returns a reader of the first n bytes of the pattern.
func PatternReader(n int64) io.Reader { return &patternReader{left: n} }

type patternReader struct {
	off, left int64
}

func (r *patternReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	b := pattern()[r.off%patternSize:]
	n := copy(p, b[:min(int64(len(b)), r.left)])
	r.off += int64(n)
	r.left -= int64(n)
	return n, nil
}

// ErrSize says that a path does not end in a number in range.
var ErrSize = errors.New("content: the path must end in a number from 0 to 1073741824")

// Size returns the N of a path such as /bytes/N, given what precedes it.
func Size(path, prefix string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(path, prefix), 10, 64)
	if err != nil || n < 0 || n > MaxBytes {
		return 0, ErrSize
	}
	return n, nil
}

// burnBlock is what one round of Burn hashes.
var burnBlock [4096]byte

// Burn computes for n rounds without blocking: the work of a CPU-bound handler,
// the same for every server.
func Burn(n int64) byte {
	var sum [sha256.Size]byte
	for range n {
		s := sha256.Sum256(burnBlock[:])
		sum[0] ^= s[0]
	}
	return sum[0]
}
