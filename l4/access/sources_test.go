package access

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
)

// v4 and v6 are the ith address of different sources.
func v4(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return netip.AddrFrom4(b)
}

func v6(i int) netip.Addr {
	b := [16]byte{0: 0x20, 1: 1, 15: 1}
	binary.BigEndian.PutUint32(b[4:], uint32(i))
	return netip.AddrFrom16(b)
}

// check holds Sources against its definition, and returns how many entries have connections and how many haven't.
func check(t *testing.T, s *Sources) (active, idle int) {
	t.Helper()
	for i := range s.shards {
		sh := &s.shards[i]
		checkTable(t, &sh.table)
		without := 0
		for j := range sh.table.entries {
			e := &sh.table.entries[j]
			if e.idle() {
				without++
			}
			if e.family != none && s.secret.hash(e.key())>>s.shift != uint64(i) {
				t.Fatalf("an entry is in shard %d, which isn't its own", i)
			}
		}
		if without != sh.idle || without > sh.limit {
			t.Fatalf("%d entries without connections, it says %d of %d", without, sh.idle, sh.limit)
		}
		active += sh.table.used - sh.idle
		idle += sh.idle
	}
	return active, idle
}

func TestSources(t *testing.T) {
	type step struct {
		take, give string
		at         int64 // in tenths of a second
		want       Verdict
		active     int64 // of that source, after it
	}
	tests := []struct {
		name  string
		rate  Rate
		most  int64
		steps []step
	}{
		{"places", Rate{}, 2, []step{
			{take: "192.0.2.1", active: 1},
			{take: "::ffff:192.0.2.1", active: 2},
			{take: "192.0.2.1", want: TooMany, active: 2},
			{take: "192.0.2.2", active: 1},
			{give: "192.0.2.1", active: 1},
			{take: "192.0.2.1", active: 2},
			{take: "2001:db8::1", active: 1},
			{take: "2001:db8::2", active: 2},
			{take: "2001:db8::3", want: TooMany, active: 2},
			{give: "2001:db8::3", active: 1},
			{take: "2001:db8:0:1::1", active: 1},
		}},
		{"a rate", NewRate(10, 2), 0, []step{
			{take: "192.0.2.1", active: 1},
			{take: "192.0.2.1", active: 2},
			{take: "192.0.2.1", want: TooFast, active: 2},
			{take: "192.0.2.2", active: 1},
			{give: "192.0.2.1", active: 1},
			{give: "192.0.2.1", active: 0},
			{take: "192.0.2.1", want: TooFast, active: 0},
			{take: "192.0.2.1", at: 1, active: 1},
			{take: "192.0.2.1", at: 1, want: TooFast, active: 1},
			{take: "192.0.2.1", at: 5, active: 2},
			{take: "192.0.2.1", at: 5, active: 3},
		}},
		{"both or neither", NewRate(10, 2), 1, []step{
			{take: "192.0.2.1", active: 1},
			{take: "192.0.2.1", want: TooMany, active: 1}, // and the second token stays
			{give: "192.0.2.1", active: 0},
			{take: "192.0.2.1", active: 1},
			{take: "192.0.2.1", want: TooMany, active: 1}, // which it is told first
			{give: "192.0.2.1", active: 0},
			{take: "192.0.2.1", want: TooFast, active: 0}, // and the place stays
			{take: "192.0.2.1", at: 1, active: 1},
		}},
		{"no limit", Rate{}, 0, []step{
			{take: "192.0.2.1", active: 1},
			{take: "192.0.2.1", active: 2},
			{give: "192.0.2.1", active: 1},
			{give: "192.0.2.1", active: 0},
			{give: "192.0.2.1", active: 0}, // that nobody has taken
			{give: "192.0.2.9", active: 0},
			{take: "192.0.2.1", active: 1},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewSources(1, 0)
			for i, step := range test.steps {
				name := step.take + step.give
				a := netip.MustParseAddr(name)
				if step.give != "" {
					s.Give(a)
				} else if got := s.Take(a, test.rate, test.most, ns+step.at*ns/10); got != step.want {
					t.Fatalf("step %d: Take(%s) = %d, want %d", i, name, got, step.want)
				}
				if got := s.Active(a); got != step.active {
					t.Fatalf("step %d: %s has %d, want %d", i, name, got, step.active)
				}
				check(t, s)
			}
		})
	}
}

