package monitor

import (
	"context"
	"log/slog"
	"time"
)

// mostLines is how many lines may wait to be logged.
const mostLines = 1 << 14

// say has a line logged soon. Who reads the log may be slow, or stand still: endpoints still go down and come back. Under the lock.
func (m *Monitor) say(level slog.Level, text string, attrs ...any) {
	if !m.log.Enabled(context.Background(), level) {
		return
	}
	if len(m.lines) >= mostLines {
		m.unsaid++
		return
	}
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.Add(attrs...)
	m.lines = append(m.lines, r)
	select {
	case m.says <- struct{}{}:
	default:
	}
}

// speak logs what there is to log, until Close.
func (m *Monitor) speak() {
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.says:
			m.sayAll()
		}
	}
}

// sayAll logs the lines that wait.
func (m *Monitor) sayAll() {
	m.mu.Lock()
	lines, unsaid := m.lines, m.unsaid
	m.lines, m.unsaid = nil, 0
	m.mu.Unlock()
	for _, r := range lines {
		_ = m.log.Handler().Handle(context.Background(), r) // there is nobody to tell
	}
	if unsaid > 0 {
		m.log.Warn("lines about endpoints were not logged: the log is too slow", "lines", unsaid)
	}
}
