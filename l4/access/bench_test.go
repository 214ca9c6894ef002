package access

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
)

// networks are n prefixes of which no two touch, IPv4 and IPv6 by halves.
func networks(n int) (out []netip.Prefix) {
	for i := range n / 2 {
		out = append(out, netip.PrefixFrom(v4(i<<12), 24), netip.PrefixFrom(v6(i<<12), 56))
	}
	return out
}

// mixed are addresses in random order, every other one in one of the networks if there are some.
func mixed(n int, of func(int) netip.Addr) []netip.Addr {
	r := rand.New(rand.NewPCG(1, 9))
	list := make([]netip.Addr, 1<<13)
	for i := range list {
		list[i] = of(r.IntN(max(1, n/2))<<12 | i&1<<11)
	}
	return list
}

func BenchmarkAdmits(b *testing.B) {
	for _, n := range []int{0, 10, 10_000} {
		f := NewFilter(nil, networks(n))
		for name, of := range map[string]func(int) netip.Addr{"v4": v4, "v6": v6} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				list := mixed(n, of)
				in, i := 0, 0
				for b.Loop() {
					if f.Admits(list[i%len(list)]) {
						in++
					}
					i++
				}
			})
		}
	}
}

func BenchmarkNewFilter(b *testing.B) {
	list := networks(10_000)
	for b.Loop() {
		NewFilter(list, list[:100])
	}
}

func BenchmarkBucketTake(b *testing.B) {
	b.Run("taken", func(b *testing.B) {
		var bucket Bucket
		r, now := NewRate(1e6, 10), ns
		for b.Loop() {
			now += 1000
			bucket.Take(r, now)
		}
	})
	b.Run("refused", func(b *testing.B) {
		var bucket Bucket
		r := NewRate(1, 1)
		for b.Loop() {
			bucket.Take(r, ns)
		}
	})
	b.Run("all at once", func(b *testing.B) {
		var bucket Bucket
		var now atomic.Int64
		r := NewRate(1e9, 1000)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				bucket.Take(r, now.Add(1))
			}
		})
	})
}

// BenchmarkSources is a Take and the Give that it needs.
func BenchmarkSources(b *testing.B) {
	for _, n := range []int{1, 1000, 60_000} {
		b.Run(fmt.Sprintf("of %d", n), func(b *testing.B) {
			s, r, i, now := NewSources(1, 0), NewRate(1e6, 5), 0, ns
			for i := range n { // each has a connection
				s.Take(v6(i), Rate{}, 0, now)
			}
			for b.Loop() {
				a := v6(i * 7919 % n)
				s.Take(a, r, 2, now)
				s.Give(a)
				i, now = i+1, now+1000
			}
		})
	}
	b.Run("new with a debt", func(b *testing.B) { // each makes another one be forgotten
		s, r, i := NewSources(1, 0), NewRate(0.001, 5), 0
		for b.Loop() {
			a := v6(i)
			s.Take(a, r, 2, ns)
			s.Give(a)
			i++
		}
	})
	b.Run("new and full again", func(b *testing.B) {
		s, r, i, now := NewSources(1, 0), NewRate(1000, 5), 0, ns
		for b.Loop() {
			a := v6(i)
			s.Take(a, r, 2, now)
			s.Give(a)
			i, now = i+1, now+1000
		}
	})
	b.Run("all at once", func(b *testing.B) {
		s, r := NewSources(1, 0), NewRate(1e6, 5)
		var callers atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			i, now := int(callers.Add(1))<<20, ns
			for pb.Next() {
				a := v6(i)
				s.Take(a, r, 2, now)
				s.Give(a)
				i, now = i&^1023|(i+1)&1023, now+1000
			}
		})
	})
}

// BenchmarkEnter is an Enter and, if it counts, the Leave.
func BenchmarkEnter(b *testing.B) {
	filter := NewFilter(nil, networks(10))
	for _, test := range []struct {
		name  string
		rules Rules
	}{
		{"no rules", Rules{}},
		{"filter", Rules{Filter: filter}},
		{"rate", Rules{Rate: NewRate(1e7, 1000)}},
		{"sources", Rules{PerSource: NewRate(1e6, 5), MaxPerSource: 10}},
		{"all", Rules{Filter: filter, Rate: NewRate(1e7, 1000), PerSource: NewRate(1e6, 5), MaxPerSource: 10}},
	} {
		b.Run(test.name, func(b *testing.B) {
			g, i, now := NewGate(1), 0, ns
			for b.Loop() {
				a := v4(1<<30 | i&1023)
				if _, counted := g.Enter(&test.rules, a, now); counted {
					g.Leave(a)
				}
				i, now = i+1, now+1000
			}
		})
	}
}

func TestNothingAllocates(t *testing.T) {
	f := NewFilter(networks(100), prefixes("10.0.0.0/8"))
	s, g := NewSources(1, 1000), NewGate(1)
	r := &Rules{Filter: NewFilter(nil, networks(10)), Rate: NewRate(1e7, 1000), PerSource: NewRate(0.001, 5), MaxPerSource: 10}
	var b Bucket
	i, now := 0, ns
	churn := func() {
		i, now = i+1, now+1000
		s.Take(v6(i), r.PerSource, 10, now)
		s.Give(v6(i))
	}
	enter := func() {
		i, now = i+1, now+1000
		if _, counted := g.Enter(r, v4(1<<30|i&1023), now); counted {
			g.Leave(v4(1<<30 | i&1023))
		}
	}
	for range 10_000 { // until the tables have grown
		churn()
		enter()
	}
	for name, call := range map[string]func(){
		"Admits IPv4": func() { f.Admits(v4(i)) },
		"Admits IPv6": func() { f.Admits(v6(i)) },
		"Bucket.Take": func() { b.Take(r.Rate, now) },
		"Take and Give of sources that are forgotten": churn,
		"Enter and Leave": enter,
	} {
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
