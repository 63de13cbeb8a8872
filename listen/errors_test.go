package listen_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/windhover-server/windhover/listen"
)

func TestIsResetTellsWhatClientsDoFromTrouble(t *testing.T) {
	for _, err := range []error{
		syscall.ECONNRESET, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)},
		io.EOF, net.ErrClosed, fmt.Errorf("wrapped: %w", os.ErrDeadlineExceeded),
	} {
		if !listen.IsReset(err) {
			t.Errorf("%v is no reset", err)
		}
	}
	for _, err := range []error{nil, errors.New("x"), syscall.EBADF, syscall.ENOMEM, listen.ErrSlowPeer} {
		if listen.IsReset(err) {
			t.Errorf("%v is a reset", err)
		}
	}
}
