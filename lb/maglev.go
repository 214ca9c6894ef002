package lb

import (
	"cmp"
	"math/bits"
	"slices"
)

const (
	// maglevSize is the entries of a table: a prime, the smaller of the two the
	// paper measures.
	maglevSize = 65537

	// maglevProbes is how many entries a key tries when those it meets have no
	// room, before it looks at all members.
	maglevProbes = 32
)

// maglev is a table of lanes that a key is mapped on (Eisenbud et al.:
// "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
// section 3.4).
type maglev []uint32

// newMaglev fills the table: the lanes take turns, and at its turn each takes
// the first entry still free in its own permutation of all entries. As the
// paper has it, a weight is the frequency of the turns: turn k = 0, 1, ... of a
// lane is due at (k+1/2)/weight, which comes to shares rounded to the nearest
// entry. A lane whose share is less than one entry gets one, in the first round.
//
// The order of the turns goes by hash of the address, not by the order of the
// members, so that two nodes that list the members differently agree.
func newMaglev(lanes []lane) maglev {
	type candidate struct {
		lane uint32
		hash uint64
	}
	candidates := make([]candidate, len(lanes))
	var sum uint64
	for i := range lanes {
		candidates[i] = candidate{uint32(i), hashMember(lanes[i].endpoint.Address)}
		sum += uint64(lanes[i].weight)
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.hash, b.hash) })

	next := make([]uint64, len(lanes)) // next entry of the permutation
	skip := make([]uint64, len(lanes))
	due := turnHeap{weight: make([]uint64, len(lanes)), turn: make([]uint64, len(lanes))}
	for i, c := range candidates {
		permutation := Rand{state: c.hash}
		next[i] = permutation.Below(maglevSize)
		skip[i] = permutation.Below(maglevSize-1) + 1
		due.weight[i] = uint64(lanes[c.lane].weight)
		due.turn[i] = 1 // in halves
		if due.weight[i]*maglevSize < sum {
			due.turn[i] = 0
		}
		due.push(uint32(i))
	}

	const free = ^uint32(0)
	table := make(maglev, maglevSize)
	for i := range table {
		table[i] = free
	}
	for range table {
		i := due.order[0]
		at := next[i]
		for table[at] != free {
			if at += skip[i]; at >= maglevSize {
				at -= maglevSize
			}
		}
		table[at], next[i] = candidates[i].lane, at
		if due.turn[i] == 0 {
			due.turn[i] = 1 // the early turn was the first
		}
		due.turn[i] += 2
		due.fix()
	}
	return table
}

// at is the lane that a well mixed hash is mapped on.
func (t maglev) at(hash uint64) int {
	i, _ := bits.Mul64(hash, maglevSize)
	return int(t[i])
}
