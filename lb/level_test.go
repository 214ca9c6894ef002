package lb

import (
	"math"
	"slices"
	"testing"
	"time"
)

// Which members a set uses, by health and level. Envoy's documentation has the first lines under "Panic threshold" (half of the hosts by default, all
// of them below that) and under "Priority levels" (the next level helps out before there is a panic); HAProxy's under "backup".
func TestLevels(t *testing.T) {
	const ok, new, bad = Healthy, Unknown, Unhealthy
	type m struct {
		health   Health
		priority uint16
		backup   bool
	}
	for _, test := range []struct {
		name   string
		panic  float64
		of     []m
		want   []int
		panics bool
	}{
		{"all well", 0.5, []m{{health: ok}, {health: ok}}, []int{0, 1}, false},
		{"half is enough", 0.5, []m{{health: ok}, {health: bad}}, []int{0}, false},
		{"less than half", 0.5, []m{{health: ok}, {health: bad}, {health: bad}}, []int{0, 1, 2}, true},
		{"none is well", 0.5, []m{{health: bad}, {health: bad}}, []int{0, 1}, true},
		{"none is well, no threshold", 0, []m{{health: bad}, {health: bad}}, nil, false},
		{"one is well, no threshold", 0, []m{{health: bad}, {health: ok}, {health: bad}}, []int{1}, false},
		{"all are to be well", 1, []m{{health: ok}, {health: bad}}, []int{0, 1}, true},
		{"at the start", 0.5, []m{{health: new}, {health: new}}, []int{0, 1}, false},
		{"at the start, no threshold", 0, []m{{health: new}, {health: new}}, []int{0, 1}, false},
		{"some are known", 0.5, []m{{health: ok}, {health: new}, {health: new}, {health: bad}}, []int{0, 1, 2}, false},
		{"enough are known", 0.5, []m{{health: ok}, {health: ok}, {health: new}, {health: bad}}, []int{0, 1}, false},
		{"new ones don't wait behind backups", 0.5, []m{{health: new}, {health: ok, backup: true}}, []int{0}, false},
		{"backup waits", 0.5, []m{{health: ok}, {health: bad}, {health: ok, backup: true}}, []int{0}, false},
		{"backup helps out", 0.5, []m{{health: ok}, {health: bad}, {health: bad}, {health: ok, backup: true}}, []int{0, 3}, false},
		{"backup helps out, not enough", 0.5, []m{{}, {health: bad}, {health: bad}, {health: bad}, {health: bad}, {backup: true}, {health: bad, backup: true}}, []int{0, 1, 2, 3, 4, 5}, true},
		{"backup serves", 0, []m{{health: bad}, {health: ok, backup: true}}, []int{1}, false},
		{"priorities", 0.5, []m{{priority: 2}, {priority: 1}, {priority: 1}}, []int{1, 2}, false},
		{"next priority", 0.5, []m{{priority: 2}, {priority: 1, health: bad}, {priority: 3}}, []int{0}, false},
		{"backups are behind all priorities", 0.5, []m{{backup: true}, {priority: math.MaxUint16}, {health: bad}}, []int{1}, false},
		{"backups have priorities, too", 0.5, []m{{backup: true, priority: 1}, {backup: true}, {health: bad}}, []int{1}, false},
	} {
		members := make([]Member, len(test.of))
		for i, of := range test.of {
			members[i] = Member{Endpoint: NewEndpoint(addr(i)), Weight: 1, Health: of.health, Priority: of.priority, Backup: of.backup}
		}
		for _, p := range allPolicies {
			s := mustSet(t, Options{Policy: p, PanicThreshold: test.panic}, members)
			var got []int
			for i := range members {
				if s.Uses(i) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, test.want) || s.InUse() != len(test.want) || s.Panics() != test.panics {
				t.Errorf("%s, %v: uses %v, panics %v; want %v, %v", test.name, p, got, s.Panics(), test.want, test.panics)
			}
			if test.want == nil {
				if _, v := s.Pick(&Request{}); v != NoEndpoint {
					t.Errorf("%s, %v: %v", test.name, p, v)
				}
			} else if i, v := s.Pick(&Request{}); v != Picked || !slices.Contains(test.want, i) {
				t.Errorf("%s, %v: picked %d, %v; want one of %v", test.name, p, i, v, test.want)
			} else {
				members[i].Endpoint.Release()
			}
		}
	}
}

// What is drained or has no weight is neither healthy nor missing.
func TestLevelsLeaveOut(t *testing.T) {
	members := cluster(1, 1, 1, 0, 1)
	members[0].State, members[1].State, members[4].Health = Drain, Maint, Unhealthy
	members[3].Health = Unhealthy
	if s := mustSet(t, Options{PanicThreshold: 0.5}, members); s.Panics() || !s.Uses(2) || s.InUse() != 1 {
		t.Errorf("panics %v, %d in use", s.Panics(), s.InUse())
	}
}

func TestRamp(t *testing.T) {
	for _, test := range []struct {
		since, over time.Duration
		want        uint8
	}{
		{0, 0, 0}, {0, time.Second, 10}, {-1, time.Second, 10}, {time.Second / 20, time.Second, 10}, {time.Second / 2, time.Second, 50},
		{time.Second - 1, time.Second, 99}, {time.Second, time.Second, 0}, {time.Hour, time.Second, 0}, {1 << 62, math.MaxInt64, 50},
	} {
		if got := Ramp(test.since, test.over); got != test.want {
			t.Errorf("%v of %v: %d, want %d", test.since, test.over, got, test.want)
		}
	}
}

// A member in its slow start gets its percentage, by the policies that go by weight.
func TestSlowStartShares(t *testing.T) {
	for _, p := range []Policy{RoundRobin, Random, RingHash, Maglev, LeastConnections} {
		members := cluster(2, 2, 2)
		members[1].Ramp = 25
		s := mustSet(t, Options{Policy: p}, members)
		const n = 9000
		counts := pickCounts(t, s, n, 0)
		want := float64(n) * 0.25 / 2.25
		if p == LeastConnections || p == RoundRobin {
			if math.Abs(float64(counts[1])-want) > 1 {
				t.Errorf("%v: %v, want %v for the second", p, counts, want)
			}
		} else if got := float64(counts[1]); got < want*0.8 || got > want*1.2 {
			t.Errorf("%v: %v, want about %v for the second", p, counts, want)
		}
	}
}

// A slow start moves keys only to the member that starts.
func TestSlowStartMovesNoOtherKeys(t *testing.T) {
	for _, p := range []Policy{RingHash} {
		members := cluster(1, 1, 1, 1)
		before := mustSet(t, Options{Policy: p}, members)
		members[2].Ramp = 40
		after := mustSet(t, Options{Policy: p}, members)
		for key := range uint64(5000) {
			r := &Request{Hash: mix64(key)}
			a, b := mustPick(t, before, r), mustPick(t, after, r)
			members[a].Endpoint.Release()
			members[b].Endpoint.Release()
			if a != b && a != 2 {
				t.Fatalf("%v: key %d went from %d to %d", p, key, a, b)
			}
		}
	}
}
