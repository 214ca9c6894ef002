package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"weir/config"
)

// logs is the process's slog.Handler; format and level follow the configuration.
type logs struct {
	out     io.Writer
	level   slog.LevelVar
	handler atomic.Pointer[slog.Handler]
}

func newLogs(out io.Writer, p config.Process) *logs {
	l := &logs{out: out}
	l.configure(p)
	return l
}

// configure takes up another format or level.
func (l *logs) configure(p config.Process) {
	l.level.Set(p.LogLevel)
	options := &slog.HandlerOptions{Level: &l.level}
	var h slog.Handler = slog.NewTextHandler(l.out, options)
	if p.LogFormat == "json" {
		h = slog.NewJSONHandler(l.out, options)
	}
	l.handler.Store(&h)
}

// Enabled reports whether the level is logged now.
func (l *logs) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level.Level() }

// Handle logs in the present format.
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	return (*l.handler.Load()).Handle(ctx, r)
}

// WithAttrs returns a handler that keeps the present format.
func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler { return (*l.handler.Load()).WithAttrs(attrs) }

// WithGroup returns a handler that keeps the present format.
func (l *logs) WithGroup(name string) slog.Handler { return (*l.handler.Load()).WithGroup(name) }
