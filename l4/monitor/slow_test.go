package monitor

import (
	"slices"
	"testing"
	"time"

	"weir/l4"
	"weir/lb"
)

// wantRamps checks the ramps of all members; -1 is one between.
func (r *rig) wantRamps(p *Plan, want ...int) {
	r.t.Helper()
	got := p.ramps()
	ok := len(got) == len(want)
	for i := range want {
		ok = ok && (int(got[i]) == want[i] || want[i] == -1 && got[i] > 10)
	}
	if !ok {
		r.t.Fatalf("ramps %v, want %v", got, want)
	}
}

// idle reports that the publisher waits for nothing.
func (r *rig) wantIdle() {
	r.t.Helper()
	if at := r.m.look(time.Now()); !at.IsZero() {
		r.t.Errorf("something is due in %v", time.Until(at))
	}
}

// One that comes back begins with a tenth of its share, which grows, by steps, to all of it. Then nothing is left to do.
func TestSlowStart(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(2, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check, p.SlowStart = r.check(), 20*time.Second
		p.Check.Rules = oneEach(time.Hour)
		r.follow(p)
		r.give(all[0], nil)
		r.give(all[1], errSick)
		r.wantRamps(p, 0, 0) // not those that the cluster begins with
		r.wantIdle()
		r.give(all[1], nil)
		r.wantUses(p, "01")
		r.wantRamps(p, 0, 10)
		if c := all[1].Condition(); !c.Rose.Equal(time.Now()) {
			t.Errorf("%+v", c)
		}
		for second := 1; second < 20; second++ {
			pass(time.Second)
			if n := int(p.ramps()[1]); n != max(10, 5*second) {
				t.Errorf("after %d s: %d %%", second, n)
			}
			if second == 10 {
				r.follow(p) // changes nothing
			}
		}
		pass(time.Second)
		r.wantRamps(p, 0, 0)
		if c := all[1].Condition(); !c.Rose.IsZero() {
			t.Errorf("%+v", c)
		}
		r.wantIdle()
		set := p.Cluster.Set()
		pass(20 * time.Second)
		if p.Cluster.Set() != set {
			t.Error("it is still published")
		}
		p.SlowStart = 24 * time.Hour // is for those that come up from now on
		r.follow(p)
		r.wantRamps(p, 0, 0)
		r.give(all[1], errSick)
		r.give(all[1], nil)
		r.wantRamps(p, 0, 10)
		r.give(all[1], errSick) // goes down while it ramps
		r.wantIdle()
		if c := all[1].Condition(); !c.Rose.IsZero() {
			t.Errorf("%+v", c)
		}
	})
}

// Those that are added later begin slowly as well: at once without checks, with the first check that passes otherwise, and with that of whom they track.
func TestSlowStartOfNew(t *testing.T) {
	bubble(t, func(r *rig) {
		one, other, tracking := endpoints(3, 80), endpoints(3, 81), endpoints(4, 81)
		plain := newPlan(t, "plain", one[:2], lb.Options{})
		checked := newPlan(t, "checked", other[:2], lb.Options{})
		checked.Check = r.check()
		tracker := newPlan(t, "tracker", tracking[:1], lb.Options{})
		tracker.Track = "checked"
		all := []*Plan{plain, checked, tracker}
		for _, p := range all {
			p.SlowStart = 10 * time.Second
		}
		r.follow(all...)
		r.give(other[0], nil)
		r.give(other[1], nil)
		plain = plain.with(t, one)
		checked = checked.with(t, other)
		tracker = tracker.with(t, tracking)
		for _, p := range all {
			r.wantRamps(p, slices.Repeat([]int{0}, len(p.Members))...)
		}
		r.follow(plain, checked, tracker)
		r.wantRamps(plain, 0, 0, 10)
		r.wantRamps(checked, 0, 0, 0)
		r.wantUses(checked, "01")
		r.wantRamps(tracker, 0, 10, 0, 10) // the last one has nobody to track
		pass(2 * time.Second)
		r.give(other[2], nil)
		r.wantUses(checked, "012")
		r.wantRamps(checked, 0, 0, 10)
		r.wantRamps(tracker, 0, -1, 10, -1)
		r.follow(plain, checked, tracker)
		pass(12 * time.Second)
		for _, p := range []*Plan{plain, checked, tracker} {
			r.wantRamps(p, slices.Repeat([]int{0}, len(p.Members))...)
		}
		r.wantIdle()
	})
}

// One that returns from its ejection begins slowly, unless its checks say that it is down.
func TestSlowStartAfterEjection(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(3, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.SlowStart, p.Outlier = 10*time.Second, outliers()
		r.follow(p)
		r.fail(all[0], 3)
		r.wantUses(p, "12")
		pass(30 * time.Second)
		r.wantUses(p, "012")
		r.wantRamps(p, 10, 0, 0)
		r.fail(all[0], 3)
		r.wantUses(p, "12")
		p.Outlier = nil
		r.follow(p)
		r.wantUses(p, "012")
		r.wantRamps(p, 10, 0, 0)

		p.Outlier, p.Check = outliers(), r.check()
		p.Check.Rules = oneEach(time.Second)
		r.follow(p)
		r.fail(all[1], 3)
		for _, e := range all {
			r.give(e, nil)
		}
		pass(20 * time.Second)
		r.fail(all[1], 3)
		r.give(all[1], errSick)
		for range 2 {
			pass(40 * time.Second)
			r.give(all[1], errSick)
		}
		if c := all[1].Condition(); c.Ejected || !c.Rose.IsZero() {
			t.Errorf("%+v", c)
		}
		r.give(all[1], nil)
		r.wantRamps(p, 0, 10, 0)
	})
}

// Steps are not shorter than rampLeast, and a build that has to wait for its time isn't looked at again and again before.
func TestRampSteps(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(2, 80)
		p := newPlan(t, "web", all[:1], lb.Options{})
		p.SlowStart = time.Second
		r.follow(p)
		p = p.with(t, []*l4.Endpoint{all[0], all[1]})
		r.follow(p)
		began := time.Now()
		if at := r.m.look(began); at.Sub(began) != rampLeast {
			t.Errorf("the next step is in %v", at.Sub(began))
		}
		wait := began.Add(time.Second / 2)
		r.m.mu.Lock()
		r.m.clusters["web"].notBefore = wait
		r.m.mu.Unlock()
		if at := r.m.look(began.Add(rampLeast)); !at.Equal(wait) {
			t.Errorf("the next look is in %v", at.Sub(began))
		}
		pass(2 * time.Second)
		r.wantRamps(p, 0, 0)
		r.wantIdle()
	})
}
