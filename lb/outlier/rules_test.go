package outlier

import (
	"math"
	"slices"
	"testing"
	"time"
)

const sec = int64(time.Second)

// cluster returns n members that were never ejected.
func cluster(n int) []*Record {
	members := make([]*Record, n)
	for i := range members {
		members[i] = new(Record)
	}
	return members
}

// ejected returns the indexes of those that are.
func ejected(members []*Record) (indexes []int) {
	for i, m := range members {
		if m.Ejected() {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// How many: Envoy's API reference, config.cluster.v3.OutlierDetection, max_ejection_percent: so much of a cluster at most,
// but one host in any case. (In newer versions of Envoy the latter is a choice of its own, always_eject_one_host.)
//
// On purpose different: the last host that isn't ejected stays, also if it is the only one or all may be ejected. It
// can't be worse than nobody.
func TestCap(t *testing.T) {
	tests := []struct {
		members int
		share   float64
		want    int
	}{
		{0, 1, 0}, {1, 0, 0}, {1, 1, 0},
		{2, 0, 1}, {2, 0.1, 1}, {2, 0.5, 1}, {2, 1, 1},
		{3, 0.1, 1}, {3, 0.66, 1}, {3, 0.67, 2}, {3, 1, 2},
		{9, 0.1, 1}, {10, 0.1, 1}, {19, 0.1, 1}, {20, 0.1, 2}, {30, 0.1, 3}, {1000, 0.1, 100},
		{10, 0.3, 3}, {10, 0.7, 7}, {100, 0.29, 29}, {100, 0.57, 57}, {50, 0.58, 29}, // products that come out a little too small
		{10, 0.9, 9}, {10, 0.99, 9}, {10, 1, 9},
		{10, 7, 9}, {10, math.Inf(1), 9}, {10, -1, 1}, {10, math.Inf(-1), 1}, {10, math.NaN(), 1},
	}
	for _, test := range tests {
		r := &Rules{Ejection: time.Second, MaxEjected: test.share}
		members := cluster(test.members)
		for i := range members {
			before := ejected(members)
			if got, want := r.Eject(members, i, 0, ConsecutiveFailures), i < test.want; got != want {
				t.Errorf("%v of %d: number %d: %v, want %v", test.share, test.members, i+1, got, want)
			} else if !got && (*members[i] != Record{} || !slices.Equal(before, ejected(members))) {
				t.Errorf("%v of %d: number %d wasn't ejected, but something changed", test.share, test.members, i+1)
			}
		}
	}
}

func TestEjectTwice(t *testing.T) {
	r := &Rules{Ejection: time.Second, MaxEjected: 1}
	members := cluster(3)
	if !r.Eject(members, 1, 5, ConsecutiveFailures) {
		t.Fatal("refused")
	}
	before := *members[1]
	if r.Eject(members, 1, 9, SuccessRate) || *members[1] != before {
		t.Error("ejected twice")
	}
}

// A place under the cap is free again when an ejection ends, and when the cluster grows; when it shrinks there may be
// too many.
func TestCapOfAChangingCluster(t *testing.T) {
	r := &Rules{Ejection: time.Second, MaxEjected: 0.2}
	all := cluster(15)
	members := all[:10]
	for i := range 2 {
		if !r.Eject(members, i, 0, ConsecutiveFailures) {
			t.Fatal("refused below the cap")
		}
	}
	if r.Eject(members, 2, 0, ConsecutiveFailures) {
		t.Error("a third one of ten")
	}
	if members = all; !r.Eject(members, 2, 0, ConsecutiveFailures) || r.Eject(members, 3, 0, ConsecutiveFailures) {
		t.Error("want a third one of fifteen, and no fourth")
	}
	if members = all[:3]; len(ejected(members)) != 3 {
		t.Error("a cluster that shrinks ends ejections")
	}
	if got := r.Due(members, sec, nil); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("%v are back", got)
	}
	if !r.Eject(members, 2, sec, ConsecutiveFailures) || r.Eject(members, 1, sec, ConsecutiveFailures) {
		t.Error("want one of three, and no second")
	}
}

// How long: Envoy's architecture overview, "Outlier detection", Ejection algorithm, and its API reference,
// config.cluster.v3.OutlierDetection:
//
//   - base_ejection_time: the time of an ejection is that, as many times as the host was ejected in a row;
//   - max_ejection_time: where that stops growing.
//
// On purpose different: the multiplier stops at the number that reaches the limit, where Envoy goes one further: such an
// ejection is no longer, but takes an interval more to forget. There is no max_ejection_time_jitter: no more come
// back at once than may be ejected.
func TestEjectionTime(t *testing.T) {
	const most = math.MaxInt64
	tests := []struct {
		name        string
		base, limit time.Duration
		now         int64
		want        []int64 // Until less now of the first, second, ...
		multiplier  int     // after the last
	}{
		{"longer and longer", 30, 300, 0, []int64{30, 60, 90, 120, 150, 180, 210, 240, 270, 300}, 10},
		{"up to the limit", 30, 100, 7, []int64{30, 60, 90, 100, 100, 100}, 4},
		{"the limit is a multiple", 30, 90, 7, []int64{30, 60, 90, 90, 90}, 3},
		{"as long as the limit", 30, 30, 7, []int64{30, 30, 30}, 1},
		{"longer than the limit", 30, 10, 7, []int64{10, 10, 10}, 1},
		{"a limit of a nanosecond more", 30, 31, 7, []int64{30, 31, 31}, 2},
		{"no limit", 30, 0, 7, []int64{30, 60, 90, 120}, 4},
		{"a limit below zero is none", 30, -1, 7, []int64{30, 60, 90}, 3},
		{"no time at all is the shortest", 0, 0, 7, []int64{1, 2, 3}, 3},
		{"so is less", -5, 2, 7, []int64{1, 2, 2}, 2},
		{"before zero", 30, 300, -5, []int64{30, 60}, 2},
		{"0 would be none", 30, 300, -30, []int64{31, 60}, 2},
		{"the longest", most, most, 0, []int64{most, most}, 1},
		{"without a limit it overflows", most/2 + 1, 0, 0, []int64{most/2 + 1, most, most}, 2},
		{"past the end of time", 30, 300, most - 40, []int64{30, 40, 40}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Rules{Ejection: test.base, MaxEjection: test.limit}
			members := cluster(2)
			for i, want := range test.want {
				if !r.Eject(members, 0, test.now, SuccessRate) {
					t.Fatal("refused")
				}
				m := members[0]
				if m.Until()-test.now != want || !m.Ejected() || m.Why() != SuccessRate {
					t.Errorf("ejection %d: %d long, ejected %v, for %v; want %d", i+1, m.Until()-test.now, m.Ejected(), m.Why(), want)
				}
				if got := r.Due(members, m.Until()-1, nil); len(got) > 0 {
					t.Errorf("ejection %d ended early", i+1)
				}
				if got := r.Due(members, m.Until(), nil); !slices.Equal(got, []int{0}) || m.Ejected() || m.Until() != 0 {
					t.Errorf("ejection %d didn't end: %v", i+1, got)
				}
			}
			if got := members[0].Multiplier(); got != test.multiplier {
				t.Errorf("multiplier %d, want %d", got, test.multiplier)
			}
		})
	}
}

func TestMultiplierSaturates(t *testing.T) {
	r := &Rules{Ejection: 1}
	members := []*Record{{multiplier: math.MaxInt32}, {}}
	if r.Eject(members, 0, 0, SuccessRate); members[0].Multiplier() != math.MaxInt32 || members[0].Until() != math.MaxInt32 {
		t.Errorf("multiplier %d, until %d", members[0].Multiplier(), members[0].Until())
	}
}

// How it is forgotten: Envoy's architecture overview, "Outlier detection", Ejection algorithm: at each interval, the
// multiplier of a host that is found healthy goes down by one. Envoy ends ejections at its intervals only, and a host whose
// ejection it ends there isn't found healthy until the next; here they end on time, and an endpoint was healthy if it was
// in use for the whole interval, which comes to the same.
func TestForgetting(t *testing.T) {
	tests := []struct {
		name  string
		steps string // E ejects, R returns, D lets the ejection end, J judges
		want  []int  // multiplier after each
	}{
		{"never ejected", "JJ", []int{0, 0}},
		{"in the interval of the ejection", "EDJ", []int{1, 1, 1}},
		{"in the interval after it", "EDJJ", []int{1, 1, 1, 0}},
		{"not below zero", "EDJJJ", []int{1, 1, 1, 0, 0}},
		{"not while ejected", "EJJJ", []int{1, 1, 1, 1}},
		{"not in the interval of the return", "EJJDJJ", []int{1, 1, 1, 1, 1, 0}},
		{"a check's return is no other", "EJJRJJ", []int{1, 1, 1, 1, 1, 0}},
		{"and leaves the multiplier", "ERERE", []int{1, 1, 2, 2, 3}},
		{"one in each interval", "EDEDEDJJJJ", []int{1, 1, 2, 2, 3, 3, 3, 2, 1, 0}},
		{"ejected again before it is forgotten", "EDEDJJEDJJJ", []int{1, 1, 2, 2, 2, 1, 2, 2, 2, 1, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Rules{Ejection: 10}
			members := cluster(2)
			m, now := members[0], int64(1)
			for i, step := range test.steps {
				now++
				switch step {
				case 'E':
					r.Eject(members, 0, now, ConsecutiveFailures)
				case 'R':
					m.Return()
				case 'D':
					now = m.Until()
					r.Due(members, now, nil)
				case 'J':
					r.Judge(members, make([]Sample, 2), now, nil)
				}
				if m.Multiplier() != test.want[i] {
					t.Errorf("after %s: %d, want %d", test.steps[:i+1], m.Multiplier(), test.want[i])
				}
			}
		})
	}
}

// Envoy's architecture overview, "Outlier detection", Ejection algorithm, note on active health checking: a host that
// passes an active check is no longer ejected.
func TestReturn(t *testing.T) {
	r := &Rules{Ejection: 10}
	members := cluster(2)
	if members[0].Return() {
		t.Error("returned from nowhere")
	}
	r.Eject(members, 0, 0, SuccessRate)
	if !members[0].Return() || members[0].Ejected() || members[0].Until() != 0 || members[0].Multiplier() != 1 || members[0].Why() != SuccessRate {
		t.Errorf("after the return: %+v", members[0])
	}
	if members[0].Return() {
		t.Error("returned twice")
	}
	if got := r.Due(members, math.MaxInt64, nil); len(got) > 0 {
		t.Error("the ejection ended again")
	}
}

func TestNextAndDue(t *testing.T) {
	r := &Rules{Ejection: 10, MaxEjected: 1}
	members := cluster(4)
	if at, ok := Next(members); ok || at != 0 {
		t.Errorf("Next says %d of nobody", at)
	}
	r.Eject(members, 2, 5, ConsecutiveFailures)
	r.Eject(members, 0, 3, ConsecutiveFailures)
	r.Eject(members, 3, 3, ConsecutiveFailures)
	if at, ok := Next(members); !ok || at != 13 {
		t.Errorf("Next says %d, %v, want 13", at, ok)
	}
	returned := r.Due(members, 12, []int{77})
	if returned = r.Due(members, 14, returned); !slices.Equal(returned, []int{77, 0, 3}) {
		t.Errorf("returned %v, want 0 and 3 after what was there", returned)
	}
	if at, ok := Next(members); !ok || at != 15 {
		t.Errorf("Next says %d, %v, want 15", at, ok)
	}
}

func TestWhyNames(t *testing.T) {
	for why, want := range map[Why]string{ConsecutiveFailures: "consecutive_failures", SuccessRate: "success_rate", 2: "invalid"} {
		if got := why.String(); got != want {
			t.Errorf("%d is %q, want %q", why, got, want)
		}
	}
}
