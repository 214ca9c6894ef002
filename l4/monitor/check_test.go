package monitor

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
)

// The first check decides; then it takes Fall failures and Rise successes. Each change is logged once, counted, and published, and who goes down is told
// when nobody picks it any more.
func TestChecks(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(3, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check, p.Close = r.check(), true
		r.down = func(e *l4.Endpoint, _ bool) {
			for i := range all {
				if all[i] == e && p.Cluster.Set().Uses(i) {
					t.Errorf("endpoint %d is told to be down, and used", i)
				}
			}
		}
		r.follow(p)
		r.wantUses(p, "012")
		if c := all[0].Condition(); !c.Checked || c.Check != health.Unknown || !c.At.IsZero() {
			t.Errorf("before its first check: %+v", c)
		}
		r.give(all[0], nil)
		r.wantSaid(`level=DEBUG msg="endpoint up" cluster=web endpoint=10.0.0.0:80 result="first check passed"`)
		r.give(all[1], errSick)
		r.wantSaid(`level=WARN msg="endpoint down" cluster=web endpoint=10.0.0.1:80 result=sick`)
		r.wantDowns("10.0.0.1:80 close=true")
		r.wantUses(p, "0") // what is known to be well is preferred
		r.give(all[2], nil)
		r.wantUses(p, "02")
		r.wantState(all[1], health.Down, 1, 1, 1, 0)
		if c := all[1].Condition(); c.Result != "sick" || c.At.IsZero() || !c.Since.Equal(c.At) {
			t.Errorf("%+v", c)
		}
		r.said()

		r.give(all[0], errSick, nil, errSick)
		r.wantState(all[0], health.Up, 4, 2, 0, 0)
		r.wantSaid()
		r.wantUses(p, "02")
		since := all[0].Condition().Since
		r.give(all[0], errSick)
		r.wantState(all[0], health.Down, 5, 3, 1, 0)
		r.wantSaid(fmt.Sprintf(`level=WARN msg="endpoint down" cluster=web endpoint=10.0.0.0:80 after=%v result=sick`, all[0].Condition().Since.Sub(since).Round(time.Millisecond)))
		r.wantDowns("10.0.0.0:80 close=true")
		r.wantUses(p, "2")

		r.give(all[0], nil, nil, errSick, nil, nil)
		r.wantSaid()
		since = all[0].Condition().Since
		r.give(all[0], nil)
		r.wantState(all[0], health.Up, 11, 4, 1, 1)
		r.wantSaid(fmt.Sprintf(`level=INFO msg="endpoint up" cluster=web endpoint=10.0.0.0:80 after=%v`, all[0].Condition().Since.Sub(since).Round(time.Millisecond)))
		r.wantUses(p, "02")
		r.wantDowns()
		if c := all[0].Condition(); c.Result != "" || !c.Rose.IsZero() {
			t.Errorf("%+v", c)
		}
	})
}

// Checks go to another address and port where the plan says so.
func TestCheckElsewhere(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(1, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = r.check()
		p.Check.Address, p.Check.Port = netip.MustParseAddr("192.0.2.1"), 8080
		r.follow(p)
		r.of(netip.MustParseAddrPort("192.0.2.1:8080")) <- errSick
		r.wantSaid("endpoint=10.0.0.0:80", "no endpoint left")
		r.wantState(all[0], health.Down, 1, 1, 1, 0)
	})
}

// A check that could not be made is no result; that it can't be is logged once a minute.
func TestCheckCouldNot(t *testing.T) {
	bubble(t, func(r *rig) {
		all := endpoints(2, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = r.check()
		r.follow(p)
		r.give(all[0], nil)
		r.said()
		here := fmt.Errorf("%w: too many open files", probe.ErrHere)
		r.give(all[0], here)
		r.wantSaid(`level=ERROR msg="health checks can't be made" cluster=web endpoint=10.0.0.0:80 error=`)
		r.give(all[0], here, here, nil, here)
		r.give(all[1], here)
		r.wantSaid()
		r.wantState(all[0], health.Up, 2, 0, 0, 0)
		r.wantState(all[1], health.Unknown, 0, 0, 0, 0)
		pass(time.Minute)
		r.give(all[0], here)
		r.wantSaid("health checks can't be made")
		if c := all[0].Condition(); c.Result != here.Error() {
			t.Errorf("%+v", c)
		}
		r.give(all[0], nil)
		r.wantSaid()
		pass(ableAfter)
		r.give(all[0], nil, nil)
		r.wantSaid(`level=INFO msg="health checks can be made again"`)
		// Who is down keeps the reason for that.
		r.give(all[0], errSick, errSick, errSick)
		r.said()
		r.give(all[0], here)
		if c := all[0].Condition(); c.Check != health.Down || c.Result != errSick.Error() {
			t.Errorf("%+v", c)
		}
	})
}

// What becomes of a whole cluster is logged once for each change.
func TestClusterLines(t *testing.T) {
	for _, tc := range []struct {
		threshold float64
		uses      [5]string
		lines     [4][]string
	}{
		{0, [5]string{"0123", "", "0", "", "0123"}, [4][]string{
			{`level=ERROR msg="cluster has no endpoint left" cluster=web endpoints=4`},
			{`level=INFO msg="cluster recovers" cluster=web in_use=1 endpoints=4`},
			{"no endpoint left"},
			{"cluster recovers"},
		}},
		{0.5, [5]string{"0123", "0123 panics", "0123 panics", "0123 panics", "0123"}, [4][]string{
			{`level=ERROR msg="cluster panics: too few endpoints are healthy, all are used" cluster=web endpoints=4 panic_threshold=0.5`},
			{}, {},
			{`level=INFO msg="cluster recovers" cluster=web in_use=2 endpoints=4`},
		}},
	} {
		t.Run(fmt.Sprint(tc.threshold), func(t *testing.T) {
			bubble(t, func(r *rig) {
				all := endpoints(4, 80)
				p := newPlan(t, "web", all, lb.Options{PanicThreshold: tc.threshold})
				p.Check = r.check()
				p.Check.Rules.Fall, p.Check.Rules.Rise = 1, 1
				step := 0
				want := func() {
					t.Helper()
					var lines []string
					for _, l := range r.said() {
						if len(l) > 0 && !strings.Contains(l, `"endpoint `) {
							lines = append(lines, l)
						}
					}
					r.wantUses(p, tc.uses[step])
					if step > 0 {
						if len(lines) != len(tc.lines[step-1]) {
							t.Fatalf("step %d: %q", step, lines)
						}
						for i, l := range tc.lines[step-1] {
							if !strings.Contains(lines[i], l) {
								t.Fatalf("step %d: %s", step, lines[i])
							}
						}
					} else if len(lines) != 0 {
						t.Fatalf("%q", lines)
					}
					step++
				}
				each := func(err error) {
					for _, e := range all {
						r.give(e, err)
					}
				}
				r.follow(p)
				each(nil)
				want()
				each(errSick)
				want()
				r.give(all[0], nil)
				want()
				r.give(all[0], errSick)
				r.follow(p) // nothing new
				want()
				each(nil)
				want()
			})
		})
	}
}
