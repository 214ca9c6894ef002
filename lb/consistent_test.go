package lb

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// placements is the address each of n keys is sent to.
func placements(t testing.TB, s *Set, n int) []*Endpoint {
	t.Helper()
	placed := make([]*Endpoint, n)
	r := new(Request)
	keys := NewRand(14)
	for i := range placed {
		r.Hash = keys.Uint64()
		placed[i] = s.Member(mustPick(t, s, r)).Endpoint
		placed[i].Release()
	}
	return placed
}

// moved counts the keys that were sent elsewhere though they weren't on
// removed.
func moved(before, after []*Endpoint, removed *Endpoint) (others, all int) {
	for i := range before {
		if before[i] != after[i] {
			all++
			if before[i] != removed {
				others++
			}
		}
	}
	return others, all
}

// removals are how many members there are, and how often one is removed.
var removals = []struct{ members, seeds int }{{2, 3}, {3, 3}, {10, 3}, {100, 2}, {1000, 1}}

// A member that leaves a ring, or goes down, moves its own keys only; and so
// does one that comes.
func TestRingHashMovesOnlyItsOwn(t *testing.T) {
	for _, removal := range removals {
		n := removal.members
		for seed := range removal.seeds {
			rand := NewRand(uint64(seed))
			members := cluster(randomWeights(n, 4, rand)...)
			s := mustSet(t, Options{Policy: RingHash}, members)
			gone := int(rand.Below(uint64(n)))
			before := placements(t, s, 10_000)

			down := slices.Clone(members)
			down[gone].State = Maint
			for name, change := range map[string][]Member{
				"removed": slices.Delete(slices.Clone(members), gone, gone+1),
				"down":    down,
			} {
				next, err := s.Next(Options{Policy: RingHash}, change)
				if err != nil {
					t.Fatal(err)
				}
				after := placements(t, next, len(before))
				others, _ := moved(before, after, members[gone].Endpoint)
				if others > 0 {
					t.Errorf("n %d, seed %d: one %s moves %d keys of others", n, seed, name, others)
				}
			}
		}
	}
}

// A member removed of n moves at most 1/n of the keys and 2 % more.
func TestMaglevMovesFew(t *testing.T) {
	for _, removal := range removals {
		n := removal.members
		for seed := range removal.seeds {
			rand := NewRand(uint64(seed))
			for _, weights := range [][]uint32{equal(n), randomWeights(n, 8, rand)}[seed%2:] {
				members := cluster(weights...)
				s := mustSet(t, Options{Policy: Maglev}, members)
				gone := int(rand.Below(uint64(n)))
				share := float64(weights[gone]) / float64(s.weight)
				before := placements(t, s, 15_000)
				after := placements(t, mustSet(t, Options{Policy: Maglev}, slices.Delete(members, gone, gone+1)), len(before))
				_, all := moved(before, after, nil)
				if got := float64(all) / float64(len(before)); got > share+0.02 {
					t.Errorf("n %d, seed %d: one of share %.4f removed moves %.4f of the keys", n, seed, share, got)
				}
			}
		}
	}
}

// Nodes that list the same members in another order send keys to the same
// places, and so does a set of another history.
func TestHashingIgnoresOrder(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		rand := NewRand(15)
		members := cluster(randomWeights(40, 20, rand)...)
		one := mustSet(t, Options{Policy: p, Seed: 1}, members)
		turned := slices.Clone(members)
		slices.Reverse(turned)
		other := mustSet(t, Options{Policy: p, Seed: 2}, turned[:7])
		other, err := other.Next(Options{Policy: p}, turned)
		if err != nil {
			t.Fatal(err)
		}
		a, b := placements(t, one, 5000), placements(t, other, 5000)
		if _, all := moved(a, b, nil); all > 0 {
			t.Errorf("%v: %d keys differ", p, all)
		}
	}
}

