package lb

import "math/bits"

const (
	// ringPoints is the points of a member on the ring per unit of weight, the
	// number libketama and NGINX use too. The standard deviation of the share
	// of a member of weight w is about 1/sqrt(160*w) of it, 8 % for w = 1.
	ringPoints = 160

	// maxRingPoints bounds a ring, to 2^21 points (of 12 bytes, and 4 to 8 for
	// the index). It is reached at a total weight of 13,107. Envoy's default
	// bound, maximum_ring_size, is 2^23.
	maxRingPoints = 1 << 21

	// ringSteps is how many points a key goes on for when those it meets have
	// no room, before it looks at all members.
	ringSteps = 256
)

// ring is a circle of 64-bit hashes with the points of each lane on it, sorted.
// A key belongs to the first point at or after its hash (Karger et al.:
// "Consistent Hashing and Random Trees", STOC 1997).
type ring struct {
	hash  []uint64
	lane  []uint32 // owner of each point
	start []uint32 // start[b] is the first point whose hash has the top bits b or more
	shift uint     // 64 minus the number of those bits
}

// ringHalvings says how many times the points of each member are halved to keep
// the ring within bounds. It looks at all members with weight, usable or not,
// so that a member that goes down or comes back moves no keys of others. So
// does one that is added or removed, unless the total weight goes across
// 13,107 times a power of two.
func ringHalvings(members []Member) (halvings uint) {
	var points uint64
	for _, m := range members {
		points += ringPoints * uint64(m.Weight)
	}
	for points>>halvings > maxRingPoints {
		halvings++
	}
	return halvings
}

// newRing places the points of each lane. The points of a member are a fixed
// sequence made from its address, of which its weight says how many are used.
//
// Hashes are uniform, so the index by top bits, which has about one entry per
// point, is also the sort: into its entries first, then by insertion within
// each. It takes O(points).
func newRing(lanes []lane, halvings uint, scale uint32) ring {
	total := 0
	for i := range lanes {
		total += pointsOf(&lanes[i], halvings, scale)
	}
	indexBits := uint(bits.Len(uint(total)))
	r := ring{
		hash:  make([]uint64, total),
		lane:  make([]uint32, total),
		start: make([]uint32, 1<<indexBits+1),
		shift: 64 - indexBits,
	}

	// Count the points of entry b in start[b+1], and sum the counts up.
	eachPoint(lanes, halvings, scale, func(_ int, hash uint64) { r.start[hash>>r.shift+1]++ })
	for b := 1; b < len(r.start); b++ {
		r.start[b] += r.start[b-1]
	}
	// Place each point at start[b]++, by insertion. It never goes below entry b:
	// what lies there is smaller, or zero where there is nothing yet. In the end
	// start[b] has moved on to the end of entry b; shifted by one that is the
	// start of the next.
	eachPoint(lanes, halvings, scale, func(lane int, hash uint64) {
		b := hash >> r.shift
		at := r.start[b]
		r.start[b]++
		for at > 0 && r.hash[at-1] > hash {
			r.hash[at], r.lane[at] = r.hash[at-1], r.lane[at-1]
			at--
		}
		r.hash[at], r.lane[at] = hash, uint32(lane)
	})
	copy(r.start[1:], r.start)
	r.start[0] = 0
	return r
}

func pointsOf(l *lane, halvings uint, scale uint32) int {
	return int(max(1, ringPoints*uint64(l.weight)/uint64(scale)>>halvings))
}

func eachPoint(lanes []lane, halvings uint, scale uint32, do func(lane int, hash uint64)) {
	for i := range lanes {
		points := Rand{state: hashMember(lanes[i].endpoint.Address)}
		for range pointsOf(&lanes[i], halvings, scale) {
			do(i, points.Uint64())
		}
	}
}

// at is the position of the first point at or after hash.
func (r *ring) at(hash uint64) int {
	b := hash >> r.shift
	i, end := r.start[b], r.start[b+1]
	for i < end && r.hash[i] < hash {
		i++
	}
	return int(i) % len(r.hash)
}
