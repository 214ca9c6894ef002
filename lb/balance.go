package lb

import (
	"math"
	"math/bits"
)

// balanceUnit is the denominator Options.HashBalance is kept in.
const balanceUnit = 1 << 16

// The hashing policies share what is here: a key goes to the lane its hash is
// mapped on, and from there, if that has no room, to others in an order that
// the key alone decides. Room is below two bounds, the member's MaxConnections
// and, with HashBalance, its share of the load (Mirrokni, Thorup,
// Zadimoghaddam: "Consistent Hashing with Bounded Loads", 2016): a lane of
// weight w gets the next connection only if it then has no more than
//
//	ceil(HashBalance * (load + 1) * w / weight)
//
// where load is the connections under way on all lanes and weight their sum of
// weights. Both are the process's. The place is taken by compare-and-swap on a
// count below the bound, and load is a sum that, as long as connections only
// begin, is never ahead of the truth, so that the bound holds between loops
// too. When connections end, those that stay may be above the bound: they
// aren't moved.

// unknownLoad stands for a load not summed up yet.
const unknownLoad = -1

func (s *Set) ringHash(r *Request, m mercy) int {
	hash := mix64(r.Hash)
	load := int64(unknownLoad)
	previous := -1
	at := s.ring.at(hash)
	for range min(ringSteps, len(s.ring.lane)) {
		if i := int(s.ring.lane[at]); i != previous {
			if s.takeHashed(i, r, m, &load) {
				return i
			}
			previous = i
		}
		if at++; at == len(s.ring.lane) {
			at = 0
		}
	}
	return s.bestRanked(hash, r, m)
}

func (s *Set) maglevHash(r *Request, m mercy) int {
	probes := Rand{state: r.Hash}
	load := int64(unknownLoad)
	for range maglevProbes {
		if i := s.maglev.at(probes.Uint64()); s.takeHashed(i, r, m, &load) {
			return i
		}
	}
	return s.bestRanked(mix64(r.Hash), r, m)
}

// takeHashed takes a place on lane i if it isn't skipped and has room. It sums
// up load when it needs it and it isn't known.
func (s *Set) takeHashed(i int, r *Request, m mercy, load *int64) bool {
	l := &s.lanes[i]
	if r.skips(l.index, m) {
		return false
	}
	limit := l.limit
	if s.balance != 0 {
		if l.endpoint.active.CompareAndSwap(0, 1) {
			return true // one connection is within any bound
		}
		if *load == unknownLoad {
			*load = s.load()
		}
		limit = min(limit, s.share(*load, l.weight, s.weight))
	}
	return l.endpoint.take(limit)
}

// load is the number of connections under way on all lanes: O(lanes).
func (s *Set) load() int64 {
	var sum int64
	for i := range s.lanes {
		sum += s.lanes[i].endpoint.Active()
	}
	return max(0, sum)
}

// share is the bound of a lane of weight w, among lanes with that load and sum
// of weights.
func (s *Set) share(load int64, w uint32, weight uint64) int64 {
	hi, lo := bits.Mul64(s.balance*uint64(load+1), uint64(w))
	quotient, rest := bits.Div64(hi, lo, weight*balanceUnit)
	if rest > 0 {
		quotient++
	}
	return int64(quotient)
}

// bestRanked takes a place on the lane that ranks highest for the key among
// those with room, in O(lanes): weighted rendezvous hashing (Thaler,
// Ravishankar: "Using Name-Based Mappings to Increase Hit Rates", 1998), the
// score of a lane being an exponential variate of rate w, least first.
//
// With HashBalance, a lane at its MaxConnections can't take its share of the
// load, and a lane that is skipped won't. Were they counted, all the others
// could be at their bounds, and the connection be refused though there is
// room. So here load and weight are those of the lanes that are left: one of
// them is always below its bound.
func (s *Set) bestRanked(hash uint64, r *Request, m mercy) int {
	for {
		var load int64
		var weight uint64
		for i := range s.lanes {
			if l := &s.lanes[i]; s.hasRoom(l, r, m) {
				load += l.endpoint.Active()
				weight += uint64(l.weight)
			}
		}
		if weight == 0 {
			return -1
		}
		load = max(0, load)
		best, bestScore, bestLimit := -1, math.Inf(1), int64(0)
		for i := range s.lanes {
			l := &s.lanes[i]
			limit := l.limit
			if s.balance != 0 {
				limit = min(limit, s.share(load, l.weight, weight))
			}
			if l.endpoint.Active() >= limit || r.skips(l.index, m) {
				continue
			}
			if score := rank(hash, s.hashes[i], l.weight); score < bestScore {
				best, bestScore, bestLimit = i, score, limit
			}
		}
		if best >= 0 && s.lanes[best].endpoint.take(bestLimit) {
			return best
		}
		// Other loops took the places seen: look again.
	}
}

func rank(key, member uint64, weight uint32) float64 {
	u := float64(mix64(key^member)>>11+1) / (1 << 53) // in (0, 1]
	return -math.Log(u) / float64(weight)
}
