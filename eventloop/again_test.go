package eventloop

import (
	"slices"
	"testing"
)

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
