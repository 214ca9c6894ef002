package access

import (
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"testing"

	"weir/lb"
)

// checkTable holds a table against its definition: a power of two, a quarter free, and no empty slot between a home and who lives there.
func checkTable(t *testing.T, x *table) {
	t.Helper()
	size := len(x.entries)
	if size&(size-1) != 0 || x.used > size/4*3 {
		t.Fatalf("%d slots, %d used", size, x.used)
	}
	used := 0
	for i := range x.entries {
		e := &x.entries[i]
		if e.family == none {
			if *e != (entry{}) {
				t.Fatalf("slot %d is empty and has %+v", i, *e)
			}
			continue
		}
		used++
		if at := x.find(e.key(), x.secret.hash(e.key())); at != i {
			t.Fatalf("the entry of slot %d is found at %d", i, at)
		}
	}
	if used != x.used {
		t.Fatalf("%d slots are used, it says %d", used, x.used)
	}
}

func TestTableAgainstMap(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 4))
		s := newSecret(lb.NewRand(seed))
		x, there := table{secret: &s}, map[key]debt{}
		few := uint64(10 + r.IntN(200))
		for range 1500 {
			k := key{r.Uint64N(few), ipv4 + family(r.IntN(2))}
			i := x.find(k, s.hash(k))
			d, known := there[k]
			switch {
			case (i >= 0) != known:
				t.Fatalf("seed %d: find(%v) = %d, want it there: %v", seed, k, i, known)
			case i < 0:
				there[k] = debt(r.Int64())
				x.add(entry{network: k.network, family: k.family, debt: there[k]}, s.hash(k))
			case x.entries[i].debt != d:
				t.Fatalf("seed %d: %v has %v, want %v", seed, k, x.entries[i].debt, d)
			case r.IntN(3) > 0:
				x.remove(i)
				delete(there, k)
			}
			checkTable(t, &x)
		}
	}
}

func TestKeys(t *testing.T) {
	same := [][]netip.Addr{
		addrs("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.1%eth0"),
		addrs("192.0.2.2"),
		addrs("2001:db8::1", "2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff"),
		addrs("2001:db8:0:1::1"),
		addrs("fe80::1%eth0", "fe80::2%eth1", "fe80::1"),
		addrs("::", "::1", "::192.0.2.1"),
		addrs("0:0:0:c000:201::"), // the bits of 192.0.2.1
		addrs("0.0.0.0"),
		{{}},
	}
	seen := map[key]int{}
	for i, list := range same {
		for _, a := range list {
			k := keyOf(a)
			if j, ok := seen[k]; ok && i != j {
				t.Errorf("%v is the same source as %v", a, same[j][0])
			}
			if k != keyOf(list[0]) {
				t.Errorf("%v is another source than %v", a, list[0])
			}
			seen[k] = i
		}
	}
}

// Keys of a pattern, as strangers could choose them, spread over shards and slots like any others, and with another seed elsewhere.
func TestHashSpreads(t *testing.T) {
	const n = 1 << 14
	patterns := map[string]func(i uint64) key{
		"IPv4 in a row":          func(i uint64) key { return key{i, ipv4} },
		"IPv4 by the first bits": func(i uint64) key { return key{i << 18, ipv4} },
		"IPv6 in a row":          func(i uint64) key { return key{0x20010db8<<32 | i, ipv6} },
		"IPv6 by the first bits": func(i uint64) key { return key{i << 50, ipv6} },
		"IPv6 by golden steps":   func(i uint64) key { return key{i * 0x9e3779b97f4a7c15, ipv6} },
		"IPv6 backwards":         func(i uint64) key { return key{bits.Reverse64(i), ipv6} },
	}
	for name, pattern := range patterns {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				s, o := newSecret(lb.NewRand(seed)), newSecret(lb.NewRand(seed+1))
				var shards [64]int
				slots := make([]int, n)
				same := 0
				for i := range uint64(n) {
					h := s.hash(pattern(i))
					shards[h>>58]++
					slots[h&(n-1)]++
					if h&(n-1) == o.hash(pattern(i))&(n-1) {
						same++
					}
				}
				for i, got := range shards { // 256 each, with a deviation of 16
					if got < 256-6*16 || got > 256+6*16 {
						t.Errorf("seed %d: shard %d has %d of %d", seed, i, got, n)
					}
				}
				for i, got := range slots { // 1 each; 12 or more in any slot once in 10^5 times
					if got > 12 {
						t.Errorf("seed %d: slot %d has %d", seed, i, got)
					}
				}
				if same > 16 { // 1, with a deviation of 1
					t.Errorf("seeds %d and %d: %d keys in the same slot", seed, seed+1, same)
				}
			}
		})
	}
}
