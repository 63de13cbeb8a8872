package tlsbridge

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// maxTicketKeys bounds a ticket key file: each key costs a trial decryption.
const maxTicketKeys = 16

// loadTicketKeys reads a file of session ticket keys: one per line, base64 or
// hexadecimal; empty lines and those beginning with # are skipped.
func loadTicketKeys(path string) ([][32]byte, error) {
	const option = "TicketKeysPath"
	raw, err := readFile(option, path)
	if err != nil {
		return nil, err
	}
	const remedy = "put 32 random bytes in base64 on each line, such as from: openssl rand -base64 32"
	var keys [][32]byte
	for i, line := range bytes.Split(raw, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, ok := parseTicketKey(string(line))
		if !ok {
			return nil, &ConfigError{option, path, fmt.Errorf("line %d is not a key", i+1), remedy}
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, &ConfigError{option, path, errors.New("no key in it"), remedy}
	case len(keys) > maxTicketKeys:
		return nil, &ConfigError{option, path, fmt.Errorf("%d keys, at most %d are used", len(keys), maxTicketKeys), "remove the oldest, which are the last"}
	}
	return keys, nil
}

func parseTicketKey(s string) (key [32]byte, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil {
		b, err = base64.StdEncoding.DecodeString(s)
	}
	if err != nil || len(b) != len(key) {
		return key, false
	}
	return [32]byte(b), true
}
