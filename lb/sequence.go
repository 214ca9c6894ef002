package lb

import (
	"cmp"
	"errors"
	"slices"
	"sync/atomic"
)

// minSequence and slotsPerMember bound a sequence: it has at most the greater
// of 65,536 and 16 entries per member, plus one for each member whose share is
// less than one entry.
const (
	minSequence    = 1 << 16
	slotsPerMember = 16
)

// cursor is a process-wide position in a sequence, on a cache line of its own.
// It fills two, so that the allocator aligns it.
type cursor struct {
	n atomic.Uint64
	_ [56]byte
	_ [64]byte
}

// next returns the position and moves on.
func (c *cursor) next() uint64 { return c.n.Add(1) - 1 }

// sequence is a cycle of indexes in which index i comes up in proportion to
// its weight, and as evenly spaced as can be.
type sequence []uint32

// at is the entry for a position of a cursor, which grows without end.
func (q sequence) at(position uint64) uint32 { return q[position%uint64(len(q))] }

// newSequence lays out a cycle for the weights, which are not all zero. An
// index of weight zero doesn't come up.
//
// Each entry is a slot of time, and index i, due c of the L slots, is scheduled
// by "earliest eligible deadline first" (Stoica, Abdel-Wahab: "Earliest
// Eligible Virtual Deadline First", 1995): its k-th turn becomes eligible at
// slot k*L/c and is due by slot (k+1)*L/c. So at no point of the cycle has an
// index had a whole turn more or less than its share. Some index is always
// eligible, since the turns had and the turns due both add up to the slots
// gone by. It takes O(L log N) steps.
func newSequence(weights []uint32) sequence {
	turns, length := turnsOf(weights)
	ready := turnHeap{weight: turns, turn: make([]uint64, len(turns))}

	// eligible[t] heads the list of the indexes that become eligible at slot t,
	// linked through link; both hold the index + 1, 0 ends the list.
	eligible := make([]uint32, length+1)
	link := make([]uint32, len(turns))
	wait := func(i uint32, slot uint64) {
		link[i], eligible[slot] = eligible[slot], i+1
	}
	for i, c := range turns {
		if c > 0 {
			ready.turn[i] = 1
			wait(uint32(i), 0)
		}
	}
	q := make(sequence, length)
	for t := range q {
		for i := eligible[t]; i != 0; i = link[i-1] {
			ready.push(i - 1)
		}
		i := ready.pop()
		q[t] = i
		if k, c := ready.turn[i], turns[i]; k < c {
			ready.turn[i]++
			wait(i, max(uint64(t)+1, (k*length+c-1)/c))
		}
	}
	return q
}

// turnsOf says how many entries of a cycle each index gets, and their sum: the
// weights over their greatest common divisor, or, where that is too long, the
// weights scaled down by largest remainder, but at least one entry each.
func turnsOf(weights []uint32) (turns []uint64, length uint64) {
	var sum, divisor uint64
	for _, w := range weights {
		sum += uint64(w)
		divisor = gcd(divisor, uint64(w))
	}
	turns = make([]uint64, len(weights))
	limit := uint64(max(minSequence, slotsPerMember*len(weights)))
	if length = sum / divisor; length <= limit {
		for i, w := range weights {
			turns[i] = uint64(w) / divisor
		}
		return turns, length
	}

	remainder := make([]uint64, len(weights))
	order := make([]int, 0, len(weights))
	left := limit
	length = limit
	for i, w := range weights {
		share := uint64(w) * limit // below 2^32 * 2^20
		turns[i], remainder[i] = share/sum, share%sum
		left -= turns[i]
		switch {
		case turns[i] > 0:
			order = append(order, i)
		case w > 0:
			turns[i] = 1 // beyond the limit, so that it is served at all
			length++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(remainder[b], remainder[a]) })
	given := min(uint64(len(order)), left)
	for _, i := range order[:given] {
		turns[i]++
	}
	return turns, length - left + given
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Split chooses among a few weights in exact proportion, smoothly: what a
// route with a weighted split asks for each connection. It's safe for
// concurrent use, without locks.
type Split struct {
	sequence sequence
	cursor   *cursor
}

// NewSplit returns a Split over the weights. A weight of zero is never chosen;
// it is an error if all are, or if there are more than MaxMembers.
func NewSplit(weights []uint32) (*Split, error) {
	if len(weights) > MaxMembers {
		return nil, errors.New("lb: split: too many weights")
	}
	if !slices.ContainsFunc(weights, func(w uint32) bool { return w > 0 }) {
		return nil, errors.New("lb: split: no weight above zero")
	}
	return &Split{sequence: newSequence(weights), cursor: new(cursor)}, nil
}

// Next returns the index of the weight whose turn it is.
func (s *Split) Next() int { return int(s.sequence.at(s.cursor.next())) }
