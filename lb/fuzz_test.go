package lb

import (
	"math"
	"slices"
	"testing"
)

// input hands out the bytes of a fuzz input, and zeros after its end.
type input []byte

func (in *input) byte() byte {
	if len(*in) == 0 {
		return 0
	}
	b := (*in)[0]
	*in = (*in)[1:]
	return b
}

// member reads a member for an endpoint.
func (in *input) member(e *Endpoint, p Policy) Member {
	flags, weight := in.byte(), uint32(in.byte())
	switch {
	case weight < 240 || p == RingHash: // more would make rings that take long to build
		weight %= 16
	case weight < 250:
		weight = 65535
	default:
		weight = math.MaxUint32
	}
	states := [...]State{Ready, Ready, Drain, Maint}
	more := in.byte()
	return Member{
		Endpoint:       e,
		Weight:         weight,
		MaxConnections: int64(flags >> 3 & 7),
		Backup:         flags&4 != 0,
		State:          states[flags&3],
		Health:         [...]Health{Healthy, Healthy, Unknown, Unhealthy}[more&3],
		Priority:       uint16(more >> 2 & 1),
		Ramp:           [...]uint8{0, 0, 10, 99}[more>>3&3],
	}
}

func (in *input) options(p Policy) Options {
	b := in.byte()
	return Options{
		Policy:         p,
		HashBalance:    [...]float64{0, 1, 1.25, 2.5}[b%4],
		PanicThreshold: [...]float64{0, 0.5, 1, 0.3}[b>>2&3],
		Seed:           uint64(b>>4) * 0x1111111111111111,
	}
}

// candidates are the members that take new connections.
func candidates(o Options, members []Member) (used []int) {
	rank := func(m Member) int {
		r := int(m.Priority)
		if m.Backup {
			r += 1 << 20
		}
		return r
	}
	var ranks []int
	for _, m := range members {
		if m.State == Ready && m.Weight > 0 {
			ranks = append(ranks, rank(m))
		}
	}
	slices.Sort(ranks)
	ranks = slices.Compact(ranks)
	among := func(most int, worst Health) (found []int) {
		for i, m := range members {
			if m.State == Ready && m.Weight > 0 && rank(m) <= most && m.Health <= worst {
				found = append(found, i)
			}
		}
		return found
	}
	for _, most := range ranks {
		enough := max(o.PanicThreshold*float64(len(among(ranks[0], Unhealthy))), 1)
		for _, worst := range []Health{Healthy, Unknown} {
			if found := among(most, worst); float64(len(found)) >= enough && (worst == Unknown || len(found) > 0) {
				return found
			}
		}
	}
	if o.PanicThreshold == 0 || len(ranks) == 0 {
		return nil
	}
	used = append(among(ranks[0], Unhealthy), among(ranks[len(ranks)-1], Unknown)...)
	slices.Sort(used)
	return slices.Compact(used)
}

// checkPick compares what a Pick says with what the members, before it, allow.
func checkPick(t *testing.T, o Options, members []Member, before []int64, tried *Tried, got int, v Verdict) {
	t.Helper()
	usable := candidates(o, members)
	room := slices.DeleteFunc(slices.Clone(usable), func(i int) bool {
		return members[i].MaxConnections > 0 && before[i] >= members[i].MaxConnections
	})
	want := Picked
	switch {
	case len(usable) == 0:
		want = NoEndpoint
	case len(room) == 0:
		want = Full
	}
	if v != want || (v == Picked) != (got >= 0) {
		t.Fatalf("%v: Pick = %d, %v; want %v", o.Policy, got, v, want)
	}
	for i, m := range members {
		n := before[i]
		if i == got {
			n++
		}
		if now := m.Endpoint.Active(); now != n {
			t.Fatalf("%v: Pick = %d: member %d has %d, want %d", o.Policy, got, i, now, n)
		}
	}
	if v != Picked {
		return
	}
	if !slices.Contains(room, got) {
		t.Fatalf("%v: Pick = %d, want one of %v", o.Policy, got, room)
	}
	left := slices.DeleteFunc(slices.Clone(room), tried.Has)
	if len(left) == 0 {
		left = slices.DeleteFunc(slices.Clone(room), func(i int) bool { return i == int(tried.last) })
	}
	if len(left) == 0 {
		left = room
	}
	if !slices.Contains(left, got) {
		t.Fatalf("%v: Pick = %d, tried %v: want one of %v", o.Policy, got, tried, left)
	}
	switch {
	case o.Policy == First:
		if got != left[0] {
			t.Fatalf("first: Pick = %d, want %d", got, left[0])
		}
	case o.Policy == LeastConnections:
		checkLeast(t, members, before, left, got)
	case o.Policy.hashes() && o.HashBalance > 0 && len(left) == len(usable):
		checkBound(t, o, members, before, left, got)
	}
}

