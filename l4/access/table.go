package access

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"weir/lb"
)

// key is a source.
type key struct {
	network uint64 // an IPv4 address, or the first half of an IPv6 address
	family  family
}

type family uint32

const (
	none family = iota // an empty slot
	ipv4
	ipv6
	other // no IP address
)

func keyOf(a netip.Addr) key {
	switch {
	case a.Is4() || a.Is4In6():
		return key{uint64(number4(a)), ipv4}
	case a.Is6():
		b := a.As16()
		return key{binary.BigEndian.Uint64(b[:8]), ipv6}
	}
	return key{0, other}
}

// entry is what is remembered of a source: 24 bytes, which they would not be with the key as one field.
type entry struct {
	network uint64
	debt    debt
	family  family
	active  uint32 // connections
}

func (e *entry) key() key { return key{e.network, e.family} }

// idle reports whether it is an entry without connections.
func (e *entry) idle() bool { return e.family != none && e.active == 0 }

// firstEntries is the size of a new table.
const firstEntries = 8

// table finds entries by key: open addressing with linear probing, at most three quarters of the slots taken, and no tombstones: see the index of
// package flow, which is the same but for what a slot holds.
type table struct {
	secret  *secret
	entries []entry // a power of two of them, or none
	used    int
}

func (t *table) mask() int { return len(t.entries) - 1 }

// find returns the slot of a key, -1 if it has none.
func (t *table) find(k key, hash uint64) int {
	if len(t.entries) == 0 {
		return -1
	}
	for i := int(hash) & t.mask(); ; i = (i + 1) & t.mask() {
		switch e := &t.entries[i]; {
		case e.network == k.network && e.family == k.family:
			return i
		case e.family == none:
			return -1
		}
	}
}

// add puts an entry, whose key has none, under its hash.
func (t *table) add(e entry, hash uint64) {
	if t.used >= len(t.entries)/4*3 {
		t.grow()
	}
	t.used++
	t.put(e, hash)
}

func (t *table) put(e entry, hash uint64) {
	i := int(hash) & t.mask()
	for t.entries[i].family != none {
		i = (i + 1) & t.mask()
	}
	t.entries[i] = e
}

// grow doubles the table.
func (t *table) grow() {
	old := t.entries
	t.entries = make([]entry, max(firstEntries, 2*len(old)))
	for i := range old {
		if e := &old[i]; e.family != none {
			t.put(*e, t.secret.hash(e.key()))
		}
	}
}

// remove empties a slot. Those behind it that may not be found any more for that are shifted back.
func (t *table) remove(hole int) {
	for i := (hole + 1) & t.mask(); t.entries[i].family != none; i = (i + 1) & t.mask() {
		// One may move to the hole unless that lies before its home. Distances are modulo the size: probes wrap around.
		home := int(t.secret.hash(t.entries[i].key()))
		if (i-home)&t.mask() >= (i-hole)&t.mask() {
			t.entries[hole] = t.entries[i]
			hole = i
		}
	}
	t.entries[hole] = entry{}
	t.used--
}

// secret is what the hash of a table is keyed with.
type secret [4]uint64

func newSecret(r *lb.Rand) (s secret) {
	for i := range s {
		s[i] = r.Uint64()
	}
	return s
}

// hash is where a key is: its first bits say in which shard, its last ones in which slot. Without a secret, strangers who choose their address, as
// IPv6 clients do, could choose those that land in one place. It is NH and a folded multiplication, as in package flow, which says what
// that promises.
func (s *secret) hash(k key) uint64 {
	high, low := bits.Mul64(k.network+s[0], uint64(k.family)+s[1])
	high, low = bits.Mul64(low^s[2], high^s[3])
	return high ^ low
}
