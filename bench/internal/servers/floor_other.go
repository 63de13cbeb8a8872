//go:build !linux

package servers

import (
	"context"
	"errors"
)

func floor() *Server {
	err := errors.New("it is written to Linux's epoll")
	return &Server{
		Name: "floor", Title: "floor (fixed bytes)", Kind: Floor, Handler: "none", Features: Plaintext,
		Available: func() error { return err },
		Serve:     func(context.Context, Options) error { return err },
	}
}
