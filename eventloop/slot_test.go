package eventloop

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func openFD(t *testing.T) int {
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

// batchModel is what a simulation knows of the loop: who lives, and what has to be delivered next.
type batchModel struct {
	t     *testing.T
	r     *rand.Rand
	l     *Loop
	hands [2]HandlerID
	live  []modelSlot
	ended []Token
	again []Token // in the order of the calls
	batch []Event
	turn  []Token // of the ready list, under way
	stale uint64
	next  uint32
	seen  int
}

type modelSlot struct {
	tok  Token
	arg  uint32
	hand int
}

func (m *batchModel) find(tok Token) int {
	return slices.IndexFunc(m.live, func(s modelSlot) bool { return s.tok == tok })
}

func (m *batchModel) change() {
	for range m.r.IntN(4) {
		if len(m.live) == 0 || m.r.IntN(3) == 0 {
			m.next++
			hand := m.r.IntN(2)
			tok := register(m.t, m.l, noFD(m.next), m.hands[hand], m.next)
			if m.find(tok) >= 0 || slices.Contains(m.ended, tok) {
				m.t.Fatalf("token %#x was given out before", tok)
			}
			m.live = append(m.live, modelSlot{tok, m.next, hand})
			continue
		}
		i := m.r.IntN(len(m.live))
		tok := m.live[i].tok
		switch m.r.IntN(3) {
		case 0:
			m.l.Again(tok)
			if !slices.Contains(m.again, tok) && !slices.Contains(m.turn, tok) { // who waits already waits once
				m.again = append(m.again, tok)
			}
			continue
		case 1:
			m.l.Close(tok)
		case 2:
			if fd := m.l.Release(tok); fd != noFD(m.live[i].arg) {
				m.t.Fatalf("Release gives %d, want %d", fd, noFD(m.live[i].arg))
			}
		}
		m.ended = append(m.ended, tok)
		m.live = slices.Delete(m.live, i, i+1)
	}
}

// deliverable skips what must not be delivered, at the present state of the model.
func (m *batchModel) deliverable() {
	for len(m.batch) > 0 && m.find(m.batch[0].Token) < 0 {
		m.batch = m.batch[1:]
		m.stale++
	}
}

func (m *batchModel) ready(hand int, tok Token, arg uint32, ev Events) {
	m.seen++
	m.deliverable()
	if ev != 0 {
		if len(m.batch) == 0 || m.batch[0] != (Event{tok, ev}) {
			m.t.Fatalf("delivered %#x to %#x, want of the batch %v", ev, tok, m.batch)
		}
		m.batch = m.batch[1:]
	} else {
		if len(m.batch) > 0 {
			m.t.Fatalf("the ready list began before the end of the batch")
		}
		if m.turn == nil {
			m.turn, m.again = m.again, nil
		}
		for len(m.turn) > 0 && m.find(m.turn[0]) < 0 {
			m.turn = m.turn[1:]
		}
		if len(m.turn) == 0 || m.turn[0] != tok {
			m.t.Fatalf("%#x was called back, want of the ready list %#x", tok, m.turn)
		}
		m.turn = m.turn[1:]
	}
	i := m.find(tok)
	if i < 0 || m.live[i].arg != arg || m.live[i].hand != hand {
		m.t.Fatalf("delivered to %#x with %d under handler %d, which is not what was registered", tok, arg, hand)
	}
	m.change()
}

func TestBatchesAgainstModel(t *testing.T) {
	seeds := uint64(300)
	seed, delivered := uint64(0), 0
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < seeds; seed++ {
		delivered += simulateBatches(t, seed)
	}
	if delivered < int(seeds)*50 {
		t.Errorf("%d deliveries in %d runs: this tests nothing", delivered, seeds)
	}
}

func simulateBatches(t *testing.T, seed uint64) int {
	l, p, _ := newScripted(t)
	m := &batchModel{t: t, l: l, r: rand.New(rand.NewPCG(seed, 1))}
	for hand := range m.hands {
		m.hands[hand] = l.Handle(onReady(func(tok Token, arg uint32, ev Events) { m.ready(hand, tok, arg, ev) }))
	}
	for range 40 {
		m.change()
		m.batch = nil
		for range m.r.IntN(12) {
			ev := Events(1 + m.r.IntN(31))
			if n := len(m.ended); n > 0 && m.r.IntN(3) == 0 {
				m.batch = append(m.batch, Event{m.ended[m.r.IntN(n)], ev})
			} else if n := len(m.live); n > 0 {
				m.batch = append(m.batch, Event{m.live[m.r.IntN(n)].tok, ev})
			}
		}
		m.turn = nil
		busy := len(m.again) > 0
		p.turn(l, m.batch...)
		if busy && p.lastTimeout() != 0 {
			t.Fatalf("waits %v with a ready list", p.lastTimeout())
		}
		m.deliverable()
		if len(m.batch) > 0 {
			t.Fatalf("not delivered: %v", m.batch)
		}
		if m.turn == nil { // nobody on the ready list lived
			m.turn, m.again = m.again, nil
		}
		for _, tok := range m.turn {
			if m.find(tok) >= 0 {
				t.Fatalf("%#x was on the ready list and not called", tok)
			}
		}
		if s := l.Stats(); s.Stale != m.stale {
			t.Fatalf("Stale is %d, want %d", s.Stale, m.stale)
		}
		if l.slots.Len() != len(m.live) {
			t.Fatalf("%d slots in use, want %d", l.slots.Len(), len(m.live))
		}
	}
	return m.seen
}

func TestAgain(t *testing.T) {
	l, p, _ := newScripted(t)
	var calls []Events
	left := 3
	h := l.Handle(onReady(func(tok Token, _ uint32, ev Events) {
		calls = append(calls, ev)
		if left--; left > 0 {
			l.Again(tok)
			l.Again(tok)
		}
	}))
	tok := register(t, l, noFD(0), h, 0)
	// From an event: called back once more before the loop waits. From that call: in the next turn.
	p.turn(l, Event{tok, Readable})
	if !slices.Equal(calls, []Events{Readable, 0}) {
		t.Fatalf("calls in the first turn: %v, want the event and one without events", calls)
	}
	p.turn(l)
	if !slices.Equal(calls, []Events{Readable, 0, 0}) || p.lastTimeout() != 0 {
		t.Fatalf("calls after the second turn: %v, it waited %v; want one more, at once", calls, p.lastTimeout())
	}
	p.turn(l)
	if len(calls) != 3 || p.lastTimeout() >= 0 {
		t.Errorf("after the work's end: calls %v, waits %v", calls, p.lastTimeout())
	}
	if s := l.Stats(); s.Again != 2 {
		t.Errorf("Again is %d, want 2", s.Again)
	}
}

func TestAgainSkipsClosed(t *testing.T) {
	l, p, _ := newScripted(t)
	var got []uint32
	var toks [3]Token
	h := l.Handle(onReady(func(tok Token, arg uint32, ev Events) {
		got = append(got, arg)
		if ev != 0 {
			l.Again(tok)
		} else if arg == 0 {
			l.Close(toks[1])
		}
	}))
	var batch []Event
	for i := range toks {
		toks[i] = register(t, l, noFD(uint32(i)), h, uint32(i))
		batch = append(batch, Event{toks[i], Readable})
	}
	p.turn(l, batch...)
	if want := []uint32{0, 1, 2, 0, 2}; !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
	// The slot's next owner begins with an empty ready list.
	got = nil
	fresh := register(t, l, noFD(9), h, 9)
	if fresh.index() != toks[1].index() {
		t.Fatalf("slot %d was not used again", toks[1].index())
	}
	l.Again(toks[1])
	l.Again(fresh)
	p.turn(l)
	if !slices.Equal(got, []uint32{9}) {
		t.Errorf("called %v, want the new owner once", got)
	}
}

// Whoever always has work left is called once a turn, between all others.
func TestAgainIsFair(t *testing.T) {
	l, p, _ := newScripted(t)
	var got []uint32
	h := l.Handle(onReady(func(tok Token, arg uint32, _ Events) {
		got = append(got, arg)
		l.Again(tok)
	}))
	for i := range uint32(3) {
		l.Again(register(t, l, noFD(i), h, i))
	}
	late := register(t, l, noFD(3), h, 3)
	p.turn(l)
	p.turn(l, Event{late, Readable})
	p.turn(l)
	want := []uint32{0, 1, 2 /**/, 3, 0, 1, 2, 3 /**/, 0, 1, 2, 3}
	if !slices.Equal(got, want) {
		t.Errorf("called %v, want %v", got, want)
	}
}

func TestDestroyClosesAll(t *testing.T) {
	openFDs(t) // the first count opens the runtime's own
	before := openFDs(t)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := l.Handle(onReady(func(Token, uint32, Events) {}))
	register(t, l, openFD(t), h, 0)
	l.Close(register(t, l, openFD(t), h, 1))
	if _, err := l.RegisterLevel(openFD(t), h, 2, Readable); err != nil {
		t.Fatal(err)
	}
	pipe, err := l.LeasePipe()
	if err != nil {
		t.Fatal(err)
	}
	l.ReturnPipe(pipe)
	if n := openFDs(t); n != before+7 {
		t.Errorf("%d descriptors more, want 7: the poller's two, three registered, a pipe's two", n-before)
	}
	l.Destroy()
	l.Destroy()
	if n := openFDs(t); n != before {
		t.Errorf("%d descriptors more after Destroy than before", n-before)
	}
}

// openFDs counts the process's descriptors.
func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
