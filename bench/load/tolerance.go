package load

import (
	"fmt"
	"time"
)

// Tolerance is what the UDP generators take from a path that may lose. The zero
// value takes nothing: below saturation no datagram may be lost on loopback.
// A lost datagram is never sent again.
type Tolerance struct {
	Loss    float64       // share of datagrams that may be lost before the run fails, 0 to 1
	Timeout time.Duration // a datagram not answered for so long is lost; 0 = 1 s
	Stall   time.Duration // the longest time without any answer; 0 = 10 s
}

func (t Tolerance) timeout() time.Duration {
	if t.Timeout <= 0 {
		return time.Second
	}
	return t.Timeout
}

// check refuses shares that are none.
func (t Tolerance) check(reorder float64) error {
	if !(t.Loss >= 0 && t.Loss <= 1) || !(reorder >= 0 && reorder <= 1) {
		return fmt.Errorf("loss %g, reorder %g: want shares from 0 to 1", t.Loss, reorder)
	}
	return nil
}

// tally counts what goes wrong with datagrams, up to what is tolerated.
type tally struct {
	total              int64 // datagrams of the run
	lost, lostMax      int64
	overtaken, overMax int64
}

func (t Tolerance) tally(total int64, reorder float64) tally {
	return tally{total: total, lostMax: int64(t.Loss * float64(total)), overMax: int64(reorder * float64(total))}
}

func (t *tally) lose(n int64) error {
	t.lost += n
	return t.bearable(t.lost)
}

// bearable says whether so many lost datagrams would be tolerated.
func (t *tally) bearable(lost int64) error {
	if lost > t.lostMax {
		return fmt.Errorf("%w: %d of %d, tolerated are %d", ErrLost, lost, t.total, t.lostMax)
	}
	return nil
}

func (t *tally) overtake() error {
	t.overtaken++
	if t.overtaken > t.overMax {
		return fmt.Errorf("%w: %d of %d, tolerated are %d", ErrReordered, t.overtaken, t.total, t.overMax)
	}
	return nil
}

// exchange is a run over UDP, as serve drives it.
type exchange interface {
	over() bool       // everything was answered or is lost
	progress() int64  // grows with every answer
	step(i int) error // reads what has come on socket i, and sends what is to follow
	late() error      // looks, once a tick, for what was not answered in time
}

// serve waits for the sockets in p, which are registered under their numbers,
// until x is over.
func (t Tolerance) serve(p *poller, clock *ticker, x exchange) error {
	dog := newWatchdog(t.Stall)
	for !x.over() {
		events := p.wait()
		if clock.tick(events == nil) {
			if err := x.late(); err != nil {
				return err
			}
		}
		if events == nil && dog.stalled(x.progress()) {
			return ErrStalled
		}
		for i := range events {
			if err := x.step(int(events[i].Fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// ticker is a coarse clock for timeouts: the clock is read when nothing came, or
// once in 64 turns. It counts ticks, not time, so that a pause of the generator
// itself is one tick, and no loss.
type ticker struct {
	every time.Duration
	next  time.Time
	turns int
	now   int64 // ticks
}

const ticksPerTimeout = 8

func newTicker(timeout time.Duration) ticker {
	every := timeout / ticksPerTimeout
	return ticker{every: every, next: time.Now().Add(every)}
}

// tick reports whether another tick has passed.
func (t *ticker) tick(idle bool) bool {
	if t.turns++; !idle && t.turns%64 != 0 {
		return false
	}
	now := time.Now()
	if now.Before(t.next) {
		return false
	}
	t.next = now.Add(t.every)
	t.now++
	return true
}

// expired reports whether what happened at tick since is a timeout ago.
func (t *ticker) expired(since int64) bool { return t.now-since > ticksPerTimeout }

// sequence is the numbers of one flow that have come.
type sequence struct {
	next uint64 // one more than the highest that came
	seen [sequenceSpan / 64]uint64
}

// sequenceSpan is how far a datagram may be overtaken and still be known.
const sequenceSpan = 1 << 13

// take notes that number k came; late means after a higher one.
func (s *sequence) take(k uint64) (late bool, err error) {
	if k < s.next {
		if s.next-k > sequenceSpan || s.has(k) {
			return true, fmt.Errorf("%w: datagram %d came again, or %d too late", ErrCorrupt, k, s.next-k)
		}
		s.seen[k/64%uint64(len(s.seen))] |= 1 << (k % 64)
		return true, nil
	}
	if k-s.next >= sequenceSpan {
		s.seen = [sequenceSpan / 64]uint64{}
	} else {
		for i := s.next; i < k; i++ {
			s.seen[i/64%uint64(len(s.seen))] &^= 1 << (i % 64)
		}
	}
	s.seen[k/64%uint64(len(s.seen))] |= 1 << (k % 64)
	s.next = k + 1
	return false, nil
}

// has reports whether k, within the span below next, has come.
func (s *sequence) has(k uint64) bool {
	return s.seen[k/64%uint64(len(s.seen))]>>(k%64)&1 != 0
}
