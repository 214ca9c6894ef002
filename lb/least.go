package lb

// leastConnections takes the lane with the least (active+1)/weight. Among
// equals it draws by weight. If all are idle it goes by weight alone, since
// else a few short connections would all be the heaviest lane's.
//
// The place is taken by compare-and-swap on the count that was compared, so
// that between loops, too, nobody takes a place on the strength of an old
// count. It is O(lanes), unless the lane whose turn it is by weight is idle and
// as heavy as any: none is better then. That keeps a large cluster of idle
// equals from being walked.
func (s *Set) leastConnections(r *Request, m mercy) int {
	turn := int(s.sequence.at(s.cursor.next()))
	if l := &s.lanes[turn]; l.weight == s.heaviest && !r.skips(l.index, m) && l.endpoint.active.CompareAndSwap(0, 1) {
		return turn
	}
	for {
		best, active := s.leastLoaded(r, m, turn)
		if best < 0 {
			return -1
		}
		if s.lanes[best].endpoint.active.CompareAndSwap(active, active+1) {
			return best
		}
	}
}

// leastLoaded finds the lane, and the count it was compared with; -1 if none
// has room. If all that have room are idle it draws by weight, but prefers the
// lane whose turn it is, which is smoother.
func (s *Set) leastLoaded(r *Request, m mercy, turn int) (lane int, active int64) {
	dice := s.dice(r)
	var least, idle reservoir
	var leastActive int64
	var leastWeight uint64
	busy, turnIdle := false, false
	for i := range s.lanes {
		l := &s.lanes[i]
		n := l.endpoint.Active()
		if n >= l.limit || r.skips(l.index, m) {
			continue
		}
		weight := uint64(l.weight)
		if busy = busy || n != 0; !busy {
			idle.offer(i, weight, &dice)
			turnIdle = turnIdle || i == turn
		}
		// (n+1)/weight against (leastActive+1)/leastWeight.
		ours, theirs := uint64(n+1)*leastWeight, uint64(leastActive+1)*weight
		switch {
		case least.weight == 0 || ours < theirs:
			least = reservoir{lane: i, weight: weight}
		case ours > theirs || !least.offer(i, weight, &dice):
			continue
		}
		leastActive, leastWeight = n, weight
	}
	switch {
	case least.weight == 0:
		return -1, 0
	case !busy && turnIdle:
		return turn, 0
	case !busy:
		return idle.lane, 0
	default:
		return least.lane, leastActive
	}
}

// reservoir is a lane drawn by weight from those offered so far, one by one.
type reservoir struct {
	lane   int
	weight uint64 // sum of those offered
}

// offer adds a lane to those to draw from, and reports whether it is now the
// one drawn.
func (v *reservoir) offer(lane int, weight uint64, dice *Rand) bool {
	v.weight += weight
	if dice.Below(v.weight) >= weight {
		return false
	}
	v.lane = lane
	return true
}
