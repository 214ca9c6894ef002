package eventloop

import (
	"math/rand/v2"
	"slices"
	"testing"
)

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
