package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/logfile"
	"github.com/windhover-server/windhover/cmd/windhover/internal/observe"
)

// logs are the program's two logs: messages, and requests if they are logged.
type logs struct {
	*slog.Logger
	messages *logfile.File
	requests *logfile.File   // nil when requests are not logged
	buffer   *logfile.Buffer // in front of requests
}

func (p *program) openLogs(c *config.Config) (*logs, error) {
	cfg := &c.Log
	messages, err := logfile.Open(cfg.File, p.stderr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; name a file that this user may write", c.Name("log.file"), err)
	}
	l := &logs{messages: messages, Logger: slog.New(messageHandler(messages, cfg))}
	if !cfg.Access {
		return l, nil
	}
	if l.requests, err = logfile.Open(cfg.AccessFile, p.stdout); err != nil {
		err = fmt.Errorf("%s: %w; name a file that this user may write", c.Name("log.access.file"), err)
		return nil, errors.Join(err, messages.Close())
	}
	l.buffer = logfile.NewBuffer(l.requests, int(cfg.AccessBuffer))
	return l, nil
}

func messageHandler(w io.Writer, cfg *config.Log) slog.Handler {
	opt := &slog.HandlerOptions{Level: map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[cfg.Level]}
	if cfg.Format == "json" {
		return slog.NewJSONHandler(w, opt)
	}
	return slog.NewTextHandler(w, opt)
}

// observers returns the access log, if there is one.
func (l *logs) observers(format string) []observe.Observer {
	switch {
	case l.buffer == nil:
		return nil
	case format == "combined":
		return []observe.Observer{observe.Combined{W: l.buffer}}
	}
	return []observe.Observer{observe.NewAccessLog(l.buffer, format)}
}

// reopen follows the names of the files, after a rotation.
func (l *logs) reopen() error {
	err := l.messages.Reopen()
	if l.requests != nil {
		err = errors.Join(err, l.requests.Reopen())
	}
	return err
}

// close writes what is waiting.
func (l *logs) close() {
	if l.buffer != nil {
		_ = l.buffer.Close()   // closed once
		_ = l.requests.Close() // the process ends; nothing could be done
	}
	_ = l.messages.Close()
}
