package access

import (
	"math"
	"sync/atomic"
	"time"
)

// Rate is so many tokens a second, and how many a bucket holds. It is immutable and comparable; the zero Rate is no limit.
//
// Times are in ticks, sixteenths of a nanosecond. That rounds the time between two tokens up by less than a tick: a rate is never above
// what was asked for, and below it by 0.006% at a million a second.
type Rate struct {
	interval int64 // ticks from one token to the next; 0 = no limit
	capacity int64 // ticks in which an empty bucket fills: burst * interval
}

const (
	ticks   = 16                  // in a nanosecond
	second  = ticks * time.Second // in ticks
	longest = 1 << 60             // ticks that a bucket may take to fill: 2.3 years
)

// NewRate returns a rate of so many tokens a second, of which at most burst may come at once; 0 or less is one second's worth, and at least 1.
//
// perSecond is no limit if it is 0, negative, infinite or NaN. What can't be counted is brought to what can: at most 16e9 a second, at least
// one in 2.3 years, and a burst that comes back within 2.3 years.
func NewRate(perSecond float64, burst int64) Rate {
	if !(perSecond > 0) || math.IsInf(perSecond, 1) {
		return Rate{}
	}
	interval := int64(longest)
	if exact := math.Ceil(float64(second) / perSecond); exact < longest {
		interval = int64(max(1, exact))
	}
	if burst <= 0 {
		burst = int64(max(1, min(perSecond, longest)))
	}
	return Rate{interval: interval, capacity: min(burst, longest/interval) * interval}
}

// Limited reports whether it is a limit.
func (r Rate) Limited() bool { return r.interval > 0 }

// debt is what a bucket's state is: the time, in ticks, at which the bucket is full again; the theoretical arrival time of ITU-T I.371, Annex A.
// Times wrap around, so that the clock may have begun anywhere; 0 is a bucket that is full, whatever the time.
type debt int64

// since is how many ticks are missing for the bucket to be full, 0 if it is.
func (d debt) since(now int64) int64 {
	if d == 0 {
		return 0
	}
	return max(0, int64(d)-now*ticks)
}

// take is the virtual scheduling algorithm of ITU-T I.371: a token makes it an interval later that the bucket is full again, and that must not be
// further away than the capacity. It returns the state after it, with or without a token.
//
// If it is further away already, the caller's clock is behind, or the Rate has changed from one with a higher capacity. Such a debt would
// last for ages after someone has corrected a rate of one an hour, so that beyond a second it counts as an empty bucket.
func (r Rate) take(d debt, now int64) (debt, bool) {
	missing := d.since(now)
	if missing <= r.capacity-r.interval {
		return r.owe(now, missing+r.interval), true
	}
	if missing > r.capacity+int64(second) {
		return r.owe(now, r.capacity), false
	}
	return d, false
}

// owe is the state of a bucket for which so many ticks are missing.
func (r Rate) owe(now, missing int64) debt {
	d := debt(now*ticks + missing)
	if d == 0 {
		return 1
	}
	return d
}

// Bucket holds the tokens of a Rate. All loops may use one; the zero value is full. The Rate may be another one from call to call: what has been
// taken is remembered as the time that it takes to come back.
type Bucket struct {
	debt atomic.Int64
}

// Take takes a token, if there is one. As long as the Rate is the same, all callers together take no more than burst + rate * (the latest now
// - the earliest now).
func (b *Bucket) Take(r Rate, now int64) bool {
	if !r.Limited() {
		return true
	}
	for {
		have := b.debt.Load()
		d, ok := r.take(debt(have), now)
		if int64(d) == have || b.debt.CompareAndSwap(have, int64(d)) {
			return ok
		}
	}
}

// Level returns how many tokens there are, 0 for no limit. A Take succeeds from 1 on.
func (b *Bucket) Level(r Rate, now int64) float64 {
	if !r.Limited() {
		return 0
	}
	return float64(max(0, r.capacity-debt(b.debt.Load()).since(now))) / float64(r.interval)
}
