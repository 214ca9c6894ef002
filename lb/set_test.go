package lb

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestNewSetErrors(t *testing.T) {
	ready := func(i int) Member { return Member{Endpoint: NewEndpoint(addr(i)), Weight: 1} }
	mapped := Member{Endpoint: NewEndpoint(netip.MustParseAddrPort("[::ffff:10.0.0.1]:8080")), Weight: 1}
	negative, unknown := ready(3), ready(4)
	negative.MaxConnections = -1
	unknown.State = 3
	for _, test := range []struct {
		name    string
		options Options
		members []Member
		want    string
	}{
		{"policy", Options{Policy: First + 1}, nil, "unknown policy 7"},
		{"balance below 1", Options{HashBalance: 0.9}, nil, "hash balance 0.9"},
		{"balance negative", Options{HashBalance: -1}, nil, "hash balance -1"},
		{"balance too great", Options{HashBalance: 1001}, nil, "hash balance 1001"},
		{"balance not a number", Options{HashBalance: math.NaN()}, nil, "hash balance NaN"},
		{"no endpoint", Options{}, []Member{ready(0), {Weight: 1}}, "member 1: no endpoint"},
		{"twice", Options{}, []Member{ready(0), ready(1), ready(0)}, "member 2 (10.0.0.0:8080): same address as member 0"},
		{"twice, mapped", Options{}, []Member{ready(1), mapped}, "member 1 (10.0.0.1:8080): same address as member 0"},
		{"limit", Options{}, []Member{negative}, "member 0 (10.0.0.3:8080): max connections -1"},
		{"state", Options{}, []Member{unknown}, "member 0 (10.0.0.4:8080): unknown state 3"},
		{"members", Options{}, make([]Member, MaxMembers+1), "65537 members"},
	} {
		_, err := NewSet(test.options, test.members)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
		if _, err = mustSet(t, Options{}, nil).Next(test.options, test.members); err == nil {
			t.Errorf("%s: Next gives no error", test.name)
		}
	}
}

// Which members get connections, whatever the policy.
func TestEligible(t *testing.T) {
	const b = true
	member := func(weight uint32, state State, backup bool) Member {
		return Member{Weight: weight, State: state, Backup: backup}
	}
	for _, test := range []struct {
		name    string
		members []Member
		want    []int // nil: NoEndpoint
	}{
		{"none", nil, nil},
		{"all ready", []Member{member(1, Ready, !b), member(2, Ready, !b)}, []int{0, 1}},
		{"drained", []Member{member(1, Ready, !b), member(2, Drain, !b), member(3, Ready, !b)}, []int{0, 2}},
		{"maintenance", []Member{member(1, Maint, !b), member(2, Ready, !b)}, []int{1}},
		{"no weight", []Member{member(1, Ready, !b), member(0, Ready, !b)}, []int{0}},
		{"backup waits", []Member{member(1, Ready, b), member(1, Ready, !b)}, []int{1}},
		{"backups serve", []Member{member(1, Drain, !b), member(1, Ready, b), member(0, Ready, !b), member(3, Ready, b)}, []int{1, 3}},
		{"backup drained too", []Member{member(1, Drain, !b), member(1, Maint, b)}, nil},
		{"backup without weight", []Member{member(1, Drain, !b), member(0, Ready, b)}, nil},
		{"only backups", []Member{member(1, Ready, b)}, []int{0}},
	} {
		for i := range test.members {
			test.members[i].Endpoint = NewEndpoint(addr(i))
		}
		for _, p := range allPolicies {
			s := mustSet(t, Options{Policy: p}, test.members)
			if test.want == nil {
				if i, v := s.Pick(&Request{}); i != -1 || v != NoEndpoint {
					t.Errorf("%s, %v: Pick = %d, %v; want -1, no_endpoint", test.name, p, i, v)
				}
				continue
			}
			want := test.want
			if p == First {
				want = want[:1]
			}
			for i, n := range pickCounts(t, s, 1000, 4) {
				if (n > 0) != slices.Contains(want, i) {
					t.Errorf("%s, %v: member %d got %d of 1000, want only %v", test.name, p, i, n, want)
				}
			}
		}
	}
}

// Every place is used before a set is full, and backups don't help out.
func TestFull(t *testing.T) {
	for _, p := range allPolicies {
		members := cluster(1, 200, 3, 1, 1)
		for i := range members {
			members[i].MaxConnections = int64(1 + 3*i)
		}
		members[4].Backup = true
		for _, balance := range []float64{0, 1, 1.25} {
			s := mustSet(t, Options{Policy: p, HashBalance: balance}, members)
			r := &Request{Rand: NewRand(5)}
			for range 1 + 4 + 7 + 10 {
				r.Hash = r.Rand.Uint64()
				mustPick(t, s, r)
			}
			for i, want := range []int64{1, 4, 7, 10, 0} {
				if got := members[i].Endpoint.Active(); got != want {
					t.Errorf("%v: member %d has %d, want %d", p, i, got, want)
				}
			}
			for range 3 {
				if i, v := s.Pick(r); i != -1 || v != Full {
					t.Errorf("%v: Pick = %d, %v; want -1, full", p, i, v)
				}
			}
			members[2].Endpoint.Release()
			if i := mustPick(t, s, r); i != 2 {
				t.Errorf("%v: Pick = %d, want 2, the only one with room", p, i)
			}
			for _, m := range members {
				for m.Endpoint.Active() > 0 {
					m.Endpoint.Release()
				}
			}
		}
	}
}

func TestTriedIsSkipped(t *testing.T) {
	for _, p := range allPolicies {
		for _, balance := range []float64{0, 1.25} {
			s := mustSet(t, Options{Policy: p, HashBalance: balance}, cluster(1, 50, 3, 7, 1))
			rand := NewRand(6)
			for range 200 {
				r := &Request{Rand: rand, Hash: rand.Uint64()}
				for n := range s.Len() {
					i := mustPick(t, s, r)
					if r.Tried.Has(i) {
						t.Fatalf("%v: try %d is %d again", p, n, i)
					}
					s.Member(i).Endpoint.Release()
					r.Tried.Add(i)
				}
				// All were tried: any will do, but not the same twice in a row.
				last := int(r.Tried.last)
				for range 20 {
					i := mustPick(t, s, r)
					if i == last {
						t.Fatalf("%v: %d twice in a row", p, i)
					}
					s.Member(i).Endpoint.Release()
					r.Tried.Add(i)
					last = i
				}
			}
		}
	}
}

func TestTriedAlone(t *testing.T) {
	for _, p := range allPolicies {
		members := cluster(1, 1, 1)
		members[0].MaxConnections = 1
		members[2].State = Drain
		s := mustSet(t, Options{Policy: p}, members)

		// Member 1 was tried, 0 has no room: it is 1 again, rather than none.
		members[0].Endpoint.take(1)
		r := &Request{Hash: 1}
		r.Tried.Add(1)
		if i := mustPick(t, s, r); i != 1 {
			t.Errorf("%v: Pick = %d, want 1", p, i)
		}
		// With room on 0, tried before 1, it is 0.
		members[0].Endpoint.Release()
		r.Tried.Clear()
		r.Tried.Add(0)
		r.Tried.Add(1)
		if i := mustPick(t, s, r); i != 0 {
			t.Errorf("%v: Pick = %d, want 0", p, i)
		}
		// A cluster of one retries its endpoint.
		one := mustSet(t, Options{Policy: p}, cluster(3))
		r.Tried.Clear()
		for range 5 {
			r.Tried.Add(mustPick(t, one, r))
		}
	}
}

func TestTriedRemembersSixteen(t *testing.T) {
	var tried Tried
	for _, i := range []int{-1, MaxMembers, math.MaxInt} {
		tried.Add(i)
	}
	if tried.Len() != 0 {
		t.Errorf("impossible indexes are remembered")
	}
	for i := range 20 {
		tried.Add(i)
		tried.Add(i)
	}
	if tried.Len() != 16 || tried.last != 19 {
		t.Errorf("Len %d, last %d; want 16, 19", tried.Len(), tried.last)
	}
	for i := range 21 {
		if want := i >= 4 && i < 20; tried.Has(i) != want {
			t.Errorf("Has(%d) = %v, want %v", i, !want, want)
		}
	}
	tried.Add(7)
	if tried.Len() != 16 || tried.last != 7 || !tried.Has(4) {
		t.Errorf("adding one again forgets another")
	}
	tried.Clear()
	if tried != (Tried{}) {
		t.Errorf("Clear leaves %v", tried)
	}
}

