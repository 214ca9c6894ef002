package eventloop

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func openFD(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// The batch holds events of A and B; A's handler ends B and registers C. Whatever way it does, C must not be given B's event.
func TestReuseWithinBatch(t *testing.T) {
	const argA, argB, argC = 1, 2, 3
	tests := []struct {
		name string
		end  func(l *Loop, b Token) (fdC int)
		self bool // A itself is what ends
	}{
		{name: "close", end: func(l *Loop, b Token) int { l.Close(b); return -1 }},
		{name: "close twice", end: func(l *Loop, b Token) int { l.Close(b); l.Close(b); return -1 }},
		{name: "release", end: func(l *Loop, b Token) int { defer unix.Close(l.Release(b)); return -1 }},
		{name: "release, descriptor number reused", end: func(l *Loop, b Token) int {
			fd := l.Release(b)
			fresh, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
			if err != nil || fd < 0 {
				return -1
			}
			defer unix.Close(fresh)
			_ = unix.Dup3(fresh, fd, unix.O_CLOEXEC) // closes what B was and gives its number to another
			return fd
		}},
		{name: "the same registration twice in the batch", self: true, end: func(l *Loop, a Token) int { l.Close(a); return -1 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, p, _ := newScripted(t)
			var a, b, c Token
			var got []uint32
			h := l.Handle(onReady(func(tok Token, arg uint32, ev Events) {
				got = append(got, arg)
				if arg != argA || c != 0 {
					return
				}
				ends := b
				if tt.self {
					ends = a
				}
				fd := tt.end(l, ends)
				if fd < 0 {
					fd = openFD(t)
				}
				c = register(t, l, fd, 0, argC)
				if l.FD(ends) != -1 || l.FD(c) != fd {
					t.Errorf("after the change FD gives %d and %d, want -1 and %d", l.FD(ends), l.FD(c), fd)
				}
			}))
			a, b = register(t, l, openFD(t), h, argA), register(t, l, openFD(t), h, argB)
			last := b
			if tt.self {
				last = a
			}
			p.turn(l, Event{a, Readable}, Event{last, Readable})
			if !slices.Equal(got, []uint32{argA}) {
				t.Fatalf("delivered to %v, want A alone", got)
			}
			if s := l.Stats(); s.Stale != 1 {
				t.Errorf("Stale is %d, want 1", s.Stale)
			}
			// In a later batch the slot has a new owner, and the old token still names nobody.
			d := register(t, l, openFD(t), h, 4)
			if d.index() != last.index() {
				t.Errorf("slot %d was not used again, slot %d was", last.index(), d.index())
			}
			got = nil
			p.turn(l, Event{last, Readable}, Event{c, Readable}, Event{d, Writable})
			if !slices.Equal(got, []uint32{argC, 4}) {
				t.Errorf("the next batch was delivered to %v, want C and D", got)
			}
			if s := l.Stats(); s.Stale != 2 {
				t.Errorf("Stale is %d, want 2", s.Stale)
			}
		})
	}
}

func TestCloseWaitsForEndOfBatch(t *testing.T) {
	l, p, now := newScripted(t)
	var b Token
	fdB := openFD(t)
	var open []string
	see := func(where string) {
		if isOpen(fdB) {
			open = append(open, where)
		}
	}
	h := l.Handle(onReady(func(tok Token, arg uint32, ev Events) {
		if arg == 1 && ev != 0 {
			l.Close(b)
			l.Again(tok)
			_ = l.Post(func() { see("mailbox") })
			see("handler")
			return
		}
		see(map[bool]string{true: "again", false: "later event"}[ev == 0])
	}))
	timer := l.HandleTimers(onExpired(func(uint32) { see("timer") }))
	l.StartTimer(5, timer, 0)
	*now = 2_000_000
	a := register(t, l, openFD(t), h, 1)
	b = register(t, l, fdB, h, 2)
	c := register(t, l, openFD(t), h, 3)
	p.turn(l, Event{a, Readable}, Event{b, Readable}, Event{c, Readable})
	if want := []string{"handler", "later event", "again", "timer", "mailbox"}; !slices.Equal(open, want) {
		t.Errorf("the descriptor was open in %q, want %q", open, want)
	}
	if isOpen(fdB) {
		t.Error("the descriptor is open after the batch")
	}
}

func TestReleaseGivesDescriptorBack(t *testing.T) {
	l, p, _ := newScripted(t)
	h := l.Handle(onReady(func(Token, uint32, Events) { t.Error("delivered to a released registration") }))
	fd := openFD(t)
	tok := register(t, l, fd, h, 0)
	if got := l.Release(tok); got != fd {
		t.Fatalf("Release gives %d, want %d", got, fd)
	}
	if _, still := p.added[fd]; still {
		t.Error("the poller still has a released descriptor")
	}
	if got := l.Release(tok); got != -1 {
		t.Errorf("a second Release gives %d, want -1", got)
	}
	p.turn(l, Event{tok, Readable})
	if !isOpen(fd) {
		t.Error("the loop closed a released descriptor")
	}
	_ = unix.Close(fd)
}

func TestRegisterRefused(t *testing.T) {
	l, p, _ := newScripted(t)
	h := l.Handle(onReady(func(Token, uint32, Events) { t.Error("delivered") }))
	p.refuse = errRefused
	if tok, err := l.Register(noFD(0), h, 0, Readable); !errors.Is(err, errRefused) || tok != 0 {
		t.Fatalf("Register gives %#x, %v; want the poller's error", tok, err)
	}
	if l.slots.Len() != 0 {
		t.Errorf("%d slots are in use after a refused registration", l.slots.Len())
	}
	p.refuse = nil
	if tok := register(t, l, noFD(0), h, 0); tok.index() != 0 {
		t.Errorf("the slot of a refused registration was not used again")
	}
}

func TestInterest(t *testing.T) {
	l, p, _ := newScripted(t)
	stream, err := l.Register(noFD(0), 0, 0, Readable)
	if err != nil {
		t.Fatal(err)
	}
	level, err := l.RegisterLevel(noFD(1), 0, 0, Readable)
	if err != nil {
		t.Fatal(err)
	}
	if p.interest[noFD(0)] != Readable|edge || p.interest[noFD(1)] != Readable {
		t.Errorf("interests %#x and %#x, want the first edge-triggered", p.interest[noFD(0)], p.interest[noFD(1)])
	}
	l.SetInterest(level, 0)
	if p.interest[noFD(1)] != 0 {
		t.Errorf("interest %#x after it was silenced", p.interest[noFD(1)])
	}
	l.Close(level)
	if _, still := p.added[noFD(1)]; still {
		t.Error("the poller keeps a closed listener, whose duplicates may live")
	}
	l.SetInterest(level, Readable)
	if p.interest[noFD(1)] != 0 {
		t.Error("a stale token changed an interest")
	}
	l.Close(stream)
}

func TestZeroTokenNamesNothing(t *testing.T) {
	l, p, _ := newScripted(t)
	h := l.Handle(onReady(func(Token, uint32, Events) { t.Error("delivered") }))
	live := register(t, l, noFD(0), h, 0)
	for _, tok := range []Token{0, live + 1, live - 1<<32, live + 1<<32, live + 2<<32, wakeToken} {
		if l.FD(tok) != -1 || l.Release(tok) != -1 {
			t.Errorf("token %#x names something", tok)
		}
		l.Close(tok)
		l.Again(tok)
		p.turn(l, Event{tok, Readable})
	}
	if l.FD(live) != noFD(0) {
		t.Error("a token of nothing ended the live registration")
	}
}
