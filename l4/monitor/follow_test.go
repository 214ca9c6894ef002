package monitor

import (
	"testing"
	"time"

	"weir/l4"
	"weir/lb"
	"weir/lb/health"
)

// Following the same again leaves the checks alone, and what they have come to; so does a cluster with other endpoints, in another order.
func TestFollowAgain(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(4, 80)
		p := newPlan(t, "web", all[:3], lb.Options{})
		p.Check = r.check()
		r.follow(p)
		for i, e := range all[:3] {
			r.give(e, []error{nil, errSick, nil}[i])
		}
		r.give(all[2], errSick)
		before := [3]l4.Condition{all[0].Condition(), all[1].Condition(), all[2].Condition()}
		r.said()
		same := func() {
			t.Helper()
			for i, was := range before {
				if c := all[i].Condition(); c != was {
					t.Errorf("endpoint %d: %+v, was %+v", i, c, was)
				}
			}
			r.wantSaid()
		}
		for range 3 {
			r.follow(p)
			same()
			r.wantUses(p, "02")
		}
		if n := r.m.Stats().Targets; n != 3 {
			t.Errorf("%d targets", n)
		}
		p = p.with(t, []*l4.Endpoint{all[3], all[2], all[1], all[0]})
		r.follow(p)
		same()
		r.wantUses(p, "13")
		if n := r.m.Stats().Targets; n != 4 {
			t.Errorf("%d targets", n)
		}
		r.give(all[2], errSick) // the second in a row
		r.wantUses(p, "3")
		r.give(all[3], nil)
		r.wantUses(p, "03")
		p = p.with(t, []*l4.Endpoint{all[1], all[3]})
		r.follow(p)
		r.wantUses(p, "1")
		if n := r.m.Stats().Targets; n != 2 {
			t.Errorf("%d targets", n)
		}
		r.follow()
		if n := r.m.Stats(); n.Targets != 0 || n.Running != 0 {
			t.Errorf("%+v", n)
		}
		r.follow(p) // a cluster of the same endpoints, of which nothing is known
		r.wantUses(p, "01")
		if c := all[1].Condition(); c.Check != health.Unknown || c.Checks != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// Another check begins anew, from the state that the one before it has left. Without a check an endpoint is well, and nothing is known of it.
func TestFollowOtherCheck(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(2, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = r.check()
		r.follow(p)
		r.give(all[0], errSick)
		r.give(all[1], nil)
		r.said()
		other := *p
		other.Check = r.check()
		other.Check.Rules.Rise = 2
		other.Check.Port = 8080
		r.follow(&other)
		if n := r.m.Stats(); n.Targets != 2 || n.Done != 2 {
			t.Errorf("%+v", n)
		}
		r.wantState(all[0], health.Down, 1, 1, 1, 0)
		r.wantUses(p, "1")
		at := l4.NewEndpoint(addr(0, 8080), 1)
		r.give(at, nil)
		r.wantUses(p, "1")
		r.give(at, nil)
		r.wantUses(p, "01")
		r.wantSaid(`msg="endpoint up"`)
		r.give(at, errSick, errSick)
		r.wantUses(p, "1")
		r.said()

		other.Check = nil
		r.follow(&other)
		r.wantUses(p, "01")
		r.wantState(all[0], health.Unknown, 5, 3, 2, 1)
		if c := all[0].Condition(); c.Checked || c.Result != "" || !c.At.IsZero() || c.Took != 0 {
			t.Errorf("%+v", c)
		}
		if n := r.m.Stats(); n.Targets != 0 || n.Running != 0 {
			t.Errorf("%+v", n)
		}
		r.follow(p)
		r.give(all[0], errSick) // the first one decides again
		r.wantUses(p, "1")
	})
}

// A result that comes when its endpoint isn't checked any more, or by another check, is none.
func TestLateResult(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(1, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = r.check()
		r.follow(p)
		r.give(all[0], nil)
		r.said()
		e := r.m.clusters["web"].entries[0]
		late := e.target
		other := *p
		other.Check = r.check()
		for _, plans := range [][]*Plan{{&other}, {}} {
			r.follow(plans...)
			for range 3 {
				late.Report(errSick, 0)
			}
			r.wantState(all[0], health.Up, 1, 0, 0, 0)
		}
		r.follow(p)
		late = r.m.clusters["web"].entries[0].target
		before := all[0].Condition()
		r.m.Close()
		late.Report(errSick, 0)
		r.m.Follow([]Plan{*p})
		r.m.Close()
		if c := all[0].Condition(); c != before {
			t.Errorf("%+v, was %+v", c, before)
		}
		r.wantSaid()
	})
}

