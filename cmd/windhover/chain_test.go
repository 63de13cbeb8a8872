package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto"
)

// echo answers with how it sees the request.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	fmt.Fprintf(w, "upgrade=%s connection=%s", r.Header.Get("Upgrade"), r.Header.Get("Connection"))
})

func through(t *testing.T, change func(*config.Config), r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	cfg := config.Default()
	change(cfg)
	h, err := chain(cfg, echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestUpgradeLimitOfZeroHidesUpgrades(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	w := through(t, func(c *config.Config) { c.Limits.MaxConcurrentUpgradedConnections = 0 }, r)
	if got := w.Body.String(); got != "upgrade= connection=" {
		t.Error(got)
	}
	if w := through(t, func(*config.Config) {}, r); !strings.Contains(w.Body.String(), "upgrade=websocket") {
		t.Error(w.Body)
	}
}

func TestLimitsAreTranslated(t *testing.T) {
	c := config.Default().Limits
	if got, want := limits(&c).WithDefaults(), (proto.Limits{}).WithDefaults(); got.MaxRequestBodySize != want.MaxRequestBodySize ||
		got.KeepAliveTimeout != want.KeepAliveTimeout || got.MinResponseDataRate != want.MinResponseDataRate || got.DrainTimeout != want.DrainTimeout ||
		got.MaxRequestHeaderCount != want.MaxRequestHeaderCount || got.MaxResponseBufferSize != want.MaxResponseBufferSize ||
		got.MaxRequestLineSize != want.MaxRequestLineSize || got.MaxRequestHeadersTotalSize != want.MaxRequestHeadersTotalSize ||
		got.MaxRequestBufferSize != want.MaxRequestBufferSize || got.RequestHeadersTimeout != want.RequestHeadersTimeout {
		t.Errorf("the program's defaults %+v are not the server's %+v", got, want)
	}
	c.MaxRequestBodySize, c.MaxConcurrentUpgradedConnections = 0, 0
	if got := limits(&c); got.MaxRequestBodySize != proto.None || got.MaxConcurrentUpgradedConnections != proto.None {
		t.Errorf("0 is not nothing: %+v", got)
	}
	c.MaxResponseBufferSize, c.KeepAliveTimeout, c.MinRequestBodyDataRate = 0, config.Unlimited, config.Unlimited
	if got := limits(&c); got.MaxResponseBufferSize != 1 || got.KeepAliveTimeout >= 0 || got.MinRequestBodyDataRate.BytesPerSecond >= 0 {
		t.Errorf("%+v", got)
	}
}

func TestExitStatus(t *testing.T) {
	_, prefixErr := listen.Parse("nonsense")
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("x"), exitRuntime},
		{usageError{errors.New("x")}, exitUsage},
		{fmt.Errorf("wrapped: %w", prefixErr), exitUsage},
		{&listen.BindError{Err: errors.New("x")}, exitRuntime},
		{&proto.LimitError{}, exitUsage},
	} {
		if got := exitStatus(c.err); got != c.want {
			t.Errorf("%v: %d", c.err, got)
		}
	}
	if got := oneLine(errors.Join(errors.New("tlsbridge: one"), errors.New("listen: two\r\nthree"))); got != "one; two; three" {
		t.Errorf("%q", got)
	}
}

// Where the program cannot find itself it serves, but has no successor.
func TestUpgradeWithoutAProgramToStart(t *testing.T) {
	e := &engine{noSuccessor: errors.New("no /proc")}
	if err := e.upgrade(t.Context()); !errors.Is(err, e.noSuccessor) || e.handedOver.Load() {
		t.Errorf("error %v, handed over %v", err, e.handedOver.Load())
	}
}

// Each limit goes to the field of its name.
func TestEveryLimitIsTranslated(t *testing.T) {
	var c config.Limits
	from := reflect.ValueOf(&c).Elem()
	for i := range from.NumField() { // to 1001 s or 1001 and so on
		switch f := from.Field(i); {
		case f.Type() == reflect.TypeFor[time.Duration]():
			f.SetInt(int64(1001+i) * int64(time.Second))
		case f.CanInt():
			f.SetInt(int64(1001 + i))
		default:
			f.SetFloat(float64(1001 + i))
		}
	}
	to := reflect.ValueOf(limits(&c))
	for i := range from.NumField() {
		name := from.Type().Field(i).Name
		field := to.FieldByName(strings.TrimSuffix(name, "Grace"))
		if field.IsValid() && field.Kind() == reflect.Struct {
			part := map[bool]string{false: "BytesPerSecond", true: "GracePeriod"}[strings.HasSuffix(name, "Grace")]
			field = field.FieldByName(part)
		}
		if want := from.Field(i); !field.IsValid() || fmt.Sprint(field) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, field, want)
		}
	}
	if n := from.NumField() - 2; to.NumField() != n { // two are the graces of rates
		t.Errorf("%d limits in proto, %d in the program", to.NumField(), n)
	}
}