func checkLeast(t *testing.T, members []Member, before []int64, left []int, got int) {
	t.Helper()
	busy := slices.ContainsFunc(left, func(i int) bool { return before[i] > 0 })
	for _, i := range left {
		if busy && (before[i]+1)*int64(members[got].Weight) < (before[got]+1)*int64(members[i].Weight) {
			t.Fatalf("least_connections: Pick = %d, but %d has less: %v", got, i, before)
		}
	}
}

func checkBound(t *testing.T, o Options, members []Member, before []int64, left []int, got int) {
	t.Helper()
	load, weight := 1.0, 0.0
	for _, i := range left {
		load += float64(before[i])
		weight += float64(members[i].Weight)
	}
	bound := math.Ceil(o.HashBalance*load*float64(members[got].Weight)/weight - 1e-9)
	if n := float64(before[got] + 1); n > bound {
		t.Fatalf("%v: Pick = %d, which then has %v, bound %v", o.Policy, got, n, bound)
	}
}

// FuzzSet runs picks, releases and changes of the set, as the bytes say, and
// compares each step with what the members allow.
func FuzzSet(f *testing.F) {
	for p := range allPolicies {
		f.Add([]byte{byte(p), 2, 3, 8, 1, 16, 2, 0, 3, 0, 1, 0, 2, 0, 3, 1, 4, 2, 5, 3, 0, 9})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := input(data)
		p := Policy(in.byte() % byte(len(policyNames)))
		o := in.options(p)
		members := make([]Member, in.byte()%12)
		for i := range members {
			members[i] = in.member(NewEndpoint(addr(i)), p)
		}
		s, err := NewSet(o, members)
		if err != nil {
			t.Fatal(err)
		}
		var held []*Endpoint
		r := &Request{}
		if in.byte()%2 == 0 {
			r.Rand = NewRand(uint64(in.byte()))
		}
		before := make([]int64, len(members))
		for changes := 0; len(in) > 0; {
			switch b := in.byte(); b % 8 {
			case 0, 1, 2, 3:
				for i, m := range members {
					before[i] = m.Endpoint.Active()
				}
				r.Hash = uint64(in.byte())
				i, v := s.Pick(r)
				checkPick(t, o, members, before, &r.Tried, i, v)
				if v == Picked {
					held = append(held, members[i].Endpoint)
				}
				if b%8 == 3 {
					r.Tried.Add(i)
				}
			case 4, 5:
				if len(held) > 0 {
					i := int(in.byte()) % len(held)
					held[i].Release()
					held = slices.Delete(held, i, i+1)
				}
			case 6:
				r.Tried.Clear()
			case 7:
				if changes++; changes > 8 || len(members) == 0 {
					return // a change may take long to build
				}
				i := int(in.byte()) % len(members)
				members[i] = in.member(members[i].Endpoint, p)
				if s, err = s.Next(o, members); err != nil {
					t.Fatal(err)
				}
				r.Tried.Clear()
			}
		}
		for _, e := range held {
			e.Release()
		}
		if n := active(members); n != 0 {
			t.Fatalf("%d connections after all were released", n)
		}
	})
}
