//go:build linux && !noring

package windhover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/windhover-server/windhover"
	"github.com/windhover-server/windhover/internal/refuse"
	"github.com/windhover-server/windhover/ring"
)

// selectEnv makes TestSelectionChild run with the transport it names.
const selectEnv = "WINDHOVER_TEST_SELECT"

// Where io_uring is refused, a server with Auto serves through package net and
// says why in one line; one with Ring does not serve, and its error says why.
func TestSelectionWhereTheRingIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		errno syscall.Errno
		call  uintptr
		cause ring.Cause
	}{
		{"seccomp", unix.EPERM, unix.SYS_IO_URING_SETUP, ring.Denied},
		{"seccomp, late", unix.EPERM, unix.SYS_IO_URING_ENTER, ring.Denied},
		{"no such call", unix.ENOSYS, unix.SYS_IO_URING_SETUP, ring.NoSystemCall},
		{"too old", unix.EINVAL, unix.SYS_IO_URING_SETUP, ring.TooOld},
		{"locked memory", unix.ENOMEM, unix.SYS_IO_URING_SETUP, ring.LockedMemory},
		{"files", unix.EMFILE, unix.SYS_IO_URING_SETUP, ring.FileLimit},
	} {
		for _, kind := range []windhover.Transport{windhover.Auto, windhover.Ring, windhover.Portable} {
			t.Run(c.name+", "+kind.String(), func(t *testing.T) {
				t.Parallel()
				cmd := exec.Command("/proc/self/exe", "-test.run=^TestSelectionChild$", "-test.v")
				cmd.Env = append(os.Environ(), selectEnv+"="+kind.String())
				refuse.Command(cmd, c.errno, c.call)
				b, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, b)
				}
				out := string(b)
				served := strings.Contains(out, "served HTTP/1.1\n")
				logged := linesWith(out, "level=", "io_uring")
				switch kind {
				case windhover.Auto:
					if len(logged) != 1 || linesWith(out, "level=WARN", "io_uring is "+c.cause.String()) == nil || !served {
						t.Errorf("want one warning that names %q, and an answer:\n%s", c.cause, out)
					}
				case windhover.Ring:
					if logged != nil || served || !strings.Contains(out, "refused: ring: io_uring is "+c.cause.String()) {
						t.Errorf("want an error that names %q:\n%s", c.cause, out)
					}
				case windhover.Portable:
					if logged != nil || !served {
						t.Errorf("want an answer and no word about io_uring:\n%s", out)
					}
				}
			})
		}
	}
}

// linesWith returns the lines of text that contain all words.
func linesWith(text string, words ...string) (found []string) {
	for line := range strings.Lines(text) {
		has := true
		for _, w := range words {
			has = has && strings.Contains(line, w)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

// TestSelectionChild is what the processes of the test above run.
func TestSelectionChild(t *testing.T) {
	kind, err := windhover.ParseTransport(os.Getenv(selectEnv))
	if err != nil {
		t.Skip("runs in a child process")
	}
	s := &windhover.Server{
		Transport: kind,
		Logger:    slog.New(slog.NewTextHandler(os.Stdout, nil)),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }),
	}
	trySelected(t, s)
}

// trySelected serves two listeners with s and prints what comes of it.
func trySelected(t *testing.T, s *windhover.Server) {
	ended := make(chan error, 2)
	var addrs []string
	for range 2 { // the second must say nothing again
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, ln.Addr().String())
		go func() { ended <- s.Serve(ln) }()
	}
	for _, a := range addrs {
		res, err := http.Get("http://" + a)
		if err != nil { // the listener is closed: Serve has failed, or is about to
			fmt.Printf("refused: %v\n", <-ended)
			continue
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Printf("served %s\n", b)
	}
	s.Close()
}

// Where io_uring works, Auto takes it and says so in one line.
func TestAutoTakesTheRingWhereItWorks(t *testing.T) {
	if err := ring.Probe().Err; err != nil {
		t.Skip("no io_uring here:", err)
	}
	var log bytes.Buffer
	s := &windhover.Server{Logger: slog.New(slog.NewTextHandler(&log, nil)), Handler: http.NotFoundHandler()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	res, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
	if got := linesWith(log.String(), "io_uring"); len(got) != 1 || !strings.Contains(got[0], `level=INFO msg="using the io_uring transport"`) {
		t.Errorf("log:\n%s", log.String())
	}
}
