//go:build unix

package handover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
)

// role says what this test binary does when it is started as the successor.
const role = "HANDOVER_TEST_ROLE"

func TestMain(m *testing.M) {
	if r := os.Getenv(role); r != "" {
		os.Exit(successor(r))
	}
	os.Exit(m.Run())
}

// successor answers one connection with its process id.
func successor(role string) int {
	in, err := handover.Inherit()
	if err != nil || !in.Upgrading() || os.Getenv("WINDHOVER_HANDOVER") != "" {
		fmt.Fprintln(os.Stderr, "inherit:", err)
		return 2
	}
	files := in.Take("http://a")
	if len(files) != 1 || len(in.Take("http://b")) != 2 || in.Take("http://c") != nil {
		return 3
	}
	ln, err := net.FileListener(files[0])
	if err != nil {
		return 4
	}
	switch role {
	case "fail":
		return 5
	case "hang":
		_, _ = ln.Accept() // nobody comes
		return 0
	}
	if err := in.Ready(); err != nil {
		return 6
	}
	c, err := ln.Accept()
	if err != nil {
		return 7
	}
	fmt.Fprint(c, os.Getpid())
	c.Close()
	return 0
}

func listeners(t *testing.T, n int) (out []*net.TCPListener) {
	t.Helper()
	for range n {
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		out = append(out, ln)
	}
	return out
}

func start(t *testing.T, ctx context.Context, as string, timeout time.Duration) (lns []*net.TCPListener, pid int, err error) {
	t.Helper()
	t.Setenv(role, as)
	lns = listeners(t, 3)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pid, err = handover.Start(ctx, handover.Process{Path: exe, Args: []string{exe}, Timeout: timeout},
		[]handover.Socket{{Name: "http://a", Conn: lns[0]}, {Name: "http://b", Conn: lns[1]}, {Name: "http://b", Conn: lns[2]}})
	return lns, pid, err
}

func TestSuccessorServesOnTheSameSocket(t *testing.T) {
	lns, pid, err := start(t, t.Context(), "serve", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := lns[0].Close(); err != nil { // the predecessor stops listening
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", lns[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	if err != nil || string(answer) != fmt.Sprint(pid) || pid == os.Getpid() {
		t.Errorf("%q %v, pid %d", answer, err, pid)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Errorf("successor: %v %v", status, err)
	}
}

func TestSocketsStayUsableAndNonBlocking(t *testing.T) {
	lns, _, err := start(t, t.Context(), "fail", 0)
	if err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Fatal(err)
	}
	// A listener that had become blocking would not notice its deadline.
	if err := lns[0].SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := lns[0].Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("accept: %v", err)
	}
}

func TestSuccessorThatHangsIsEnded(t *testing.T) {
	if _, _, err := start(t, t.Context(), "hang", 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "not ready after 50ms") {
		t.Errorf("timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := start(t, ctx, "hang", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := handover.Start(t.Context(), handover.Process{Path: "/nonexistent", Args: []string{"x"}}, nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nonexistent") {
		t.Error(err)
	}
}

func TestWithoutPredecessor(t *testing.T) {
	in, err := handover.Inherit()
	if err != nil || in.Upgrading() || in.Take("x") != nil || in.Ready() != nil {
		t.Errorf("%+v %v", in, err)
	}
	in.Close()
	t.Setenv("WINDHOVER_HANDOVER", "nonsense")
	if _, err := handover.Inherit(); err == nil {
		t.Error("nonsense is accepted")
	}
}