// A cluster that tracks another has its results: of the same address, else of the same host, with lines, counts and on_down of its own.
func TestTrack(t *testing.T) {
	bubble(t, func(r *rig) {
		checked := newPlan(t, "checked", append(endpoints(3, 80), l4.NewEndpoint(addr(0, 81), 2)), lb.Options{})
		checked.Check = r.check()
		from := checked.Cluster.Endpoints
		mine := []*l4.Endpoint{l4.NewEndpoint(addr(0, 81), 2), l4.NewEndpoint(addr(1, 9000), 2), l4.NewEndpoint(addr(0, 9000), 2), l4.NewEndpoint(addr(9, 80), 2)}
		p := newPlan(t, "tracker", mine, lb.Options{})
		p.Track, p.Close = "checked", true
		r.follow(p, checked)
		nothing := `level=WARN msg="an endpoint has nothing to track: it counts as healthy" cluster=tracker endpoint=10.0.0.9:80 track=checked`
		r.wantSaid(nothing)
		r.follow(p, checked)
		r.wantSaid() // it is known
		r.wantUses(p, "3")
		for _, e := range from {
			r.give(e, nil)
		}
		r.wantUses(p, "0123")
		r.said()
		r.give(from[0], errSick, errSick)
		r.wantUses(p, "013") // 0 has its own address
		r.wantSaid(`msg="endpoint down" cluster=checked endpoint=10.0.0.0:80 after=`, `msg="endpoint down" cluster=tracker endpoint=10.0.0.0:9000 tracks=checked after=`)
		r.wantDowns("10.0.0.0:80 close=false", "10.0.0.0:9000 close=true")
		r.wantState(mine[2], health.Down, 0, 0, 1, 0)
		if c := mine[2].Condition(); !c.Checked || c.Result != "sick" || !c.Since.Equal(from[0].Condition().Since) || mine[3].Condition().Checked {
			t.Errorf("%+v", c)
		}
		before := mine[2].Condition()
		r.follow(p, checked)
		if c := mine[2].Condition(); c != before {
			t.Errorf("%+v, was %+v", c, before)
		}
		r.wantSaid()

		p = p.with(t, []*l4.Endpoint{mine[3], mine[2], mine[1], l4.NewEndpoint(addr(0, 9001), 2)})
		r.follow(p, checked) // one that is down comes
		r.wantUses(p, "02")
		r.wantSaid(`msg="endpoint down" cluster=tracker endpoint=10.0.0.0:9001 tracks=checked result=sick`)
		r.wantDowns("10.0.0.0:9001 close=true")
		r.give(from[0], nil, nil, nil)
		r.wantUses(p, "0123")
		r.said()

		r.give(from[1], errSick, errSick)
		r.wantDowns("10.0.0.1:80 close=false", "10.0.0.1:9000 close=true")
		r.said()
		other := newPlan(t, "other", []*l4.Endpoint{l4.NewEndpoint(addr(1, 82), 2), l4.NewEndpoint(addr(0, 82), 2)}, lb.Options{})
		other.Check = r.check()
		r.follow(p, checked, other)
		r.give(other.Cluster.Endpoints[0], nil)
		r.give(other.Cluster.Endpoints[1], errSick)
		r.said()
		r.wantDowns("10.0.0.0:82 close=false")
		p.Track = "other"
		r.follow(p, checked, other)
		r.wantUses(p, "02")
		if n := len(r.said()); n != 3 { // one is up, two are down; one has still nothing to track, which is known
			t.Errorf("%d lines", n)
		}
		r.wantState(mine[1], health.Up, 0, 0, 1, 1)
		p.Track = ""
		r.follow(p, checked)
		r.wantUses(p, "0123")
		if c := mine[2].Condition(); c.Checked || c.Check != health.Unknown || c.Result != "" {
			t.Errorf("%+v", c)
		}
		p.Track = "nobody"
		r.follow(p)
		r.wantUses(p, "0123")
		p.Track, p.Check = "", r.check()
		r.follow(p)
		r.give(mine[2], errSick)
		r.wantState(mine[2], health.Down, 1, 1, 3, 1)
	})
}

// Options.Down may follow other plans.
func TestDownFollows(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(2, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = r.check()
		next := p.with(t, all[1:])
		r.down = func(*l4.Endpoint, bool) { r.m.Follow([]Plan{*next}) }
		r.follow(p)
		r.give(all[0], errSick)
		r.wantDowns("10.0.0.0:80 close=false")
		if n := r.m.Stats().Targets; n != 1 {
			t.Errorf("%d targets", n)
		}
		r.give(all[1], errSick)
		r.wantDowns("10.0.0.1:80 close=false")
		r.wantUses(next, "")
	})
}

// Checks that many endpoints begin with are spread over time.
func TestSpread(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(100, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = r.check()
		r.follow(p)
		pass(50 * time.Millisecond)
		if n := r.m.Stats().Running; n < 30 || n > 70 {
			t.Errorf("%d of 100 checks have begun when half the time is over", n)
		}
		pass(100 * time.Millisecond)
		if n := r.m.Stats().Running; n != 100 {
			t.Errorf("%d of 100 checks have begun", n)
		}
		for _, e := range all {
			r.give(e, nil)
		}
		if n := len(r.said()); n != 100 {
			t.Errorf("%d lines", n)
		}
	})
}
