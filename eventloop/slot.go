package eventloop

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// slot is one registered descriptor. Its generation is odd while it is in use; every change of hands adds one.
//
//	free (even) --Register--> in use (odd) --Close/Release--> closing (even, descriptor waits for the end of the batch) --> free
type slot struct {
	fd         int32
	generation uint32
	arg        uint32
	handler    HandlerID
	queued     bool // on the ready list
	level      bool // level-triggered
}

// Register puts the descriptor under the poller with this interest, edge-triggered: for a stream Readable | Writable | PeerClosed | Urgent,
// once. Its events go to the handler with arg. The loop owns the descriptor from now on.
func (l *Loop) Register(fd int, h HandlerID, arg uint32, interest Events) (Token, error) {
	return l.register(fd, h, arg, interest|edge, false)
}

// RegisterLevel is Register without the edge: the poller reports the descriptor again and again while it is ready. For
// listening sockets, which need not be emptied in one go then.
func (l *Loop) RegisterLevel(fd int, h HandlerID, arg uint32, interest Events) (Token, error) {
	return l.register(fd, h, arg, interest, true)
}

// SetInterest changes what a registration is told of; 0 silences it, but for Failed and HungUp, which can't be silenced. What
// is newly asked for and ready already is reported by the next wait. A stale token is ignored.
func (l *Loop) SetInterest(tok Token, interest Events) {
	if s := l.slot(tok); s != nil {
		if !s.level {
			interest |= edge
		}
		_ = l.poller.Modify(int(s.fd), tok, interest)
	}
}

func (l *Loop) register(fd int, h HandlerID, arg uint32, interest Events, level bool) (Token, error) {
	i, s := l.slots.Get()
	s.generation++
	s.fd, s.handler, s.arg, s.queued, s.level = int32(fd), h, arg, false, level
	tok := token(i, s.generation)
	if err := l.poller.Add(fd, tok, interest); err != nil {
		s.generation++
		l.slots.Put(i)
		return 0, fmt.Errorf("register descriptor %d: %w", fd, err)
	}
	return tok, nil
}

// Close ends the registration and closes the descriptor. The token is stale at once; close(2) and the slot's reuse wait for
// the end of the batch, so that nothing in the batch can meet a new owner of either. A stale token is ignored.
func (l *Loop) Close(tok Token) {
	if s := l.slot(tok); s != nil {
		if s.level {
			// A listening socket may have a duplicate elsewhere (Export). The poller would go on reporting it after close(2), in every turn.
			_ = l.poller.Remove(int(s.fd))
		}
		s.generation++
		l.closing = append(l.closing, closing{slot: tok.index(), fd: s.fd})
	}
}

// Release ends the registration and gives the descriptor, still open, to the caller; -1 when the token is stale.
func (l *Loop) Release(tok Token) int {
	s := l.slot(tok)
	if s == nil {
		return -1
	}
	fd := int(s.fd)
	_ = l.poller.Remove(fd)
	s.generation++
	l.closing = append(l.closing, closing{slot: tok.index(), fd: -1})
	return fd
}

// Again puts the registration on the ready list: its handler is called once more before the loop waits, with no events.
// A callback that has used its budget and has work left calls it and returns.
func (l *Loop) Again(tok Token) {
	if s := l.slot(tok); s != nil && !s.queued {
		s.queued = true
		l.again = append(l.again, tok)
	}
}

// FD returns the descriptor of a live registration, -1 for a stale token.
func (l *Loop) FD(tok Token) int {
	if s := l.slot(tok); s != nil {
		return int(s.fd)
	}
	return -1
}

// slot returns the live slot that tok names, or nil.
func (l *Loop) slot(tok Token) *slot {
	if i := tok.index(); i < l.slots.Cap() {
		if s := l.slots.At(i); s.generation == tok.generation() && s.generation&1 == 1 {
			return s
		}
	}
	return nil
}

// closing is a slot on its way back, with the descriptor to close (-1 = none).
type closing struct {
	slot uint32
	fd   int32
}

// endBatch closes what the batch gave up and lets its slots be used again.
func (l *Loop) endBatch() {
	for _, c := range l.closing {
		if c.fd >= 0 {
			closeFD(int(c.fd))
		}
		l.slots.Put(c.slot)
	}
	l.closing = l.closing[:0]
}

func closeFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }
