package monitor

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/l4"
	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// fail has connections to an endpoint fail, and waits until all is done that follows from it.
func (r *rig) fail(e *l4.Endpoint, times int) {
	for range times {
		e.Failed(0)
	}
	synctest.Wait()
}

func oneEach(d time.Duration) health.Rules {
	return health.Rules{Interval: d, Fall: 1, Rise: 1}
}

// Failures in a row eject, for longer each time, and at most so many endpoints at once; those that come back begin to count anew.
func TestEjectConsecutive(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(5, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Outlier, p.Close = outliers(), true
		r.follow(p)
		r.fail(all[1], 2)
		all[1].Conduct.Succeeded()
		r.fail(all[1], 2)
		r.wantUses(p, "01234")
		r.wantSaid()
		r.fail(all[1], 1)
		r.wantUses(p, "0234")
		r.wantSaid(`level=WARN msg="endpoint ejected" cluster=web endpoint=10.0.0.1:80 why=consecutive_failures failures_in_a_row=3 for=30s ejections=1`)
		c := all[1].Condition()
		if !c.Ejected || c.Why != outlier.ConsecutiveFailures || time.Until(c.Until) != 30*time.Second || c.Ejections != 1 || all[1].Conduct.Failures() != 0 {
			t.Errorf("%+v", c)
		}
		r.fail(all[2], 4)
		r.fail(all[3], 5) // more than half
		r.wantUses(p, "034")
		if c := all[3].Condition(); c.Ejected {
			t.Errorf("%+v", c)
		}
		r.said()
		pass(29 * time.Second)
		r.wantUses(p, "034")
		pass(time.Second)
		r.wantUses(p, "0124") // the third goes when there is room
		got := r.said()
		if len(got) != 3 {
			t.Errorf("%q", got)
		}
		r.fail(all[1], 3)
		r.wantUses(p, "024")
		if d := time.Until(all[1].Condition().Until); d != time.Minute {
			t.Errorf("the second ejection lasts %v", d)
		}
		pass(30 * time.Second)
		r.wantUses(p, "0234")
		r.said()
		pass(30 * time.Second)
		r.wantSaid(`level=INFO msg="endpoint returns" cluster=web endpoint=10.0.0.1:80 why="its time is over"`)
		r.fail(all[1], 3)
		if d := time.Until(all[1].Condition().Until); d != 70*time.Second { // max_ejection
			t.Errorf("the third ejection lasts %v", d)
		}
		r.follow(p)
		r.wantUses(p, "0234")
		p = p.with(t, []*l4.Endpoint{all[1], all[0]})
		r.follow(p)
		r.wantUses(p, "1")
		r.said()
		p.Outlier = nil
		r.follow(p)
		r.wantUses(p, "01")
		r.wantSaid(`level=INFO msg="endpoint returns" cluster=web endpoint=10.0.0.1:80 why="nothing ejects any more"`)
		if c := all[1].Condition(); c.Ejected || !c.Until.IsZero() || c.Ejections != 3 {
			t.Errorf("%+v", c)
		}
		r.fail(all[1], 10)
		r.wantUses(p, "01")
		r.wantIdle()
		r.wantDowns() // an ejection isn't that
	})
}

// What many loops count together ejects once.
func TestEjectFromManyLoops(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(4, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Outlier = outliers()
		p.Outlier.Consecutive = 400
		r.follow(p)
		var loops sync.WaitGroup
		for range 4 {
			loops.Go(func() {
				for range 100 {
					all[2].Failed(0)
				}
			})
		}
		loops.Wait()
		r.wantSaid("endpoint=10.0.0.2:80 why=consecutive_failures failures_in_a_row=400")
		r.wantUses(p, "013")
	})
}

