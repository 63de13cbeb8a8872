package thirdparty

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
)

var quiet = log.New(io.Discard, "", 0)

func onEach(t *testing.T, h http.Handler, f func(t *testing.T, url string)) {
	for _, tr := range []string{"stub"} {
		t.Run(tr, func(t *testing.T) {
			s := httptest.NewServer(h)
			defer s.Close()
			f(t, s.URL)
		})
	}
}
