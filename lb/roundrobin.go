package lb

// roundRobinTurns is how many turns round robin goes on for when those whose
// turn it is have no room, before it looks at all members.
const roundRobinTurns = 8

func (s *Set) roundRobin(r *Request, m mercy) int {
	for range roundRobinTurns {
		i := s.sequence.at(s.cursor.next())
		if l := &s.lanes[i]; !r.skips(l.index, m) && l.endpoint.take(l.limit) {
			return int(i)
		}
	}
	return s.anyWithRoom(r, m)
}

// first takes the first member in order that has room.
func (s *Set) first(r *Request, m mercy) int {
	for i := range s.lanes {
		if l := &s.lanes[i]; !r.skips(l.index, m) && l.endpoint.take(l.limit) {
			return i
		}
	}
	return -1
}

// anyWithRoom takes a place by weight among all lanes that have room, in
// O(lanes). It is the last resort of the policies that don't look at all
// members, and so decides that all are full.
func (s *Set) anyWithRoom(r *Request, m mercy) int {
	dice := s.dice(r)
	for {
		var sum uint64
		for i := range s.lanes {
			if l := &s.lanes[i]; s.hasRoom(l, r, m) {
				sum += uint64(l.weight)
			}
		}
		if sum == 0 {
			return -1
		}
		at := dice.Below(sum)
		for i := range s.lanes {
			l := &s.lanes[i]
			if !s.hasRoom(l, r, m) {
				continue
			}
			if at >= uint64(l.weight) {
				at -= uint64(l.weight)
				continue
			}
			if l.endpoint.take(l.limit) {
				return i
			}
			break
		}
		// Someone else took the last place between the two passes: look again.
	}
}

func (s *Set) hasRoom(l *lane, r *Request, m mercy) bool {
	return !r.skips(l.index, m) && l.endpoint.Active() < l.limit
}
