package lb

import (
	"math"
	"slices"
	"testing"
)

// Over many connections each member gets its share by weight, within 2 % of
// it; below a share of 1 %, within 0.02 % of all. Where connections or points
// on a ring are drawn at random, four standard deviations more are allowed.
func TestShares(t *testing.T) {
	rand := NewRand(8)
	for _, weights := range [][]uint32{
		{1}, {5, 1, 1}, {1, 2, 3, 4, 5, 6, 7}, {1, 65535}, {65535, 1, 777, 32768},
		equal(50), randomWeights(20, 65535, rand), {0, 3, 0, 9},
	} {
		var sum float64
		for _, w := range weights {
			sum += float64(w)
		}
		for _, p := range allPolicies[:First] {
			if p == RingHash && sum > 65535 {
				continue // takes long to build, and TestRing counts the points
			}
			s := mustSet(t, Options{Policy: p}, cluster(weights...))
			const picks = 40_000
			for i, n := range pickCounts(t, s, picks, 9) {
				want := float64(weights[i]) / sum
				within := 0.02 * max(want, 0.01)
				if p != RoundRobin && p != LeastConnections {
					within += 4 * math.Sqrt(want/picks)
				}
				if p == RingHash {
					within += 4 * want / math.Sqrt(ringPoints*float64(max(1, weights[i])))
				}
				if got := float64(n) / picks; math.Abs(got-want) > within {
					t.Errorf("%v, weights %v: member %d got %.4f, want %.4f", p, weights, i, got, want)
				}
			}
		}
	}
}

// The share of a member that is full goes to the others by weight.
func TestSharesWhenOneIsFull(t *testing.T) {
	for _, p := range allPolicies[:First] {
		members := cluster(1000, 30, 10, 60)
		members[0].MaxConnections = 1
		s := mustSet(t, Options{Policy: p}, members)
		members[0].Endpoint.take(1)
		const picks = 100_000
		counts := pickCounts(t, s, picks, 10)
		for i, want := range []float64{0, 0.3, 0.1, 0.6} {
			within := 0.04 * want
			if p == P2C {
				within = 0.4 * want // when both draws are the full one it is by weight, else not quite
			}
			if p == RingHash {
				within = 0.1 * want
			}
			if got := float64(counts[i]) / picks; math.Abs(got-want) > within {
				t.Errorf("%v: member %d got %.4f, want %.4f", p, i, got, want)
			}
		}
	}
}

// Round robin is exact over every cycle.
func TestRoundRobinIsExact(t *testing.T) {
	weights := []uint32{7, 1, 12, 5}
	s := mustSet(t, Options{Seed: 11}, cluster(weights...))
	for range 3 {
		counts := pickCounts(t, s, 25, 1)
		if want := []int{7, 1, 12, 5}; !slices.Equal(counts, want) {
			t.Errorf("a cycle gives %v, want %v", counts, want)
		}
	}
}

func TestFirstPacks(t *testing.T) {
	members := cluster(1, 9, 1)
	members[0].MaxConnections, members[1].MaxConnections = 2, 1
	s := mustSet(t, Options{Policy: First}, members)
	r := new(Request)
	var got []int
	for range 5 {
		got = append(got, mustPick(t, s, r))
	}
	members[0].Endpoint.Release()
	if got = append(got, mustPick(t, s, r)); !slices.Equal(got, []int{0, 0, 1, 2, 2, 0}) {
		t.Errorf("picks %v, want 0 0 1 2 2 0", got)
	}
}

// A choice of two is better than one: under load that lasts, the fullest
// member is close to the mean with P2C, and isn't with Random.
func TestP2CIsMoreEvenThanRandom(t *testing.T) {
	fullest := func(p Policy) int64 {
		members := cluster(equal(200)...)
		s := mustSet(t, Options{Policy: p}, members)
		r := &Request{Rand: NewRand(12)}
		for range 200 * 100 {
			mustPick(t, s, r)
		}
		most := int64(0)
		for _, m := range members {
			most = max(most, m.Endpoint.Active())
		}
		return most
	}
	if two, one := fullest(P2C), fullest(Random); two > 104 || one < 115 {
		t.Errorf("with a mean of 100 the fullest has %d by p2c and %d by random; want at most 104, at least 115", two, one)
	}
}

// The second of two draws is each of the others, by weight, and never the
// first again.
func TestDrawOther(t *testing.T) {
	weights := []uint32{2, 1, 3, 1}
	c := newCumulative(weights)
	dice := NewRand(19)
	for but := range weights {
		counts := make([]int, len(weights))
		const draws = 20_000
		for range draws {
			counts[c.drawOther(dice, but)]++
		}
		for i, w := range weights {
			want := draws * float64(w) / float64(7-weights[but])
			if i == but {
				want = 0
			}
			if math.Abs(float64(counts[i])-want) > 0.05*want {
				t.Errorf("but %d: drawn %v, want about %.0f of %d", but, counts, want, i)
			}
		}
	}
}
