package lb

import (
	"cmp"
	"math"
	"slices"
)

// Which members a Set uses. Those that are meant to take connections (Ready,
// with weight) stand on levels: by Priority, the backups last. The levels are
// gone through from the first on, until the healthy members of those so far
// are enough: at least one, and the PanicThreshold's share of the first level's
// number. If the healthy and the unknown ones together are enough, both are
// used. If not even all levels have enough, that is a panic: all of the first
// level are used, whatever their health, with all but the unhealthy ones of the
// others. Without a threshold there is none, and a set in which nothing but
// unhealthy members is left has nobody to give.
//
//	healthy, unknown, unhealthy on level 0 | level 1    at 0.5, uses
//	10  0  0 | 2 0 0                                    the 10
//	 5  0  5 | 2 0 0                                    the 5
//	 4  0  6 | 2 0 0                                    the 4 and the 2
//	 1  9  0 | 2 0 0                                    the 10
//	 2  0  8 | 1 0 1                                    all 10, and the 1

// level is the members of one Priority, or the backups of one.
type level struct {
	backup   bool
	priority uint16
	members  []int
}

// levels sorts the eligible members into their levels.
func levels(members []Member) (all []level) {
	for i := range members {
		m := &members[i]
		if !m.eligible() {
			continue
		}
		at, ok := slices.BinarySearchFunc(all, m, func(l level, m *Member) int {
			if l.backup != m.Backup {
				if l.backup {
					return 1
				}
				return -1
			}
			return cmp.Compare(l.priority, m.Priority)
		})
		if !ok {
			all = slices.Insert(all, at, level{backup: m.Backup, priority: m.Priority})
		}
		all[at].members = append(all[at].members, i)
	}
	return all
}

// addLanes finds the members to use.
func (s *Set) addLanes() {
	all := levels(s.members)
	if len(all) == 0 {
		return
	}
	enough := s.options.PanicThreshold * float64(len(all[0].members))
	healthy, unknown := 0, 0
	worst, last := Unhealthy, len(all)-1
	for at := range all {
		for _, i := range all[at].members {
			switch s.members[i].Health {
			case Healthy:
				healthy++
			case Unknown:
				unknown++
			}
		}
		if healthy > 0 && float64(healthy) >= enough {
			worst, last = Healthy, at
			break
		}
		if healthy+unknown > 0 && float64(healthy+unknown) >= enough {
			worst, last = Unknown, at
			break
		}
	}
	if worst == Unhealthy {
		if s.options.PanicThreshold == 0 {
			return
		}
		s.panics = true
	}
	var used []int
	for at := range all[:last+1] {
		for _, i := range all[at].members {
			if h := s.members[i].Health; h <= worst && (h < Unhealthy || at == 0) {
				used = append(used, i)
			}
		}
	}
	slices.Sort(used)
	s.addThese(used)
}

// addThese makes lanes of the members to use.
func (s *Set) addThese(used []int) {
	s.scale = 1
	if slices.ContainsFunc(used, func(i int) bool { return s.members[i].Ramp != 0 }) {
		s.scale = rampUnit
	}
	s.lanes = make([]lane, 0, len(used))
	for _, i := range used {
		m := &s.members[i]
		l := lane{endpoint: m.Endpoint, limit: m.MaxConnections, weight: m.Weight, index: uint32(i)}
		if l.limit == 0 {
			l.limit = math.MaxInt64
		}
		switch {
		case m.Ramp != 0:
			l.weight = satMul(l.weight, uint32(m.Ramp))
		case s.scale != 1:
			l.weight = satMul(l.weight, s.scale)
		}
		s.lanes = append(s.lanes, l)
	}
}

// satMul multiplies, up to the greatest weight there is.
func satMul(a, b uint32) uint32 { return uint32(min(uint64(a)*uint64(b), math.MaxUint32)) }

// Panics reports whether too few members are healthy, so that unhealthy ones
// are used as well; see Options.PanicThreshold.
func (s *Set) Panics() bool { return s.panics }

// Uses reports whether member i is one of those that Pick chooses from.
func (s *Set) Uses(i int) bool {
	_, ok := slices.BinarySearchFunc(s.lanes, uint32(i), func(l lane, i uint32) int { return cmp.Compare(l.index, i) })
	return ok
}

// InUse is the number of members that Pick chooses from.
func (s *Set) InUse() int { return len(s.lanes) }
