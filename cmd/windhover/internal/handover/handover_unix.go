//go:build unix

package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// Socket is a listening socket and the name under which the new process looks
// for it. Several may have one name.
type Socket struct {
	Name string
	Conn syscall.Conn
}

// Process is how the new process is started.
type Process struct {
	Path    string        // of the program
	Args    []string      // the first one is its name
	Dir     string        // where it starts
	Timeout time.Duration // for it to become ready; 0: DefaultTimeout
}

// Inherit takes over what a predecessor has handed to this process. Call it
// once, early: it removes the variable, so that no child process is misled.
func Inherit() (*Inherited, error) {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return &Inherited{}, nil
	}
	if err := os.Unsetenv(variable); err != nil {
		return nil, err
	}
	names, err := parseNames(value)
	if err != nil {
		return nil, err
	}
	in := &Inherited{files: make(map[string][]*os.File)}
	for i, name := range names {
		fd := firstFD + i
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), name)
		if f == nil {
			return nil, fmt.Errorf("%s promises descriptor %d, which is not open", variable, fd)
		}
		if i == 0 {
			in.ready = f
			continue
		}
		in.files[name] = append(in.files[name], f)
	}
	return in, nil
}

// Start starts p with the sockets and returns its process id when it is ready.
// On an error, which includes the end of ctx and p.Timeout, the new process is
// gone and the sockets are as they were.
func Start(ctx context.Context, p Process, sockets []Socket) (pid int, err error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ours.Close()
	proc, err := spawn(p, theirs, sockets)
	_ = theirs.Close() // the new process has its own; so its end is seen on ours
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", p.Path, err)
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the new process was not ready after %v", timeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ours.SetReadDeadline(time.Now()) })
	defer stop()
	if err := awaitReady(ours); err != nil {
		_ = proc.Kill() // it may have ended already
		state, _ := proc.Wait()
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, fmt.Errorf("the new process ended before it was ready: %v", state)
	}
	pid = proc.Pid
	return pid, proc.Release()
}

func awaitReady(r io.Reader) error {
	line, err := io.ReadAll(io.LimitReader(r, int64(len(readyLine))))
	if err == nil && string(line) != readyLine {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// spawn does not use os/exec: that takes the descriptors by (*os.File).Fd,
// which makes them blocking, and with them the sockets of this process.
func spawn(p Process, ready *os.File, sockets []Socket) (*os.Process, error) {
	names := []string{"ready"}
	files := []uintptr{0, 1, 2}
	defer func() {
		for _, fd := range files[firstFD:] {
			_ = syscall.Close(int(fd)) // our duplicates
		}
	}()
	sockets = append([]Socket{{"ready", ready}}, sockets...)
	for i, s := range sockets {
		fd, err := duplicate(s.Conn)
		if err != nil {
			return nil, fmt.Errorf("socket of %s: %w", s.Name, err)
		}
		files = append(files, uintptr(fd))
		if i > 0 {
			names = append(names, s.Name)
		}
	}
	value, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	pid, err := syscall.ForkExec(p.Path, p.Args, &syscall.ProcAttr{Dir: p.Dir, Env: environment(string(value)), Files: files})
	if err != nil {
		return nil, err
	}
	return os.FindProcess(pid)
}

// environment is ours without what was meant for this process alone.
func environment(value string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "LISTEN_") && !strings.HasPrefix(kv, variable+"=") {
			env = append(env, kv)
		}
	}
	return append(env, variable+"="+value)
}

// duplicate returns a close-on-exec duplicate; ForkExec's own duplicates, made
// in the child, are not.
func duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(s uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dupErr = syscall.Dup(int(s)); dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	})
	return fd, errors.Join(err, dupErr)
}
