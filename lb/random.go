package lb

import "slices"

// cumulative are the running sums of the lanes' weights: entry i is the sum of
// the weights up to and with lane i.
type cumulative []uint64

func newCumulative(weights []uint32) cumulative {
	c := make(cumulative, len(weights))
	var sum uint64
	for i, w := range weights {
		sum += uint64(w)
		c[i] = sum
	}
	return c
}

func (c cumulative) sum() uint64 { return c[len(c)-1] }

// before is the sum of the weights before lane i.
func (c cumulative) before(i int) uint64 {
	if i == 0 {
		return 0
	}
	return c[i-1]
}

// at is the lane that the point, below sum, falls on: O(log lanes).
func (c cumulative) at(point uint64) int {
	i, _ := slices.BinarySearch(c, point+1)
	return i
}

// draw picks a lane by weight.
func (c cumulative) draw(dice *Rand) int { return c.at(dice.Below(c.sum())) }

// drawOther picks a lane by weight among all but one; there are two or more.
func (c cumulative) drawOther(dice *Rand, but int) int {
	start, end := c.before(but), c[but]
	point := dice.Below(c.sum() - (end - start))
	if point >= start {
		point += end - start
	}
	return c.at(point)
}

// randomDraws is how many times Random draws before it looks at all members.
const randomDraws = 4

func (s *Set) random(r *Request, m mercy) int {
	dice := s.dice(r)
	for range randomDraws {
		i := s.cumulative.draw(&dice)
		if l := &s.lanes[i]; !r.skips(l.index, m) && l.endpoint.take(l.limit) {
			return i
		}
	}
	return s.anyWithRoom(r, m)
}

// powerOfTwo draws two different lanes and takes the one with the lower
// active/weight, the first of equals (Mitzenmacher: "The Power of Two Choices
// in Randomized Load Balancing", 2001). The place is taken by compare-and-swap
// on the count that was compared.
func (s *Set) powerOfTwo(r *Request, m mercy) int {
	if len(s.lanes) == 1 {
		return s.anyWithRoom(r, m)
	}
	dice := s.dice(r)
	first := s.cumulative.draw(&dice)
	second := s.cumulative.drawOther(&dice, first)
	a, b := &s.lanes[first], &s.lanes[second]
	skipA, skipB := r.skips(a.index, m), r.skips(b.index, m)
	for {
		activeA, activeB := a.endpoint.Active(), b.endpoint.Active()
		roomA := !skipA && activeA < a.limit
		roomB := !skipB && activeB < b.limit
		switch {
		case !roomA && !roomB:
			return s.anyWithRoom(r, m)
		case roomA && (!roomB || activeA*int64(b.weight) <= activeB*int64(a.weight)):
			if a.endpoint.active.CompareAndSwap(activeA, activeA+1) {
				return first
			}
		default:
			if b.endpoint.active.CompareAndSwap(activeB, activeB+1) {
				return second
			}
		}
	}
}
