package eventloop

import (
	"testing"
	"time"
)

// echo answers on the sockets that are registered with it, and puts off a timer for each answer, as a session does.
type echo struct {
	l       *Loop
	timer   TimerID
	expires HandlerID
}

func (e *echo) Ready(tok Token, _ uint32, ev Events) {
	if ev&Readable == 0 {
		return
	}
	fd, buf := e.l.FD(tok), e.l.Shared()
	for {
		n, err := Read(fd, buf)
		if err != 0 || n == 0 {
			return
		}
		_, _ = Write(fd, buf[:n])
		e.l.MoveTimer(e.timer, e.l.Now()+int64(time.Hour))
		if n < len(buf) {
			return
		}
	}
}

func (e *echo) Expired(uint32) {}

func newEcho(tb testing.TB) (l *Loop, peer int) {
	l, err := New(Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.Destroy)
	e := &echo{l: l}
	e.expires = l.HandleTimers(e)
	e.timer = l.StartTimer(int64(time.Hour), e.expires, 0)
	ours, peer, err := newSocketPair()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeFD(peer) })
	if _, err := l.Register(ours, l.Handle(e), 0, stream); err != nil {
		tb.Fatal(err)
	}
	return l, peer
}

// roundTrip sends and takes back one message through as many turns of the loop as that takes: one.
func roundTrip(tb testing.TB, l *Loop, peer int, buf []byte) {
	if n, e := Write(peer, buf); n != len(buf) || e != 0 {
		tb.Fatalf("wrote %d: %v", n, e)
	}
	for {
		if err := l.turnOnce(); err != nil {
			tb.Fatal(err)
		}
		if n, e := Read(peer, buf); e == 0 {
			if n != len(buf) {
				tb.Fatalf("%d bytes came back", n)
			}
			return
		}
	}
}

func TestTurnAllocatesNothing(t *testing.T) {
	l, peer := newEcho(t)
	buf := make([]byte, 64)
	if n := testing.AllocsPerRun(2000, func() { roundTrip(t, l, peer, buf) }); n != 0 {
		t.Errorf("%v allocations for a turn, want none", n)
	}
	if s := l.Stats(); s.Events < 2000 || s.Stale != 0 {
		t.Errorf("%+v, want an event for each message", s)
	}
}

// A connection's life in the loop: registered, delivered to, on the ready list, timed, with a pipe and a chunk, closed.
func TestLifeAllocatesNothing(t *testing.T) {
	l, p, now := newScripted(t)
	h := l.Handle(onReady(func(tok Token, _ uint32, ev Events) {
		if ev != 0 {
			l.Again(tok)
			return
		}
		l.Close(tok)
	}))
	expired := 0
	timers := l.HandleTimers(onExpired(func(uint32) { expired++ }))
	batch := make([]Event, 2)
	if n := testing.AllocsPerRun(1000, func() {
		for i := range batch {
			tok, err := l.Register(noFD(uint32(i)), h, 0, stream)
			if err != nil {
				t.Fatal(err)
			}
			batch[i] = Event{tok, Readable}
		}
		*now += int64(time.Millisecond)
		l.StartTimer(*now, timers, 0)
		pipe, err := l.LeasePipe()
		if err != nil {
			t.Fatal(err)
		}
		l.ReturnPipe(pipe)
		l.ReturnChunk(l.LeaseChunk())
		p.timeouts = p.timeouts[:0]
		p.batch = batch
		if err := l.turnOnce(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if l.slots.Len() != 0 || l.wheel.Len() != 0 || expired < 1000 {
		t.Errorf("%d slots and %d timers left, %d expired", l.slots.Len(), l.wheel.Len(), expired)
	}
}

// BenchmarkTurn is a 64 B message to the loop and back over a socket pair: write, epoll_pwait, read, write, read.
func BenchmarkTurn(b *testing.B) {
	l, peer := newEcho(b)
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		roundTrip(b, l, peer, buf)
	}
}

// BenchmarkEmptyTurn is what the loop itself costs over one look at epoll.
func BenchmarkEmptyTurn(b *testing.B) {
	l, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(l.Destroy)
	h := l.Handle(onReady(func(tok Token, _ uint32, _ Events) { l.Again(tok) }))
	tok, err := l.Register(openFD(b), h, 0, Readable)
	if err != nil {
		b.Fatal(err)
	}
	l.Again(tok)
	b.ReportAllocs()
	for b.Loop() {
		if err := l.turnOnce(); err != nil {
			b.Fatal(err)
		}
	}
}
