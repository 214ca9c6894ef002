package flow

import (
	"math/rand/v2"
	"testing"
)

// checkIndex holds an index against its definition: a power of two, a quarter free, and no empty bucket between a home and who lives there.
func checkIndex(t *testing.T, x *index) {
	t.Helper()
	size := len(x.buckets)
	if size&(size-1) != 0 || x.used > size/4*3 {
		t.Fatalf("%d buckets, %d used", size, x.used)
	}
	used := 0
	for i, b := range x.buckets {
		if b.id == 0 {
			continue
		}
		used++
		for j := int(b.hash) % size; j != i; j = (j + 1) % size {
			if x.buckets[j].id == 0 {
				t.Fatalf("bucket %d is empty, between the home of ID %d, %d, and where it is, %d", j, b.id, int(b.hash)%size, i)
			}
		}
	}
	if used != x.used {
		t.Fatalf("%d buckets are used, it says %d", used, x.used)
	}
}

// find looks an ID up by its hash, as Arrive does.
func (x *index) find(hash uint32, id ID) bool {
	for i := x.home(hash); x.buckets[i].id != 0; i = x.after(i) {
		if x.buckets[i] == (bucket{hash, id}) {
			return true
		}
	}
	return false
}

// Few homes, close to each other and at the end: all probes share and cross runs, and many wrap around. Deletions leave no gaps.
func TestIndexAgainstMap(t *testing.T) {
	homes := map[string]func(*rand.Rand) uint32{
		"one":            func(*rand.Rand) uint32 { return 17 },
		"last":           func(*rand.Rand) uint32 { return 0xffffffff },
		"around the end": func(r *rand.Rand) uint32 { return uint32(r.IntN(10)) - 7 },
		"equal low bits": func(r *rand.Rand) uint32 { return r.Uint32()<<16 | 0xfff0 | uint32(r.IntN(3)) },
		"anywhere":       func(r *rand.Rand) uint32 { return r.Uint32() },
	}
	for name, hash := range homes {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(6) {
				r := rand.New(rand.NewPCG(seed, 1))
				x, there := newIndex(), map[ID]uint32{}
				most := 20 + r.IntN(150)
				for next := ID(1); next < 600; next++ {
					if len(there) < most {
						there[next] = hash(r)
						x.add(there[next], next)
					}
					for id, hash := range there { // any of them
						if len(there) == most || r.IntN(3) == 0 {
							x.remove(hash, id)
							delete(there, id)
							if x.find(hash, id) {
								t.Fatalf("seed %d: ID %d is found after its removal", seed, id)
							}
						}
						break
					}
					checkIndex(t, &x)
					if x.used != len(there) {
						t.Fatalf("seed %d: %d used, want %d", seed, x.used, len(there))
					}
					for id, hash := range there {
						if !x.find(hash, id) {
							t.Fatalf("seed %d: ID %d is lost", seed, id)
						}
					}
				}
			}
		})
	}
}

func TestIndexShiftsBack(t *testing.T) {
	const last = firstBuckets - 1
	at := func(pairs ...uint32) map[uint32]ID {
		m := map[uint32]ID{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = ID(pairs[i+1])
		}
		return m
	}
	tests := []struct {
		name   string
		homes  []uint32 // of IDs 1, 2, ...
		remove ID
		want   map[uint32]ID // by place
	}{
		{"alone", []uint32{5}, 1, at()},
		{"the next of the same home", []uint32{5, 5, 5}, 1, at(5, 2, 6, 3)},
		{"the last of a run", []uint32{5, 5, 5}, 3, at(5, 1, 6, 2)},
		{"who is at home stays", []uint32{5, 6, 7}, 1, at(6, 2, 7, 3)},
		{"past one who is at home", []uint32{5, 6, 5}, 1, at(5, 3, 6, 2)},
		{"a second hole", []uint32{5, 5, 6, 6}, 1, at(5, 2, 6, 3, 7, 4)},
		{"not before its home", []uint32{5, 5, 6}, 2, at(5, 1, 6, 3)},
		{"over the end", []uint32{last, last, last}, 1, at(last, 2, 0, 3)},
		{"over the end, past one at home", []uint32{last, 0, last}, 1, at(last, 3, 0, 2)},
		{"over the end, from its middle", []uint32{last - 1, last - 1, last - 1, 0}, 2, at(last-1, 1, last, 3, 0, 4)},
		{"behind the end", []uint32{last, last, 0, 0}, 2, at(last, 1, 0, 3, 1, 4)},
		{"at home behind the end stays", []uint32{last, 0}, 1, at(0, 2)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x := newIndex()
			for i, home := range test.homes {
				x.add(home, ID(i+1))
			}
			x.remove(test.homes[test.remove-1], test.remove)
			checkIndex(t, &x)
			for i, b := range x.buckets {
				if b.id != test.want[uint32(i)] {
					t.Errorf("bucket %d has ID %d, want %d", i, b.id, test.want[uint32(i)])
				}
			}
		})
	}
}

