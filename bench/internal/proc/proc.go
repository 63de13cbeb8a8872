// Package proc starts the servers that are measured, each in a process of its
// own, and reads what they use: processor time and memory of the process and
// its children. Reading needs Linux's /proc.
package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// ReadyPrefix starts the line that a server process prints when it accepts
// connections; the address follows.
const ReadyPrefix = "Now listening on: "

// Times of a server.
const (
	startLimit = 15 * time.Second // to become ready
	stopLimit  = 3 * time.Second  // from the request to stop until the kill
)

// Usage is the processor time used so far by a process and its children.
type Usage struct {
	Total        time.Duration // precise
	User, System time.Duration // rounded to the kernel's tick, 10 ms
}

// Sub returns what was used since v.
func (u Usage) Sub(v Usage) Usage {
	return Usage{Total: u.Total - v.Total, User: u.User - v.User, System: u.System - v.System}
}

// ErrNoProc says that this system does not tell what other processes use.
var ErrNoProc = errors.New("processor time and memory of a server are read from /proc, which this system does not have: only throughput and latency are measured")

// Process is a running server.
type Process struct {
	Addr string
	Pid  int

	cmd    *exec.Cmd
	stdin  io.Closer
	log    tail
	exited chan struct{}
	err    error // why it ended; set before exited closes
}

// Options say how to start a server.
type Options struct {
	Command []string // program and arguments
	Env     []string // added to this process's
	CPU     int      // the only processor it may use; -1 for all
}

// Start starts a server and waits until it is ready. It must be stopped.
func Start(ctx context.Context, opt Options) (*Process, error) {
	cmd := exec.Command(opt.Command[0], opt.Command[1:]...)
	cmd.Env = append(os.Environ(), opt.Env...)
	// A server of ours ends when its standard input does, so that none is
	// left if this process dies. A group of its own keeps a terminal's ctrl-C from it:
	// this process stops it in order.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	cmd.Stderr = &p.log
	ownGroup(cmd)
	if err := startOn(cmd, opt.CPU); err != nil {
		return nil, err
	}
	p.Pid = cmd.Process.Pid
	ready := make(chan string, 1)
	go p.watch(stdout, ready)
	select {
	case p.Addr = <-ready:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("%s ended before it was ready: %w", opt.Command, p.cause())
	case <-time.After(startLimit):
		err = fmt.Errorf("%s was not ready after %v", opt.Command, startLimit)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.Stop()
	return nil, err
}

// watch reads the process's output until it ends.
func (p *Process) watch(stdout io.Reader, ready chan<- string) {
	sc := bufio.NewScanner(stdout)
	for sc.Scan() {
		if _, url, ok := strings.Cut(sc.Text(), ReadyPrefix); ok {
			_, addr, _ := strings.Cut(url, "://")
			select {
			case ready <- addr:
			default:
			}
		}
	}
	p.err = p.cmd.Wait()
	close(p.exited)
}

// cause is why the process ended.
func (p *Process) cause() error {
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	if text := p.log.String(); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// Failed returns why the process ended by itself, nil while it runs.
func (p *Process) Failed() error {
	select {
	case <-p.exited:
		return fmt.Errorf("the server ended: %w", p.cause())
	default:
		return nil
	}
}

// Stop ends the process, and only it: it is asked to, and killed if it does
// not go.
func (p *Process) Stop() {
	_ = p.stdin.Close()
	terminate(p.cmd.Process)
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill() // it may have gone by now
		<-p.exited
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 2048

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if n := len(t.b) - tailSize; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}
