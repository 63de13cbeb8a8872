package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"
	"time"
)

// noCode says why nginx and h2o miss scenarios.
const noCode = "it runs no handler of ours: it answers fixed text and files"

func nginx() *Server {
	return &Server{
		Name: "nginx", Title: "nginx", Kind: Peer, Handler: "configuration",
		Features: Plaintext | JSON | Bytes | Static | TLS, Lacks: noCode,
		Available: installed("nginx"),
		Version:   programVersion("nginx", "-v"),
		Serve: func(ctx context.Context, opt Options) error {
			return serveProgram(ctx, opt, nginxConfig, func(conf, dir string) *exec.Cmd {
				return exec.CommandContext(ctx, "nginx", "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log"))
			})
		},
	}
}

func h2o() *Server {
	return &Server{
		Name: "h2o", Title: "h2o", Kind: Peer, Handler: "configuration",
		Features: Plaintext | JSON | Bytes | Static | TLS, Lacks: noCode,
		Available: installed("h2o"),
		Version:   programVersion("h2o", "--version"),
		Serve: func(ctx context.Context, opt Options) error {
			return serveProgram(ctx, opt, h2oConfig, func(conf, _ string) *exec.Cmd {
				return exec.CommandContext(ctx, "h2o", "-c", conf)
			})
		},
	}
}

func installed(program string) func() error {
	return func() error {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
		return nil
	}
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

func programVersion(program, flag string) func() string {
	return func() string {
		out, err := exec.Command(program, flag).CombinedOutput()
		if err != nil {
			return ""
		}
		return versionNumber.FindString(string(out))
	}
}

// errNotUp says that a program ended before it accepted connections.
var errNotUp = errors.New("it ended at once")

// serveProgram serves with another program. With port 0, somebody may take the
// port that was found free before the program does: then it tries again.
func serveProgram(ctx context.Context, opt Options, config *template.Template, command func(conf, dir string) *exec.Cmd) error {
	dir, err := os.MkdirTemp("", "windhover-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_, port, _ := net.SplitHostPort(opt.Addr)
	for tries := 3; ; tries-- {
		try := opt
		if try.Addr, err = fixedPort(opt.Addr); err != nil {
			return err
		}
		err = runProgram(ctx, try, dir, config, command)
		if !errors.Is(err, errNotUp) || port != "0" || tries == 1 {
			return err
		}
	}
}

// runProgram writes the configuration, starts the program, waits for it to
// accept connections, and then until it ends.
func runProgram(ctx context.Context, opt Options, dir string, config *template.Template, command func(conf, dir string) *exec.Cmd) error {
	conf := filepath.Join(dir, "server.conf")
	if err := writeConfig(conf, config, opt, dir); err != nil {
		return err
	}
	cmd := command(conf, dir)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Second
	dieWithParent(cmd)
	// The parent's death is noticed per thread: keep the one that forks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	err := awaitAccept(ctx, opt.Addr, exited)
	if err == nil {
		opt.Ready(opt.Addr)
		err = <-exited
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s ended: %w\n%s", filepath.Base(cmd.Path), err, strings.TrimSpace(log.String()))
}

// fixedPort replaces port 0 by a free one: other programs do not tell which
// they got.
func fixedPort(addr string) (string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func awaitAccept(ctx context.Context, addr string, exited <-chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case err := <-exited:
			return fmt.Errorf("%w: %w", errNotUp, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return errors.New("it did not accept connections within 10 s")
		}
	}
}
