package l4

import (
	"time"

	"weir/lb"
)

// DrainTick is how often a drain ends its share.
const DrainTick = 100 * time.Millisecond

// Drain says how many of some sessions or flows are to end at each tick, so that their clients don't all come back at once: as many as would end the
// rest evenly over what is left of the time. Those that are busy have three quarters of it to come to their own end or rest. Times are the
// loop's, in ns.
type Drain struct {
	Began    int64
	BusyFrom int64 // when busy ones are ended too
	Until    int64
}

// NewDrain returns a drain that begins now.
func NewDrain(now int64, over time.Duration) Drain {
	return Drain{Began: now, BusyFrom: now + int64(over)/4*3, Until: now + int64(over)}
}

// Share returns how many of those that are left are to end now.
func (d *Drain) Share(left int, now int64, rand *lb.Rand) int {
	ticks := (d.Until - now) / int64(DrainTick)
	if ticks <= 0 {
		return left
	}
	share := left / int(ticks+1)
	if rand.Uint64()%uint64(ticks+1) < uint64(left%int(ticks+1)) {
		share++ // the fraction, as a chance
	}
	return share
}

// Next returns when the next tick is.
func (d *Drain) Next(now int64) int64 {
	next := now + int64(DrainTick)
	if d.Until > now {
		next = min(next, d.Until)
	}
	return next
}
