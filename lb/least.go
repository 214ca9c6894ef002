package lb

// leastConnections takes the lane with the least (active+1)/weight, where idle
// lanes are equal whatever their weight. Among equals it draws by weight.
//
// The place is taken by compare-and-swap on the count that was compared, so
// that between loops, too, nobody takes a place on the strength of an old
// count.
func (s *Set) leastConnections(r *Request, m mercy) int {
	// If the lane whose turn it is by weight is idle, none is better. That
	// keeps a cluster of idle members, however large, from being walked.
	i := s.sequence.at(s.cursor.next())
	if l := &s.lanes[i]; !r.skips(l.index, m) && l.endpoint.active.CompareAndSwap(0, 1) {
		return int(i)
	}
	for {
		i, active := s.leastLoaded(r, m)
		if i < 0 {
			return -1
		}
		if s.lanes[i].endpoint.active.CompareAndSwap(active, active+1) {
			return i
		}
	}
}

// leastLoaded finds the lane, and the count it was compared with; -1 if none
// has room.
func (s *Set) leastLoaded(r *Request, m mercy) (best int, bestActive int64) {
	best = -1
	var bestLoad, bestWeight, equals uint64 // equals: weight of all that equal best
	var dice Rand
	for i := range s.lanes {
		l := &s.lanes[i]
		active := l.endpoint.Active()
		if active >= l.limit || r.skips(l.index, m) {
			continue
		}
		load, weight := uint64(0), uint64(l.weight)
		if active > 0 {
			load = uint64(active) + 1
		}
		// load/weight against bestLoad/bestWeight; both loads are zero for idle.
		ours, theirs := load*bestWeight, bestLoad*weight
		switch {
		case best < 0 || ours < theirs:
			equals = weight
		case ours > theirs:
			continue
		default:
			if equals == bestWeight {
				dice.state = s.draw(r)
			}
			equals += weight
			if dice.Below(equals) >= weight {
				continue
			}
		}
		best, bestActive, bestLoad, bestWeight = i, active, load, weight
	}
	return best, bestActive
}
