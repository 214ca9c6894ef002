package flow

import (
	"encoding/binary"
	"math/bits"
)

// bucket is a place of the index. The hash beside the ID spares most looks at entries of other keys, and all of them when the index grows.
type bucket struct {
	hash uint32
	id   ID // 0 = empty
}

// firstBuckets is the size of a new index: 512 bytes, for 48 flows.
const firstBuckets = 64

// index finds IDs by hash: open addressing with linear probing, which mostly stays within a cache line of eight buckets. The number of buckets
// is a power of two, at most three quarters of them taken, so that a probe always ends at an empty one. A bucket's home is where its hash
// points to; between there and where it is no bucket is empty. remove restores that by shifting others back, so that there are no
// tombstones, which churn would pile up.
type index struct {
	buckets []bucket
	used    int
}

func newIndex() index { return index{buckets: make([]bucket, firstBuckets)} }

func (x *index) home(hash uint32) uint32 { return hash & x.mask() }
func (x *index) after(i uint32) uint32   { return (i + 1) & x.mask() }
func (x *index) mask() uint32            { return uint32(len(x.buckets) - 1) }

// add puts an ID, which isn't there, under its hash.
func (x *index) add(hash uint32, id ID) {
	if x.used >= len(x.buckets)/4*3 {
		x.grow()
	}
	x.used++
	x.put(bucket{hash, id})
}

func (x *index) put(b bucket) {
	i := x.home(b.hash)
	for x.buckets[i].id != 0 {
		i = x.after(i)
	}
	x.buckets[i] = b
}

// remove takes an ID, which is there, away from under its hash.
func (x *index) remove(hash uint32, id ID) {
	hole := x.home(hash)
	for x.buckets[hole].id != id {
		hole = x.after(hole)
	}
	for i := x.after(hole); x.buckets[i].id != 0; i = x.after(i) {
		// A bucket may move to the hole unless that lies before its home. Distances are modulo the size: probes wrap around.
		if away := i - x.home(x.buckets[i].hash); away&x.mask() >= (i-hole)&x.mask() {
			x.buckets[hole] = x.buckets[i]
			hole = i
		}
	}
	x.buckets[hole] = bucket{}
	x.used--
}

// grow doubles the index. It takes all at once: some tenth of a millisecond at twelve thousand flows, and then each time twice as long and
// half as often.
func (x *index) grow() {
	old := x.buckets
	x.buckets = make([]bucket, 2*len(old))
	for _, b := range old {
		if b.id != 0 {
			x.put(b)
		}
	}
}

// secret is what the hash of a table is keyed with.
type secret [8]uint64

// newSecret spreads a seed over the words (SplitMix64).
func newSecret(seed uint64) (s secret) {
	for i := range s {
		seed += 0x9e3779b97f4a7c15
		x := seed
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		s[i] = x ^ x>>31
	}
	return s
}

// hash is the place of a key in the index. Clients choose their ports, IPv6 clients half of their address, and who forges senders all of
// it: without a secret they could choose keys that land in one place and make every probe a long one.
//
// The sum of products is NH, which UMAC hashes with (RFC 4418, section 5.2.2), with words of 64 bits: of all secrets only one in 2^64
// has two given keys collide there. A multiplication whose halves are folded (as in wyhash) brings all of its 128 bits into the 32 that are kept. It
// isn't a cryptographic hash and no MAC: whoever sees hashes, or measures many lookups well enough, could learn the secret. Nobody is shown
// one, and what is at stake is time. SipHash would promise more, at several times the cost.
func (s *secret) hash(k *Key) uint32 {
	high, low := bits.Mul64(word(k.Client[:8])+s[0], word(k.Client[8:])+s[1])
	h, l := bits.Mul64(word(k.Local[:8])+s[2], word(k.Local[8:])+s[3])
	low, carry := bits.Add64(low, l, 0)
	high, _ = bits.Add64(high, h, carry)
	h, l = bits.Mul64(uint64(k.Zone)<<32+uint64(k.Socket)+s[4], uint64(k.Tag)<<32+uint64(k.Port)+s[5])
	low, carry = bits.Add64(low, l, 0)
	high, _ = bits.Add64(high, h, carry)
	high, low = bits.Mul64(low^s[6], high^s[7])
	return uint32(high ^ low)
}

// is compares keys as == does, which for this type calls runtime.memequal: a hit takes 8 ns instead of 20.
func (k *Key) is(o *Key) bool {
	return (word(k.Client[:8])^word(o.Client[:8]))|(word(k.Client[8:])^word(o.Client[8:]))|
		(word(k.Local[:8])^word(o.Local[:8]))|(word(k.Local[8:])^word(o.Local[8:]))|
		uint64((k.Zone^o.Zone)|(k.Socket^o.Socket)|(k.Tag^o.Tag)|uint32(k.Port^o.Port)) == 0
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
