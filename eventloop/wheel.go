package eventloop

import (
	"math/bits"
	"time"
)

// The wheel's shape: five levels of 64 buckets at a tick of one millisecond reach 64^5 ms, twelve days; what lies beyond
// waits in the last bucket and is put in again when that comes up.
const (
	wheelTick   = int64(time.Millisecond)
	wheelBits   = 6
	wheelSize   = 1 << wheelBits
	wheelLevels = 5
	wheelReach  = int64(1) << (wheelBits * wheelLevels)
)

// TimerID names a timer: index and generation of its node. The zero TimerID names none.
type TimerID uint64

// timerNode is one timer, linked into its bucket by indexes (0 = none; node 0 is never used).
type timerNode struct {
	at         int64 // the tick it is due at
	next, prev uint32
	generation uint32
	arg        uint32
	handler    HandlerID
	level      int8 // -1 = not in a bucket
	bucket     uint8
}

// Wheel is a hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 7): starting,
// moving and stopping a timer cost the same whatever their number. It is pure: times are nanoseconds given by the caller. A timer fires
// at the first Advance at or after its deadline, rounded up to a millisecond, and never before it.
type Wheel struct {
	now      int64 // the last tick that was handled
	nodes    Slab[timerNode]
	heads    [wheelLevels][wheelSize]uint32
	occupied [wheelLevels]uint64
}

// NewWheel returns an empty wheel that stands at now (nanoseconds).
func NewWheel(now int64) *Wheel {
	w := &Wheel{now: ticksDown(now)}
	w.nodes.Get() // index 0 means none
	return w
}

// Len returns how many timers are running.
func (w *Wheel) Len() int { return w.nodes.Len() - 1 }

// Start starts a timer that fires for (handler, arg) at the deadline at (nanoseconds).
func (w *Wheel) Start(at int64, handler HandlerID, arg uint32) TimerID {
	i, n := w.nodes.Get()
	n.generation++
	n.handler, n.arg = handler, arg
	n.at = ticksUp(at)
	w.link(i, n, w.now+1)
	return TimerID(i) | TimerID(n.generation)<<32
}

// Move gives the timer another deadline; it reports false when the timer has fired or was stopped.
func (w *Wheel) Move(id TimerID, at int64) bool {
	i, n := w.find(id)
	if n == nil {
		return false
	}
	w.unlink(i, n)
	n.at = ticksUp(at)
	w.link(i, n, w.now+1)
	return true
}

// Stop ends the timer; it reports false when the timer has fired or was stopped.
func (w *Wheel) Stop(id TimerID) bool {
	i, n := w.find(id)
	if n == nil {
		return false
	}
	w.unlink(i, n)
	w.release(i, n)
	return true
}

// Next returns when Advance has something to do (nanoseconds); ok is false when no timer runs. It may be early, for timers
// that only move to a finer level then, and is never late.
func (w *Wheel) Next() (at int64, ok bool) {
	if w.Len() == 0 {
		return 0, false
	}
	best := int64(1)<<62 - 1
	for level := range wheelLevels {
		mask := w.occupied[level]
		if mask == 0 {
			continue
		}
		shift := uint(level * wheelBits)
		pos := uint(w.now>>shift) & (wheelSize - 1)
		// Rotated so that bit 0 is the bucket after the present one: the nearest occupied one is the lowest bit.
		ahead := bits.TrailingZeros64(bits.RotateLeft64(mask, -int(pos+1))) + 1
		best = min(best, (w.now>>shift+int64(ahead))<<shift)
	}
	return best * wheelTick, true
}

// Advance moves the wheel to now (nanoseconds) and calls fire for every timer that is due, in the order of their ticks. fire may start, move and
// stop timers, also ones that are due in the same call.
func (w *Wheel) Advance(now int64, fire func(handler HandlerID, arg uint32)) {
	to := ticksDown(now)
	for w.now < to {
		next, ok := w.Next()
		if !ok || next/wheelTick > to {
			w.now = to
			return
		}
		w.now = next / wheelTick
		w.cascade()
		w.fireBucket(fire)
	}
}

// cascade moves the timers of every coarser bucket that begins at the present tick down to where they belong now.
func (w *Wheel) cascade() {
	for level := wheelLevels - 1; level > 0; level-- {
		shift := uint(level * wheelBits)
		if w.now&(1<<shift-1) != 0 {
			continue
		}
		pos := int(w.now>>shift) & (wheelSize - 1)
		i := w.heads[level][pos]
		w.heads[level][pos] = 0
		w.occupied[level] &^= 1 << pos
		for i != 0 {
			n := w.nodes.At(i)
			next := n.next
			w.link(i, n, w.now) // this tick's bucket has yet to fire
			i = next
		}
	}
}

func (w *Wheel) fireBucket(fire func(HandlerID, uint32)) {
	pos := int(w.now) & (wheelSize - 1)
	// One at a time from the head: fire may stop any of those still in the bucket. What fire starts is due at a later tick.
	for {
		i := w.heads[0][pos]
		if i == 0 {
			return
		}
		n := w.nodes.At(i)
		w.unlink(i, n)
		handler, arg := n.handler, n.arg
		w.release(i, n)
		fire(handler, arg)
	}
}

// link puts the timer into the bucket of its tick, or of tick earliest if that is later.
func (w *Wheel) link(i uint32, n *timerNode, earliest int64) {
	at := max(n.at, earliest)
	if at-w.now >= wheelReach {
		at = w.now + wheelReach - 1
	}
	level := 0
	if delta := at - w.now; delta >= wheelSize {
		level = (bits.Len64(uint64(delta)) - 1) / wheelBits
	}
	pos := int(at>>uint(level*wheelBits)) & (wheelSize - 1)
	head := w.heads[level][pos]
	n.level, n.bucket = int8(level), uint8(pos)
	n.prev, n.next = 0, head
	if head != 0 {
		w.nodes.At(head).prev = i
	}
	w.heads[level][pos] = i
	w.occupied[level] |= 1 << pos
}

func (w *Wheel) unlink(i uint32, n *timerNode) {
	if n.prev != 0 {
		w.nodes.At(n.prev).next = n.next
	} else {
		w.heads[n.level][n.bucket] = n.next
		if n.next == 0 {
			w.occupied[n.level] &^= 1 << n.bucket
		}
	}
	if n.next != 0 {
		w.nodes.At(n.next).prev = n.prev
	}
	n.level = -1
}

func (w *Wheel) release(i uint32, n *timerNode) {
	n.generation++
	w.nodes.Put(i)
}

func (w *Wheel) find(id TimerID) (uint32, *timerNode) {
	i := uint32(id)
	if i == 0 || i >= w.nodes.Cap() {
		return 0, nil
	}
	n := w.nodes.At(i)
	if n.generation != uint32(id>>32) || n.level < 0 {
		return 0, nil
	}
	return i, n
}

// ticksDown is the tick that at falls into, also before zero.
func ticksDown(at int64) int64 {
	if t := at / wheelTick; t*wheelTick <= at {
		return t
	}
	return at/wheelTick - 1
}

// ticksUp is the first tick that does not come before at; it can't overflow, so that "never" may be the largest int64.
func ticksUp(at int64) int64 {
	if t := ticksDown(at); t*wheelTick == at {
		return t
	}
	return ticksDown(at) + 1
}
