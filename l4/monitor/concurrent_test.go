package monitor

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l4"
	"weir/lb"
	"weir/lb/health"
)

// moody is a check whose results are random, until it is well.
type moody struct{ well atomic.Bool }

func (c *moody) Run(context.Context, netip.AddrPort) error {
	if !c.well.Load() && rand.IntN(3) == 0 {
		return errSick
	}
	return nil
}

// Checks, traffic, changes of the configuration, readers and on_down all at once: what is published in the end is right.
func TestAtOnce(t *testing.T) {
	check, told := &moody{}, atomic.Int64{}
	rules := []*Check{
		{Check: check, Rules: health.Rules{Interval: time.Millisecond, Rise: 2, Fall: 2}},
		{Check: check, Rules: health.Rules{Interval: 2 * time.Millisecond, FastInterval: time.Millisecond, Rise: 1, Fall: 1}},
	}
	all, trackers := endpoints(50, 80), endpoints(50, 81)
	var plans sync.Mutex // as control has one
	var p, tracker *Plan
	var m *Monitor
	follow := func(check *Check, all []*l4.Endpoint) {
		plans.Lock()
		defer plans.Unlock()
		if p == nil {
			p, tracker = newPlan(t, "web", all, lb.Options{}), newPlan(t, "tracker", trackers, lb.Options{PanicThreshold: 0.5})
		} else {
			p = p.with(t, all)
		}
		p.Check, p.Outlier, p.SlowStart = check, outliers(), time.Millisecond
		p.Outlier.Ejection, p.Outlier.MaxEjection, p.Outlier.Interval, p.Outlier.Stdev = 2*time.Millisecond, 5*time.Millisecond, 3*time.Millisecond, 1
		tracker.Track = "web"
		m.Follow([]Plan{*p, *tracker})
	}
	ready := make(chan struct{})
	m = New(Options{Log: slog.New(slog.DiscardHandler), Seed: 1, Down: func(*l4.Endpoint, bool) {
		if told.Add(1)%50 == 0 {
			<-ready
			follow(rules[0], all)
		}
	}})
	follow(rules[0], all)
	close(ready)
	stop := make(chan struct{})
	var others sync.WaitGroup
	each := func(what func(rng *rand.Rand)) {
		others.Go(func() {
			rng, tick := rand.New(rand.NewPCG(1, 2)), time.NewTicker(100*time.Microsecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					what(rng)
				}
			}
		})
	}
	for loop := range 2 {
		each(func(rng *rand.Rand) {
			e := all[rng.IntN(len(all))]
			e.Loops[loop].Sessions.Add(100)
			if rng.IntN(3) == 0 {
				e.Conduct.Succeeded()
				return
			}
			e.Loops[loop].Refused.Add(10)
			for range 3 {
				e.Failed(0)
			}
		})
	}
	each(func(rng *rand.Rand) {
		if rng.IntN(20) == 0 {
			follow(rules[rng.IntN(2)], all[:25+rng.IntN(26)])
		}
	})
	each(func(rng *rand.Rand) {
		_, _ = all[rng.IntN(len(all))].Condition(), m.Stats()
	})
	eventually(t, "checks are made", func() bool { return m.Stats().Done > 5000 && told.Load() > 200 })
	close(stop)
	others.Wait()
	check.well.Store(true)
	follow(rules[1], all)
	eventually(t, "all are used", func() bool {
		plans.Lock()
		defer plans.Unlock()
		set, tracks := p.Cluster.Set(), tracker.Cluster.Set()
		return set.InUse() == len(all) && tracks.InUse() == len(trackers) && !tracks.Panics() && !ramping(set)
	})
	for i := range all {
		if one, other := all[i].Condition(), trackers[i].Condition(); one.Check != health.Up || one.Ejected || other.Check != health.Up {
			t.Errorf("endpoint %d: %+v, %+v", i, one, other)
		}
	}
	m.Close()
	if s := m.Stats(); s.Targets != 0 || s.Running != 0 {
		t.Errorf("%+v", s)
	}
}

// ramping reports whether a member is in its slow start.
func ramping(set *lb.Set) bool {
	for i := range set.Len() {
		if set.Member(i).Ramp != 0 {
			return true
		}
	}
	return false
}