// An entry without connections whose bucket is full is as good as none, and one without a rate goes with its last connection.
func TestSourcesForgetTheFull(t *testing.T) {
	s := NewSources(1, 100)
	for i := range 50 {
		s.Take(v4(i), Rate{}, 0, ns)
	}
	for i := range 50 {
		s.Give(v4(i))
	}
	if s.Len() != 0 {
		t.Errorf("%d sources with neither a connection nor a debt", s.Len())
	}

	rate := NewRate(1, 1)
	for i := range 50 {
		s.Take(v4(i), rate, 0, ns)
		s.Give(v4(i))
	}
	if s.Len() != 50 {
		t.Errorf("%d sources with a debt, want 50", s.Len())
	}
	for i := 50; i < 90; i++ { // the debts of those before are over
		s.Take(v4(i), rate, 0, 2*ns)
	}
	if active, idle := check(t, s); active != 40 || idle > 10 || s.Evicted() != 0 {
		t.Errorf("%d sources with and %d without connections, %d evicted, want 40, few and 0", active, idle, s.Evicted())
	}
}

// Of those without connections the ones with the least debt have to go.
func TestSourcesForgetTheLeastDebt(t *testing.T) {
	const idle = 128
	s := NewSources(1, idle)
	rate := NewRate(0.001, 10)
	for i := range idle / 4 { // half a bucket each
		for range 5 {
			s.Take(v6(i), rate, 0, ns)
			s.Give(v6(i))
		}
	}
	const strangers = 20_000
	for i := range strangers {
		if s.Take(v4(i), rate, 0, ns) != Admitted {
			t.Fatalf("stranger %d is refused", i)
		}
		s.Give(v4(i))
	}
	kept := 0
	for i := range idle / 4 {
		taken := 0
		for s.Take(v6(i), rate, 0, ns) == Admitted { // and stays, so as not to be forgotten now
			taken++
		}
		switch taken {
		case 5:
			kept++
		case 10:
		default:
			t.Errorf("source %d got %d tokens more, want 5 or, if it was forgotten, 10", i, taken)
		}
	}
	if kept < idle/4*9/10 {
		t.Errorf("%d of %d debts were kept", kept, idle/4)
	}
	if got := s.Evicted(); got < strangers-idle {
		t.Errorf("%d evicted, want some %d", got, strangers)
	}
	check(t, s)
}

// plain is Sources with a map, and no bound.
type plain map[key]*struct {
	model
	active int64
}

func (p plain) take(a netip.Addr, r Rate, most, now int64) Verdict {
	if p[keyOf(a)] == nil {
		p[keyOf(a)] = &struct {
			model
			active int64
		}{}
	}
	e := p[keyOf(a)]
	if most > 0 && e.active >= most {
		return TooMany
	}
	if r.Limited() && !e.take(r, now) {
		return TooFast
	}
	e.active++
	return Admitted
}

func TestSourcesAgainstModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		rate := Rate{}
		if r.IntN(4) > 0 {
			rate = NewRate([]float64{0.1, 1, 20}[r.IntN(3)], 1+r.Int64N(4))
		}
		most := r.Int64N(4)
		few := 5 + r.IntN(400)
		s, p := NewSources(seed, 1+r.IntN(2000)), plain{}
		if seed%2 == 0 {
			s = NewSources(seed, 0)
		}
		var open []netip.Addr
		now := ns
		for range 3000 {
			now += r.Int64N(ns / 50)
			a := v4(r.IntN(few))
			if r.IntN(2) == 0 {
				a = v6(r.IntN(few))
			}
			if len(open) > 0 && r.IntN(100) < 45 {
				i := r.IntN(len(open))
				a = open[i]
				open[i] = open[len(open)-1]
				open = open[:len(open)-1]
				s.Give(a)
				p[keyOf(a)].active--
			} else {
				got, want := s.Take(a, rate, most, now), p.take(a, rate, most, now)
				if got != want && s.Evicted() == 0 {
					t.Fatalf("seed %d: Take(%v, %+v, %d) = %d, want %d", seed, a, rate, most, got, want)
				}
				if got != want { // a forgotten debt: the model forgets it as well
					if got != Admitted || want != TooFast || p[keyOf(a)].active > 0 {
						t.Fatalf("seed %d: Take(%v, %+v, %d) = %d after evictions, want %d", seed, a, rate, most, got, want)
					}
					p[keyOf(a)].missing = 0
					p.take(a, rate, most, now)
				}
				if got == Admitted {
					open = append(open, a)
				}
			}
			if got := s.Active(a); got != p[keyOf(a)].active {
				t.Fatalf("seed %d: %v has %d, want %d", seed, a, got, p[keyOf(a)].active)
			}
		}
		active, idle := check(t, s)
		with, owing := 0, 0
		for _, e := range p {
			e.take(Rate{1, 0}, now) // brings it up to date
			if e.active > 0 {
				with++
			} else if e.missing > 0 {
				owing++
			}
		}
		if active != with || s.Len() != active+idle || (s.Evicted() == 0 && idle < owing) {
			t.Errorf("seed %d: %d sources with and %d without connections, want %d and at least %d", seed, active, idle, with, owing)
		}
		for _, a := range open {
			s.Give(a)
		}
		if active, _ := check(t, s); active != 0 {
			t.Errorf("seed %d: %d sources with connections after the last", seed, active)
		}
	}
}

