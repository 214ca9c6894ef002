package lb

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

const pickers = 8

// concurrently runs do in goroutines, one generator each, and waits for them.
func concurrently(do func(r *Request)) {
	var running sync.WaitGroup
	for i := range pickers {
		running.Go(func() { do(&Request{Rand: NewRand(uint64(i))}) })
	}
	running.Wait()
}

// Many loops fill a set: each member gets exactly its limit.
func TestLimitsAreExact(t *testing.T) {
	for _, p := range allPolicies {
		for _, balance := range []float64{0, 1.25} {
			members := cluster(1, 5, 2, 100, 1, 1, 1, 9)
			for i := range members {
				members[i].MaxConnections = int64(50 * (i + 1))
			}
			s := mustSet(t, Options{Policy: p, HashBalance: balance}, members)
			concurrently(func(r *Request) {
				for {
					r.Hash = r.Rand.Uint64()
					if _, v := s.Pick(r); v == Full {
						return
					}
				}
			})
			for i, m := range members {
				if got := m.Endpoint.Active(); got != m.MaxConnections {
					t.Errorf("%v: member %d has %d, limit %d", p, i, got, m.MaxConnections)
				}
			}
		}
	}
}

// Many loops pick and release: no limit is ever overshot, and all is given
// back in the end.
func TestLimitsHoldWhileConnectionsEnd(t *testing.T) {
	for _, p := range allPolicies {
		for _, balance := range []float64{0, 1} {
			members := cluster(3, 1, 1, 7)
			for i := range members {
				members[i].MaxConnections = int64(3 + i)
			}
			s := mustSet(t, Options{Policy: p, HashBalance: balance}, members)
			concurrently(func(r *Request) {
				var held []int
				for range 3000 {
					r.Hash = r.Rand.Below(50)
					if i, v := s.Pick(r); v == Picked {
						if got := members[i].Endpoint.Active(); got > members[i].MaxConnections {
							t.Errorf("%v: member %d has %d, limit %d", p, i, got, members[i].MaxConnections)
						}
						held = append(held, i)
					}
					if n := len(held); n > 0 && (n > 4 || r.Rand.Below(2) == 0) {
						members[held[n-1]].Endpoint.Release()
						held = held[:n-1]
					}
				}
				for _, i := range held {
					members[i].Endpoint.Release()
				}
			})
			for i, m := range members {
				if got := m.Endpoint.Active(); got != 0 {
					t.Errorf("%v: member %d has %d in the end", p, i, got)
				}
			}
		}
	}
}

// Places that all loops fight for are held by one at a time.
func TestOnePlaceIsHeldByOne(t *testing.T) {
	for _, p := range allPolicies {
		members := cluster(1, 1)
		members[0].MaxConnections, members[1].MaxConnections = 1, 1
		s := mustSet(t, Options{Policy: p, HashBalance: 1}, members)
		var holders [2]atomic.Int64
		concurrently(func(r *Request) {
			for range 5000 {
				r.Hash = r.Rand.Uint64()
				i, v := s.Pick(r)
				if v != Picked {
					continue
				}
				if n := holders[i].Add(1); n != 1 {
					t.Errorf("%v: %d hold the one place of member %d", p, n, i)
				}
				if r.Rand.Below(16) == 0 {
					runtime.Gosched()
				}
				holders[i].Add(-1)
				members[i].Endpoint.Release()
			}
		})
	}
}

func TestRoundRobinIsExactConcurrently(t *testing.T) {
	weights := []uint32{5, 1, 1, 9, 4} // 20
	members := cluster(weights...)
	s := mustSet(t, Options{}, members)
	split, err := NewSplit(weights)
	if err != nil {
		t.Fatal(err)
	}
	const each = 20 * 100
	var mu sync.Mutex
	counts := make([]int, len(weights))
	concurrently(func(r *Request) {
		mine := make([]int, len(weights))
		for range each {
			s.Pick(r)
			mine[split.Next()]++
		}
		mu.Lock()
		defer mu.Unlock()
		for i, n := range mine {
			counts[i] += n
		}
	})
	for i, w := range weights {
		want := pickers * each / 20 * int(w)
		if got := members[i].Endpoint.Active(); got != int64(want) {
			t.Errorf("round robin: member %d has %d, want %d", i, got, want)
		}
		if counts[i] != want {
			t.Errorf("split: index %d came up %d times, want %d", i, counts[i], want)
		}
	}
}

// While connections only begin, members of equal weight stay within one of
// each other, and others within one of their shares.
func TestLeastConnectionsIsExactConcurrently(t *testing.T) {
	members := cluster(equal(13)...)
	s := mustSet(t, Options{Policy: LeastConnections}, members)
	concurrently(func(r *Request) {
		for range 1000 {
			s.Pick(r)
		}
	})
	least, most := int64(math.MaxInt64), int64(0)
	for _, m := range members {
		least, most = min(least, m.Endpoint.Active()), max(most, m.Endpoint.Active())
	}
	if sum := active(members); sum != pickers*1000 || most-least > 1 {
		t.Errorf("%d connections, members have %d to %d", sum, least, most)
	}
}

// While connections only begin, no member gets above its share of those there
// are, however hot one key is.
func TestHashBalanceIsExactConcurrently(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		for _, balance := range []float64{1, 1.25} {
			for _, keys := range []uint64{1, 30} {
				weights := []uint32{1, 1, 2, 5, 1, 1, 1}
				members := cluster(weights...)
				s := mustSet(t, Options{Policy: p, HashBalance: balance}, members)
				const each = 700
				concurrently(func(r *Request) {
					for range each {
						r.Hash = r.Rand.Below(keys)
						if _, v := s.Pick(r); v != Picked {
							t.Errorf("%v: Pick says %v", p, v)
						}
					}
				})
				if sum := active(members); sum != pickers*each {
					t.Errorf("%v: %d connections, want %d", p, sum, pickers*each)
				}
				for i, w := range weights {
					bound := int64(math.Ceil(balance * pickers * each * float64(w) / 12))
					if got := members[i].Endpoint.Active(); got > bound {
						t.Errorf("%v %v: member %d has %d, bound %d", p, balance, i, got, bound)
					}
				}
			}
		}
	}
}