// longest returns how many buckets a probe looks at most, and on average of those that find what they look for.
func (x *index) longest() (most uint32, mean float64) {
	sum := 0.0
	for i, b := range x.buckets {
		if b.id != 0 {
			away := (uint32(i) - b.hash) & x.mask()
			most, sum = max(most, away+1), sum+float64(away+1)
		}
	}
	return most, sum / float64(x.used)
}

// Keys that differ in little are spread like random ones, whatever the seed.
func TestHashSpreads(t *testing.T) {
	series := map[string]func(i int) Key{
		"clients":  client,
		"ports":    func(i int) Key { return Key{Client: client(0).Client, Port: uint16(i)} },
		"tags":     func(i int) Key { return Key{Tag: uint32(i)} },
		"sockets":  func(i int) Key { return Key{Socket: uint32(i)} },
		"zones":    func(i int) Key { return Key{Zone: uint32(i)} },
		"high bit": func(i int) Key { return Key{Local: [16]byte{6: byte(i), 7: byte(i >> 8)}} },
		"prefixes": func(i int) Key { return Key{Client: [16]byte{0: 0x20, 1: 1, 5: byte(i >> 8), 6: byte(i)}, Port: 443} },
		"both": func(i int) Key {
			return Key{Client: [16]byte{15: byte(i)}, Local: [16]byte{15: byte(i)}, Tag: uint32(i), Port: uint16(i >> 8)}
		},
	}
	for name, key := range series {
		for _, seed := range []uint64{0, 1, 2, 3, 1 << 63, 0xffffffffffffffff} {
			s, x := newSecret(seed), newIndex()
			for i := range 12_000 { // 73 % of 16,384
				k := key(i)
				x.add(s.hash(&k), ID(i+1))
			}
			// Linear probing at this load takes 2.4 on average (Knuth, volume 3, 6.4), and the longest run grows with the logarithm.
			if most, mean := x.longest(); most > 200 || mean > 3 {
				t.Errorf("%s, seed %#x: probes look at %d buckets, %.1f on average", name, seed, most, mean)
			}
		}
	}
}

// Keys that were chosen to collide do so under no other seed.
func TestHashIsKeyed(t *testing.T) {
	know, guess := newSecret(7), newSecret(8)
	x, y := newIndex(), newIndex()
	for i, n := 0, 0; n < 200; i++ {
		k := Key{Tag: uint32(i)}
		if h := know.hash(&k); h&0x3ff == 99 {
			n++
			x.add(h, ID(n))
			y.add(guess.hash(&k), ID(n))
		}
	}
	if most, _ := x.longest(); most < 190 {
		t.Errorf("of 200 keys that were made to collide, probes look at %d", most)
	}
	if most, _ := y.longest(); most > 40 {
		t.Errorf("under another seed, probes look at %d", most)
	}
}

// Every bit of a key counts, for its hash and for its equality.
func TestEveryBitOfAKeyCounts(t *testing.T) {
	s := newSecret(3)
	base := client(1000)
	flip := func(bit int) Key {
		k := base
		switch b := bit % 128; {
		case bit < 128:
			k.Client[b/8] ^= 1 << (b % 8)
		case bit < 256:
			k.Local[b/8] ^= 1 << (b % 8)
		case b < 32:
			k.Zone ^= 1 << b
		case b < 64:
			k.Socket ^= 1 << (b - 32)
		case b < 96:
			k.Tag ^= 1 << (b - 64)
		default:
			k.Port ^= 1 << (b - 96)
		}
		return k
	}
	hashes := map[uint32]int{s.hash(&base): -1}
	for bit := range 256 + 96 + 16 {
		k := flip(bit)
		if k == base || k.is(&base) || base.is(&k) {
			t.Errorf("bit %d doesn't count", bit)
		}
		if other, ok := hashes[s.hash(&k)]; ok {
			t.Errorf("bits %d and %d have the same hash", bit, other)
		}
		hashes[s.hash(&k)] = bit
		if same := flip(bit); !k.is(&same) {
			t.Errorf("a key with bit %d isn't itself", bit)
		}
	}
}
