//go:build unix

package site_test

import (
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
)

func TestNamedPipesDoNotBlock(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Skip("no named pipes here: ", err)
	}
	if res := get(open(t, dir, standard), http.MethodGet, "/pipe"); res.StatusCode != http.StatusNotFound {
		t.Error(res.StatusCode)
	}
}