// The bound that a Bucket keeps with clocks apart holds for a source too, although it is forgotten and known again all the time.
func TestSourcesWithClocksApart(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 6))
		rate := NewRate(float64(1+r.IntN(1000)), 1+r.Int64N(3))
		apart := 1 + r.Int64N([]int64{1e6, 5e6, 9e8}[seed%3])
		s := NewSources(seed, 64)
		var taken [10]int64
		now := ns
		earliest, latest := now, now
		for range 5000 {
			now += r.Int64N(rate.interval/ticks/5 + 2)
			reading := now - r.Int64N(apart)
			earliest, latest = min(earliest, reading), max(latest, reading)
			i := r.IntN(len(taken))
			if s.Take(v4(i), rate, 0, reading) == Admitted {
				taken[i]++
				s.Give(v4(i))
			}
			if taken[i]*rate.interval > rate.capacity+(latest-earliest)*ticks {
				t.Fatalf("seed %d: %d tokens of %+v in %d ns", seed, taken[i], rate, latest-earliest)
			}
		}
	}
}

// A caller whose clock is ahead finds a bucket full, and forgets it; one whose clock is behind must not fill it once more.
func TestSourcesForgottenByAClockAhead(t *testing.T) {
	s := NewSources(1, 64)
	rate := NewRate(1000, 2)
	const behind, ahead = ns, ns + ns/500
	taken, stranger := 0, 1
	for range 5 {
		for range 5 {
			if s.Take(v4(0), rate, 0, behind) == Admitted {
				taken++
				s.Give(v4(0))
			}
		}
		for range 20 {
			s.Take(v4(stranger), Rate{}, 0, ahead)
			s.Give(v4(stranger))
			stranger++
		}
	}
	if taken != 4 {
		t.Errorf("%d tokens, want the burst of 2 and 2 in 2 ms", taken)
	}
}

// Ten million sources that nobody has seen before, each with a debt, leave what was said and not more.
func TestSourcesStayBounded(t *testing.T) {
	const sources, callers, connections, most = 10_000_000 / slower, 2, 1000, 4096
	s := NewSources(1, most)
	rate := NewRate(0.001, 5)
	together(callers, func(caller int) {
		for i := caller; i < sources; i += callers {
			if s.Take(v6(i), rate, 1, ns) != Admitted {
				t.Errorf("source %d is refused", i)
			}
			if i >= connections {
				s.Give(v6(i - connections))
			}
		}
	})
	active, idle := check(t, s)
	if active != connections || idle > most || s.Len() != active+idle {
		t.Errorf("%d sources with and %d without connections, want %d and at most %d", active, idle, connections, most)
	}
	if s.Evicted() != uint64(sources-connections-idle) {
		t.Errorf("%d evicted, want %d", s.Evicted(), sources-connections-idle)
	}
	slots := 0
	for i := range s.shards {
		slots += len(s.shards[i].table.entries)
	}
	if slots > 4*most { // 24 bytes each
		t.Errorf("%d slots for %d entries", slots, s.Len())
	}
}