// Checks that pass, as many in a row as take an endpoint up, end its ejection, and that of those that track it.
func TestReturnByChecks(t *testing.T) {
	bubble(t, func(r *rig) {
		all, trackers := endpoints(2, 80), endpoints(2, 81)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check, p.Outlier = r.check(), outliers()
		tracker := newPlan(t, "tracker", trackers, lb.Options{})
		tracker.Track, tracker.Outlier = "web", outliers()
		r.follow(p, tracker)
		r.give(all[0], nil)
		r.give(all[1], nil)
		r.fail(all[0], 3)
		r.fail(trackers[0], 3)
		r.give(all[0], nil, nil, errSick, nil, nil)
		r.wantUses(p, "1")
		r.wantUses(tracker, "1")
		r.said()
		r.give(all[0], nil)
		r.wantUses(p, "01")
		r.wantUses(tracker, "01")
		r.wantSaid(`msg="endpoint returns" cluster=web endpoint=10.0.0.0:80 why="checks pass"`, `msg="endpoint returns" cluster=tracker endpoint=10.0.0.0:81 why="checks pass"`)
		// They are believed once: it is ejected again, and passes checks.
		r.fail(all[0], 3)
		r.give(all[0], nil, nil)
		r.follow(p, tracker)
		r.give(all[0], nil, nil, nil, nil)
		r.wantUses(p, "1")
		// But when they have failed meanwhile, they have seen it.
		r.give(all[0], errSick, nil, nil, nil)
		r.wantUses(p, "01")

		r.fail(all[0], 3)
		r.give(all[0], errSick, errSick)
		r.wantDowns("10.0.0.0:80 close=false", "10.0.0.0:81 close=false")
		r.give(all[0], nil, nil, nil) // up, and back
		r.wantUses(p, "01")
		if c := all[0].Condition(); c.Ejected || c.Check != health.Up || c.Ejections != 3 {
			t.Errorf("%+v", c)
		}
	})
}

// Success rates are those of an interval: what was before the first one, or before there were rules, is not looked at.
func TestEjectBySuccessRate(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(10, 80)
		p := newPlan(t, "web", all, lb.Options{})
		r.follow(p)
		all[9].Loops[0].Faults.Add(1000)
		serve := func(worse int) {
			for i, e := range all {
				e.Loops[0].Sessions.Add(150)
				e.Loops[1].Sessions.Add(50)
				if i == worse {
					e.Loops[0].Faults.Add(30)
					e.Loops[1].Faults.Add(20)
					e.Loops[1].Early.Add(20)
				} else {
					e.Loops[0].ConnectErrors.Add(50) // for want of ports, say
				}
			}
		}
		serve(8)
		p.Outlier = outliers()
		p.Outlier.Consecutive, p.Outlier.Stdev = 0, 1.9
		r.follow(p)
		serve(-1)
		pass(10 * time.Second)
		r.wantUses(p, "0123456789")
		serve(4)
		pass(5 * time.Second)
		r.follow(p)
		r.wantUses(p, "0123456789")
		pass(5 * time.Second)
		r.wantUses(p, "012356789")
		r.wantSaid(`level=WARN msg="endpoint ejected" cluster=web endpoint=10.0.0.4:80 why=success_rate failures_in_a_row=0 for=30s ejections=1`)
		for range 3 {
			serve(-1)
			pass(10 * time.Second)
		}
		r.wantUses(p, "0123456789")
		r.wantSaid("its time is over")
		p.Outlier = outliers() // other rules: sooner, and both kinds
		p.Outlier.Stdev, p.Outlier.Interval, p.Outlier.MaxEjected = 0.5, time.Second, 0.2
		r.follow(p)
		for i, e := range all {
			e.Loops[0].Sessions.Add(100)
			e.Loops[0].Faults.Add(uint64(10 * i))
		}
		pass(time.Second)
		r.wantUses(p, "01234567")
		p.Outlier = outliers()
		p.Outlier.Consecutive = 0
		r.follow(p)
		pass(time.Hour)
		r.wantUses(p, "0123456789")
		r.wantIdle()
	})
}
