package lb

import (
	"net/netip"
	"testing"
)

// allPolicies are the policies there are, in order.
var allPolicies = []Policy{RoundRobin, LeastConnections, Random, P2C, RingHash, Maglev, First}

// addr is the address of the i-th endpoint of a test.
func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 8080)
}

// cluster is a member with an endpoint of its own for each weight.
func cluster(weights ...uint32) []Member {
	members := make([]Member, len(weights))
	for i, w := range weights {
		members[i] = Member{Endpoint: NewEndpoint(addr(i)), Weight: w}
	}
	return members
}

// equal is n times weight 1.
func equal(n int) []uint32 {
	weights := make([]uint32, n)
	for i := range weights {
		weights[i] = 1
	}
	return weights
}

// randomWeights is n weights of 1 to most.
func randomWeights(n int, most uint64, rand *Rand) []uint32 {
	weights := make([]uint32, n)
	for i := range weights {
		weights[i] = uint32(1 + rand.Below(most))
	}
	return weights
}

func mustSet(t testing.TB, o Options, members []Member) *Set {
	t.Helper()
	s, err := NewSet(o, members)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustPick picks a member, and fails the test if there's none.
func mustPick(t testing.TB, s *Set, r *Request) int {
	t.Helper()
	i, v := s.Pick(r)
	if v != Picked || i < 0 || i >= s.Len() {
		t.Fatalf("%v: Pick = %d, %v; want a member", s.options.Policy, i, v)
	}
	return i
}

// pickCounts picks n times, with random keys, gives each place back at once,
// and counts the picks of each member.
func pickCounts(t testing.TB, s *Set, n int, seed uint64) []int {
	t.Helper()
	counts := make([]int, s.Len())
	r := &Request{Rand: NewRand(seed)}
	for range n {
		r.Hash = r.Rand.Uint64()
		i := mustPick(t, s, r)
		s.Member(i).Endpoint.Release()
		counts[i]++
	}
	return counts
}

// active is the sum of the connections of the members.
func active(members []Member) (sum int64) {
	for _, m := range members {
		sum += m.Endpoint.Active()
	}
	return sum
}