func TestSourcesHoldAsManyAsSaid(t *testing.T) {
	for _, idle := range []int{1, 2, 63, 100, 127, 128, 129, 1000, 4095, 4096, 5000, 100_000} {
		s := NewSources(1, idle)
		sum := 0
		for i := range s.shards {
			sum += s.shards[i].limit
		}
		if sum != idle {
			t.Errorf("NewSources(%d) has room for %d", idle, sum)
		}
		for i := range 3 * idle {
			s.Take(v4(i), NewRate(0.001, 1), 0, ns)
			s.Give(v4(i))
		}
		if _, got := check(t, s); got > idle || got < idle-idle/20 {
			t.Errorf("NewSources(%d) remembers %d", idle, got)
		}
	}
}

// Over all callers no source ever has more connections or tokens than it may, and in the end every count is right.
func TestSourcesConcurrently(t *testing.T) {
	const callers, few, most, burst = 8, 20, 3, 400
	s := NewSources(1, 0)
	rate := NewRate(0.001, burst)
	var held, taken [few]atomic.Int64
	together(callers, func(caller int) {
		r := rand.New(rand.NewPCG(uint64(caller), 7))
		var open []int
		for range 4000 {
			i := r.IntN(few)
			switch {
			case len(open) > 0 && r.IntN(2) == 0:
				held[open[0]].Add(-1)
				s.Give(v4(open[0]))
				open = open[1:]
			case s.Take(v4(i), rate, most, ns) == Admitted:
				if n := held[i].Add(1); n > most {
					t.Errorf("source %d has %d connections", i, n)
				}
				taken[i].Add(1)
				open = append(open, i)
			}
		}
		for _, i := range open[:len(open)/2] {
			held[i].Add(-1)
			s.Give(v4(i))
		}
	})
	spent := 0
	for i := range few {
		if got := s.Active(v4(i)); got != held[i].Load() {
			t.Errorf("source %d has %d connections, want %d", i, got, held[i].Load())
		}
		if taken[i].Load() > burst {
			t.Errorf("source %d took %d tokens of %d", i, taken[i].Load(), burst)
		} else if taken[i].Load() == burst {
			spent++
		}
	}
	if spent == 0 {
		t.Error("no source spent its tokens: that shows little")
	}
	check(t, s)
}

// FuzzSources reads rules, and steps of what to do, with which source, when: takes by the model, and gives of what was taken.
func FuzzSources(f *testing.F) {
	f.Add(uint8(2), uint8(3), uint8(4), []byte{0, 0, 1, 0, 2, 1, 0x80, 0, 3, 0, 4, 2, 0x81, 200})
	f.Add(uint8(0), uint8(1), uint8(0), []byte{5, 0, 5, 0, 0x80, 0, 5, 0})
	f.Add(uint8(1), uint8(0), uint8(200), []byte{1, 1, 2, 1, 3, 1, 0x80, 1, 0x80, 1, 0x80, 1, 4, 255})
	f.Fuzz(func(t *testing.T, perSecond, most, idle uint8, steps []byte) {
		rate := NewRate(float64(perSecond)/8, int64(perSecond%5))
		steps = steps[:min(len(steps), 400)]
		s, p := NewSources(uint64(idle)<<8, int(idle)), plain{}
		var open []netip.Addr
		now := ns
		for ; len(steps) >= 2; steps = steps[2:] {
			now += int64(steps[1]) * ns / 16
			if which := int(steps[0]); which >= 0x80 {
				if which -= 0x80; which < len(open) {
					s.Give(open[which])
					p[keyOf(open[which])].active--
					open = append(open[:which], open[which+1:]...)
				}
			} else {
				a := v4(which / 2)
				if which%2 == 1 {
					a = v6(which / 2)
				}
				got, want := s.Take(a, rate, int64(most), now), p.take(a, rate, int64(most), now)
				if got != want {
					if s.Evicted() == 0 || got != Admitted || want != TooFast || p[keyOf(a)].active > 0 {
						t.Fatalf("Take(%v) = %d, want %d; %d evicted", a, got, want, s.Evicted())
					}
					p[keyOf(a)].missing = 0
					p.take(a, rate, int64(most), now)
				}
				if got == Admitted {
					open = append(open, a)
				}
				if got := s.Active(a); got != p[keyOf(a)].active {
					t.Fatalf("%v has %d, want %d", a, got, p[keyOf(a)].active)
				}
			}
			check(t, s)
		}
	})
}
