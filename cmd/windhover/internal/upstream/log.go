package upstream

import (
	"context"
	"log/slog"
	"time"

	"github.com/windhover-server/windhover/proto"
)

// maxRecordsPerSecond is how many records are logged in a second while the
// upstream is down and clients go on asking.
const maxRecordsPerSecond = 10

// bounded is a handler that leaves out what is too much, debug records apart.
type bounded struct {
	slog.Handler
	limit *proto.LogLimit
}

// newLogger returns a bounded logger; nil means silence.
func newLogger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(bounded{l.Handler(), new(proto.LogLimit)})
}

func (b bounded) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelDebug {
		held, ok := b.limit.Allow(time.Now(), maxRecordsPerSecond)
		if !ok {
			return nil
		}
		if held > 0 {
			r.AddAttrs(slog.Int64("suppressed", held))
		}
	}
	return b.Handler.Handle(ctx, r)
}

func (b bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bounded{b.Handler.WithAttrs(attrs), b.limit}
}

func (b bounded) WithGroup(name string) slog.Handler {
	return bounded{b.Handler.WithGroup(name), b.limit}
}
