package eventloop

import (
	"errors"
	"testing"
	"time"
)

// scripted is a Poller that reports what a test lays down for it, and remembers what it was asked.
type scripted struct {
	t        *testing.T
	batch    []Event // reported by the next Wait
	timeouts []time.Duration
	added    map[int]Token
	interest map[int]Events
	refuse   error // what Add answers
	failure  error // what Wait answers
	woken    int
	closed   int
}

var errRefused = errors.New("refused")

func (p *scripted) Add(fd int, tok Token, interest Events) error {
	if p.refuse != nil {
		return p.refuse
	}
	p.added[fd], p.interest[fd] = tok, interest
	return nil
}

func (p *scripted) Modify(fd int, tok Token, interest Events) error {
	if p.added[fd] != tok {
		p.t.Errorf("Modify of descriptor %d under token %#x, it was added under %#x", fd, tok, p.added[fd])
	}
	p.interest[fd] = interest
	return nil
}

func (p *scripted) Remove(fd int) error { delete(p.added, fd); return nil }

func (p *scripted) Wait(out []Event, timeout time.Duration) (int, error) {
	p.timeouts = append(p.timeouts, timeout)
	n := copy(out, p.batch)
	p.batch = p.batch[n:]
	return n, p.failure
}

func (p *scripted) Wake()        { p.woken++ }
func (p *scripted) Close() error { p.closed++; return nil }

// lastTimeout returns how long the loop was ready to wait at the last Wait.
func (p *scripted) lastTimeout() time.Duration { return p.timeouts[len(p.timeouts)-1] }

// turn reports the events to the loop and turns it once.
func (p *scripted) turn(l *Loop, batch ...Event) {
	p.t.Helper()
	p.batch = batch
	if err := l.turnOnce(); err != nil {
		p.t.Fatal(err)
	}
}

// newScripted returns a loop over a scripted poller, with a clock that the test moves.
func newScripted(t *testing.T) (*Loop, *scripted, *int64) {
	t.Helper()
	p := &scripted{t: t, added: map[int]Token{}, interest: map[int]Events{}}
	now := new(int64)
	l, err := New(Options{Poller: p, Batch: 64, Clock: func() int64 { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Destroy)
	return l, p, now
}

// onReady and onExpired make handlers of functions.
type (
	onReady   func(tok Token, arg uint32, ev Events)
	onExpired func(arg uint32)
)

func (f onReady) Ready(tok Token, arg uint32, ev Events) { f(tok, arg, ev) }
func (f onExpired) Expired(arg uint32)                   { f(arg) }

// noFD is a descriptor that no process has, for tests whose poller is scripted: closing it does nothing.
func noFD(i uint32) int { return 1<<30 + int(i) }

func register(t *testing.T, l *Loop, fd int, h HandlerID, arg uint32) Token {
	t.Helper()
	tok, err := l.Register(fd, h, arg, Readable|Writable)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestRunReportsPollerFailure(t *testing.T) {
	l, p, _ := newScripted(t)
	p.failure = errRefused
	if err := l.Run(); !errors.Is(err, errRefused) {
		t.Errorf("Run returned %v, want the poller's error", err)
	}
	if err := l.Post(func() {}); err == nil {
		t.Error("Post to a failed loop gives no error")
	}
}

func TestPatience(t *testing.T) {
	const ms = int64(time.Millisecond)
	l, p, now := newScripted(t)
	fired := 0
	h := l.HandleTimers(onExpired(func(uint32) { fired++ }))
	p.turn(l)
	if got := p.lastTimeout(); got >= 0 {
		t.Errorf("with nothing to do the loop waits %v, want no limit", got)
	}
	id := l.StartTimer(20*ms, h, 0)
	p.turn(l)
	if got := p.lastTimeout(); got != 20*time.Millisecond {
		t.Errorf("waits %v for a timer in 20 ms", got)
	}
	*now = 30 * ms
	p.turn(l)
	if fired != 1 || l.MoveTimer(id, 99*ms) || l.StopTimer(id) {
		t.Errorf("fired %d times, want once, and then neither moved nor stopped", fired)
	}
	if err := l.Post(func() {}); err != nil {
		t.Fatal(err)
	}
	p.turn(l)
	if got := p.lastTimeout(); got != 0 {
		t.Errorf("waits %v with a function posted", got)
	}
	l.Stop()
	p.turn(l)
	if got := p.lastTimeout(); got != 0 || p.woken == 0 {
		t.Errorf("waits %v after Stop, woken %d times", got, p.woken)
	}
}