func TestNext(t *testing.T) {
	members := cluster(1, 1, 1, 1)
	s := mustSet(t, Options{}, members)
	r := new(Request)
	order := []int{mustPick(t, s, r), mustPick(t, s, r)}

	// A change that has no part in the order goes on in it.
	limited := slices.Clone(members)
	limited[0].MaxConnections = 7
	next, err := s.Next(Options{}, limited)
	if err != nil {
		t.Fatal(err)
	}
	order = append(order, mustPick(t, next, r), mustPick(t, next, r), mustPick(t, s, r), mustPick(t, next, r))
	if want := []int{0, 1, 2, 3, 0, 1}; !slices.Equal(order, want) {
		t.Errorf("picks %v, want %v", order, want)
	}
	if &next.sequence[0] != &s.sequence[0] {
		t.Error("the sequence was made again")
	}
	if next.Member(0).MaxConnections != 7 || s.Member(0).MaxConnections != 0 {
		t.Error("the sets don't have their own members")
	}

	// Counters survive, for any policy.
	for _, p := range allPolicies {
		if next, err = next.Next(Options{Policy: p, HashBalance: 1.25}, members[:3]); err != nil {
			t.Fatal(err)
		}
		mustPick(t, next, r)
	}
	if got, want := active(members), int64(len(order)+len(allPolicies)); got != want {
		t.Errorf("%d connections under way, want %d", got, want)
	}

	// From an empty set, and to one.
	if next, err = next.Next(Options{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, v := next.Pick(r); v != NoEndpoint {
		t.Errorf("an empty set says %v", v)
	}
	if next, err = next.Next(Options{}, members); err != nil {
		t.Fatal(err)
	}
	mustPick(t, next, r)
}

func TestNewSetCopiesMembers(t *testing.T) {
	members := cluster(1, 1)
	s := mustSet(t, Options{}, members)
	members[0].Weight, members[1].State = 9, Maint
	if m := s.Member(0); m.Weight != 1 || s.Member(1).State != Ready {
		t.Error("a change of the caller's slice reaches the set")
	}
}

func TestSeed(t *testing.T) {
	starts := make(map[int]bool)
	for seed := range uint64(3) {
		starts[mustPick(t, mustSet(t, Options{Seed: seed}, cluster(1, 1, 1)), new(Request))] = true
	}
	if len(starts) != 3 {
		t.Errorf("three seeds start at %d members, want 3", len(starts))
	}
	// Without a Rand numbers come from the set, and still spread.
	for _, p := range []Policy{Random, P2C, LeastConnections} {
		s := mustSet(t, Options{Policy: p, Seed: math.MaxUint64}, cluster(1, 1, 2))
		counts := make([]int, 3)
		for range 4000 {
			i := mustPick(t, s, new(Request))
			counts[i]++
			s.Member(i).Endpoint.Release()
		}
		for i, want := range []int{1000, 1000, 2000} {
			if math.Abs(float64(counts[i]-want)) > 150 {
				t.Errorf("%v: %v, want about 1000, 1000, 2000", p, counts)
			}
		}
	}
}

func TestEndpointHasItsOwnCacheLine(t *testing.T) {
	var e Endpoint
	if at, size := unsafe.Offsetof(e.active), unsafe.Sizeof(e); at != 64 || size != 128 {
		t.Errorf("counter at %d of %d bytes, want 64 of 128", at, size)
	}
	for _, m := range cluster(equal(5)...) {
		if at := uintptr(unsafe.Pointer(&m.Endpoint.active)) % 64; at != 0 {
			t.Errorf("counter %d bytes into a cache line", at)
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, p := range allPolicies {
		for _, balance := range []float64{0, 1.25} {
			members := cluster(equal(100)...)
			for i := range members {
				members[i].MaxConnections = 2
				members[i].Endpoint.take(1 + int64(i%3))
			}
			s := mustSet(t, Options{Policy: p, HashBalance: balance}, members)
			r := Request{Rand: NewRand(7)}
			r.Tried.Add(3)
			allocs := testing.AllocsPerRun(200, func() {
				r.Hash++
				if i, v := s.Pick(&r); v == Picked {
					s.Member(i).Endpoint.Release()
				}
			})
			if allocs != 0 {
				t.Errorf("%v: Pick allocates %v times", p, allocs)
			}
		}
	}
}
