package l4

import (
	"math/rand/v2"
	"sync/atomic"

	"weir/l4/access"
)

// Listener is a listener as the whole process sees it. It survives every change of its settings.
type Listener struct {
	Name  string
	Gate  *access.Gate
	Loops []ListenerCounters // by loop

	_      [64]byte
	active atomic.Int64 // sessions or flows over all loops
	_      [64]byte
}

// NewListener returns a listener without sessions, for a process of so many loops.
func NewListener(name string, loops int) *Listener {
	return &Listener{Name: name, Gate: access.NewGate(rand.Uint64()), Loops: make([]ListenerCounters, loops)}
}

// Active returns the sessions or flows of the listener over all loops.
func (l *Listener) Active() int64 { return l.active.Load() }

// Take takes a place if fewer than limit are taken (0 = no limit).
func (l *Listener) Take(limit int64) bool { return take(&l.active, 1, limit) }

// Give gives a place back.
func (l *Listener) Give() { l.active.Add(-1) }
