package lb

// Request is one connection to be placed. The caller owns it, and reuses it:
// Pick never keeps it, and changes nothing in it but the state of Rand.
type Request struct {
	// Hash is the key of RingHash and Maglev; see HashAddr, HashAddrPort and
	// HashBytes. Other policies don't look at it.
	Hash uint64

	// Rand is the caller's generator, one per loop. nil: the Set makes numbers
	// from a shared counter, which costs an atomic addition each.
	Rand *Rand

	// Tried are the members already tried for this connection.
	Tried Tried
}

// maxTried is how many members a Tried remembers.
const maxTried = 16

// Tried remembers which members a connection has tried: the last 16 different
// ones. It's a plain value of fixed size; the zero value is empty. Its indexes
// are those of one Set: with another Set, begin with an empty Tried.
type Tried struct {
	index [maxTried]uint16
	n     uint8  // entries in use
	next  uint8  // entry overwritten next, once all are in use
	last  uint16 // the member tried last, when n > 0
}

// Add notes that member i was tried, last of all. Indexes no Set can have are
// ignored.
func (t *Tried) Add(i int) {
	if i < 0 || i >= MaxMembers {
		return
	}
	t.last = uint16(i)
	if t.Has(i) {
		return
	}
	if t.n < maxTried {
		t.index[t.n] = uint16(i)
		t.n++
		return
	}
	t.index[t.next] = uint16(i)
	t.next = (t.next + 1) % maxTried
}

// Has reports whether member i is remembered.
func (t *Tried) Has(i int) bool {
	for _, tried := range t.index[:t.n] {
		if int(tried) == i {
			return true
		}
	}
	return false
}

// Len is the number of different members remembered, at most 16.
func (t *Tried) Len() int { return int(t.n) }

// Clear forgets all.
func (t *Tried) Clear() { *t = Tried{} }

// mercy is how much of Tried a pass over the members forgives. Pick goes from
// the strictest to the mildest until a member is found.
type mercy uint8

const (
	skipTried mercy = iota // no member that was tried
	skipLast               // not the member tried last
	skipNone
)

// skips reports whether member i is left out at this degree of mercy.
func (r *Request) skips(i uint32, m mercy) bool {
	return r.Tried.n != 0 && r.Tried.skips(i, m)
}

func (t *Tried) skips(i uint32, m mercy) bool {
	switch m {
	case skipTried:
		return t.Has(int(i))
	case skipLast:
		return uint32(t.last) == i
	default:
		return false
	}
}