// The same keys go to the same members in all versions.
func TestHashingGolden(t *testing.T) {
	for p, want := range map[Policy][]int{
		RingHash: {1, 2, 4, 6, 0, 1, 5, 6, 3, 6, 2, 6, 5, 2, 2, 1},
		Maglev:   {0, 3, 3, 2, 5, 2, 3, 3, 5, 3, 5, 5, 6, 5, 6, 3},
	} {
		s := mustSet(t, Options{Policy: p}, cluster(1, 1, 2, 3, 1, 1, 2))
		var got []int
		for key := range uint64(16) {
			i := mustPick(t, s, &Request{Hash: key})
			s.Member(i).Endpoint.Release()
			got = append(got, i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: keys go to %#v, want %#v", p, got, want)
		}
	}
}

func TestRing(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		points  int // at most
	}{
		{[]uint32{1}, ringPoints},
		{[]uint32{1, 3}, 4 * ringPoints},
		{equal(13_108), maxRingPoints},
		{[]uint32{math.MaxUint32, math.MaxUint32, 60_000}, maxRingPoints + 3},
	} {
		s := mustSet(t, Options{Policy: RingHash}, cluster(test.weights...))
		ring := &s.ring
		if n := len(ring.hash); n > test.points || n < min(test.points, maxRingPoints)/2-len(test.weights) {
			t.Errorf("%d members: %d points, want about %d", len(test.weights), n, test.points)
		}
		if !slices.IsSorted(ring.hash) {
			t.Errorf("%d members: the ring isn't sorted", len(test.weights))
		}
		owned := make([]int, len(test.weights))
		for _, l := range ring.lane {
			owned[l]++
		}
		for i := range owned {
			if want := pointsOf(&s.lanes[i], s.halvings, s.scale); owned[i] != want || want < 1 {
				t.Errorf("%d members: member %d has %d points, want %d", len(test.weights), i, owned[i], want)
				break
			}
		}
		rand := NewRand(16)
		keys := []uint64{0, 1, math.MaxUint64, ring.hash[0], ring.hash[0] + 1, ring.hash[len(ring.hash)-1], ring.hash[len(ring.hash)-1] + 1}
		for range 1000 {
			keys = append(keys, rand.Uint64())
		}
		for _, key := range keys {
			want, _ := slices.BinarySearch(ring.hash, key)
			if got := ring.at(key); got != want%len(ring.hash) {
				t.Errorf("%d members: key %#x at point %d, want %d", len(test.weights), key, got, want)
			}
		}
	}
}

func TestMaglevTable(t *testing.T) {
	rand := NewRand(17)
	for _, weights := range [][]uint32{
		{1}, {9, 9}, {65535, 1}, {math.MaxUint32, 1, 1}, equal(1000), equal(10_000),
		randomWeights(50, 100, rand), randomWeights(500, 65535, rand),
	} {
		s := mustSet(t, Options{Policy: Maglev}, cluster(weights...))
		entries := make([]float64, len(weights))
		for _, l := range s.maglev {
			entries[l]++
		}
		for i, w := range weights {
			exact := maglevSize * float64(w) / float64(s.weight)
			if entries[i] < 1 || math.Abs(entries[i]-exact) > 1+0.001*exact {
				t.Errorf("%d members: member %d has %v entries, exact %.2f", len(weights), i, entries[i], exact)
				break
			}
		}
	}
}

// With a bounded load each member stays within its share at each step, whatever
// the keys; and most keys stay where they would be without.
func TestHashBalance(t *testing.T) {
	const bounded = 700 // connections
	for _, p := range []Policy{RingHash, Maglev} {
		for _, balance := range []float64{1, 1.25, 2} {
			for _, weights := range [][]uint32{equal(1), equal(10), {1, 2, 3, 4, 100}, equal(90)} {
				for _, keys := range []uint64{1, 5, math.MaxUint64} {
					name := fmt.Sprintf("%v %v, %d members, %d keys", p, balance, len(weights), keys)
					members := cluster(weights...)
					s := mustSet(t, Options{Policy: p, HashBalance: balance}, members)
					rand := NewRand(18)
					for n := range bounded {
						i := mustPick(t, s, &Request{Hash: rand.Below(keys)})
						bound := math.Ceil(balance*float64(n+1)*float64(weights[i])/float64(s.weight) - 1e-9)
						if got := float64(members[i].Endpoint.Active()); got > bound {
							t.Fatalf("%s: connection %d is number %v of member %d, bound %v", name, n+1, got, i, bound)
						}
					}
					if got := active(members); got != bounded {
						t.Errorf("%s: %d under way, want %d", name, got, bounded)
					}
				}
			}
		}
	}
}

// With room to spare a key stays where it is without a bound.
func TestHashBalanceKeepsKeys(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		members := cluster(equal(20)...)
		for _, m := range members {
			m.Endpoint.take(1)
		}
		plain := placements(t, mustSet(t, Options{Policy: p}, members), 5000)
		bounded := placements(t, mustSet(t, Options{Policy: p, HashBalance: 1.25}, members), 5000)
		if _, all := moved(plain, bounded, nil); all > 0 {
			t.Errorf("%v: %d keys moved", p, all)
		}
	}
}

// A key whose member is full goes to the same other one each time, and the keys
// of a full member spread over many.
func TestOverflowIsDeterministic(t *testing.T) {
	for _, p := range []Policy{RingHash, Maglev} {
		members := cluster(equal(20)...)
		for i := range members {
			members[i].MaxConnections = 1
		}
		full := members[:15]
		for _, m := range full {
			m.Endpoint.take(1)
		}
		s := mustSet(t, Options{Policy: p}, members)
		a, b := placements(t, s, 2000), placements(t, s, 2000)
		if _, all := moved(a, b, nil); all > 0 {
			t.Errorf("%v: %d keys move without a change", p, all)
		}
		for _, m := range members[15:] {
			if !slices.Contains(a, m.Endpoint) {
				t.Errorf("%v: no key on %v", p, m.Endpoint.Address)
			}
		}
	}
}
