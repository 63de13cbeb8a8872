package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// probeTimeout bounds the question whether somebody listens on a socket file.
// A live listener answers at once, in the kernel.
const probeTimeout = time.Second

// errNotSocket says that a file stands where the socket should be.
var errNotSocket = errors.New("the file exists and is not a socket")

// ownerError says that the socket could not be given to its owner.
type ownerError struct{ err error }

func (e *ownerError) Error() string { return e.err.Error() }
func (e *ownerError) Unwrap() error { return e.err }

// bindUnix listens on a Unix socket. Package net removes the file on Close.
func (b *Binding) bindUnix(ctx context.Context) (*Listener, error) {
	path := b.Endpoint.Path
	fail := func(err error) (*Listener, error) {
		remedy := b.remedy(err)
		var owner *ownerError
		switch {
		case errors.Is(err, errNotSocket):
			remedy = "remove it or choose another path"
		case errors.As(err, &owner):
			remedy = fmt.Sprintf("it was to be given to %q, but only root may give a file to others, and other users only to a group of theirs", b.Options.UnixOwner)
		}
		return nil, &BindError{Prefix: b.Endpoint.String(), Err: err, Remedy: remedy}
	}
	abstract := path[0] == '@'
	if !abstract {
		if err := removeStale(ctx, path); err != nil {
			return fail(err)
		}
	}
	l, err := b.listen(ctx, "unix", path)
	if err != nil {
		return fail(err)
	}
	if !abstract {
		if err := b.dress(path); err != nil {
			_ = l.Close() // err says what went wrong
			return fail(err)
		}
	}
	return l, nil
}

// removeStale removes the socket file that a crash has left. One that anybody
// still listens on, or that cannot be told, stays.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errNotSocket
	}
	d := net.Dialer{Timeout: probeTimeout}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close() // it has told us what we wanted to know
		return errInUse
	case errors.Is(err, fs.ErrNotExist):
		return nil // gone in between
	case isRefused(err):
		return os.Remove(path)
	}
	return fmt.Errorf("%w (%w)", errInUse, err)
}

// dress gives the socket file its owner and mode, in this order: the socket
// was made with no more rights than the mode grants (see control), and a new
// owner must not get the old group's rights in between.
func (b *Binding) dress(path string) error {
	uid, gid, err := parseOwner(b.Options.UnixOwner)
	if err != nil {
		return err
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Chown(path, uid, gid); err != nil {
			return &ownerError{err}
		}
	}
	if b.Options.UnixMode != 0 {
		return os.Chmod(path, b.Options.UnixMode)
	}
	return nil
}

// parseOwner reads "user", "user:group" or ":group"; -1 stands for what is not
// to be changed.
func parseOwner(owner string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(owner, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			u, err := user.Lookup(name)
			if err != nil {
				return -1, -1, err
			}
			if uid, err = strconv.Atoi(u.Uid); err != nil {
				return -1, -1, fmt.Errorf("user %s has no number on this system", name)
			}
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			g, err := user.LookupGroup(group)
			if err != nil {
				return -1, -1, err
			}
			if gid, err = strconv.Atoi(g.Gid); err != nil {
				return -1, -1, fmt.Errorf("group %s has no number on this system", group)
			}
		}
	}
	return uid, gid, nil
}
