package outlier

import (
	"math"
	"time"
)

// Rules are what makes an outlier in one cluster, and for how long. They are immutable; a change of the configuration
// makes new ones for the same Records.
type Rules struct {
	Consecutive int           // failures in a row that eject, counted by the caller; 0 = off
	Stdev       float64       // standard deviations below the mean success rate that eject; 0 = off
	Interval    time.Duration // from Judge to Judge
	Ejection    time.Duration // how long the first ejection lasts; the multiplier makes the next ones longer
	MaxEjection time.Duration // how long any ejection lasts at most, even the first; 0 = no limit
	MaxEjected  float64       // share of the members that may be ejected at once, from 0 to 1; see Eject
}

// Eject takes members[i] out of use from now on, for what w says. It returns false, and changes nothing, if that member is
// ejected already, or if as many are as may be: MaxEjected of the members, rounded down, but one of two or more in any
// case, and never the last that isn't ejected. No Record comes twice in members.
//
// A cluster that shrinks may be left with more ejected than that; their ejections run on, and Eject says no until they
// have ended.
func (r *Rules) Eject(members []*Record, i int, now int64, w Why) bool {
	if members[i].Ejected() || r.room(members) < 1 {
		return false
	}
	r.eject(members[i], now, w)
	return true
}

// Due ends the ejections whose time is over and appends the indexes of those members to returned.
func (r *Rules) Due(members []*Record, now int64, returned []int) []int {
	for i, m := range members {
		if m.Ejected() && m.until <= now && m.Return() {
			returned = append(returned, i)
		}
	}
	return returned
}

// Next returns when the first of the ejections ends (nanoseconds); false if there is none.
func Next(members []*Record) (at int64, ok bool) {
	for _, m := range members {
		if m.Ejected() && (!ok || m.until < at) {
			at, ok = m.until, true
		}
	}
	return at, ok
}

// room returns how many more members may be ejected; below 0 if there are too many already.
func (r *Rules) room(members []*Record) int {
	ejected := 0
	for _, m := range members {
		if m.Ejected() {
			ejected++
		}
	}
	return r.most(len(members)) - ejected
}

// most returns how many of n members may be ejected at once.
func (r *Rules) most(n int) int {
	share := r.MaxEjected*float64(n) + 1e-9 // 0.29 * 100 is a little less than 29
	most := 1
	if share >= float64(n) {
		most = n
	} else if share >= 1 {
		most = int(share)
	}
	return min(most, n-1)
}

// eject begins an ejection. It doesn't look at the cap.
func (r *Rules) eject(m *Record, now int64, w Why) {
	base, limit := max(int64(r.Ejection), 1), int64(r.MaxEjection)
	if limit <= 0 {
		limit = math.MaxInt64
	}
	// Beyond the multiplier that reaches the limit there is nothing to remember; it would only take longer to forget.
	reaches := (limit-1)/base + 1
	times := min(int64(m.multiplier)+1, reaches, math.MaxInt32)
	lasts := limit
	if times < reaches {
		lasts = base * times // less than limit
	}
	m.multiplier, m.why, m.recent = int(times), w, true
	m.until = math.MaxInt64
	if now <= math.MaxInt64-lasts {
		m.until = now + lasts
	}
	if m.until == 0 {
		m.until = 1 // 0 means that there is no ejection
	}
}
