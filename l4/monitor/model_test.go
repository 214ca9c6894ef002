package monitor

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"weir/l4"
	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// Random results, failures and plans, against a model of what is in use when nothing is under way.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(r *rig) {
				m := &model{rig: r, t: t, rng: rand.New(rand.NewPCG(seed, 3)), check: [2]*Check{r.check(), r.check()}}
				m.check[1].Rules.Rise, m.check[1].Rules.Fall = 1, 3
				for range 200 {
					m.step()
					m.compare()
				}
				for _, p := range m.plans { // and all is well again
					for _, e := range p.entries {
						e.endpoint.Conduct.Forgive()
					}
				}
				pass(time.Hour)
				for _, p := range m.plans {
					for _, e := range p.entries {
						if c := e.endpoint.Condition(); c.Ejected || !c.Rose.IsZero() {
							t.Errorf("%+v", c)
						}
					}
				}
			})
		})
	}
}

const modelEjection = 30 * time.Second

// model is what is known of the clusters a, b, and c, which tracks a now and then.
type model struct {
	*rig
	t     *testing.T
	rng   *rand.Rand
	check [2]*Check
	plans []*modelPlan
	ports int
}

type modelPlan struct {
	*Plan
	entries []*modelEntry
}

type modelEntry struct {
	endpoint *l4.Endpoint
	id       int
	machine  health.Machine
	state    health.State
	checked  bool
	tracks   *modelEntry
	failures int
	passed   int
	until    time.Time // zero = it isn't ejected
	fresh    bool      // has a slow start before it
}

func (e *modelEntry) rise() { e.failures, e.fresh = 0, false }

func (m *model) step() {
	switch m.rng.IntN(10) {
	case 0:
		m.replan()
	case 1:
		pass(time.Duration(m.rng.IntN(40)) * time.Second / 2)
	case 2, 3, 4:
		if e, _ := m.any(); e != nil {
			n := 1 + m.rng.IntN(3)
			m.fail(e.endpoint, n)
			e.failures += n
		}
	default:
		if e, p := m.any(); e != nil && p.Check != nil {
			m.result(e, p)
		}
	}
	m.elapse(time.Now())
}

func (m *model) any() (*modelEntry, *modelPlan) {
	if len(m.plans) == 0 {
		return nil, nil
	}
	p := m.plans[m.rng.IntN(len(m.plans))]
	if len(p.entries) == 0 {
		return nil, nil
	}
	return p.entries[m.rng.IntN(len(p.entries))], p
}

// result has the next check of an endpoint have a result.
func (m *model) result(e *modelEntry, p *modelPlan) {
	var err error
	if m.rng.IntN(5) < 2 {
		err = errSick
	}
	m.give(e.endpoint, err)
	m.elapse(time.Now())
	e.machine.Observe(&p.Check.Rules, err == nil)
	take := func(e *modelEntry, to health.State) {
		if e.state != to && to == health.Up {
			e.rise()
		}
		e.state = to
		switch {
		case e.until.IsZero():
		case err != nil:
			e.passed = 0
		default:
			if e.passed++; e.passed >= p.Check.Rules.Rise {
				e.until = time.Time{}
				e.rise()
			}
		}
	}
	take(e, e.machine.State())
	for _, p := range m.plans {
		for _, t := range p.entries {
			if t.tracks == e {
				take(t, e.state)
			}
		}
	}
}

// elapse ends the ejections that are over by now, and begins those for which there is reason and room.
func (m *model) elapse(now time.Time) {
	for _, p := range m.plans {
		if p.Outlier == nil {
			continue
		}
		for {
			first := time.Time{}
			for _, e := range p.entries {
				if !e.until.IsZero() && !e.until.After(now) && (first.IsZero() || e.until.Before(first)) {
					first = e.until
				}
			}
			at := now
			if !first.IsZero() {
				at = first
			}
			for _, e := range p.entries {
				if !e.until.IsZero() && !e.until.After(at) {
					e.until = time.Time{}
					e.rise()
				}
			}
			ejected := 0
			for _, e := range p.entries {
				if !e.until.IsZero() {
					ejected++
				}
			}
			for _, e := range p.entries {
				if e.until.IsZero() && e.failures >= p.Outlier.Consecutive && ejected < min(max(1, len(p.entries)/2), len(p.entries)-1) {
					e.until, e.failures, e.passed = at.Add(modelEjection), 0, 0
					ejected++
				}
			}
			if first.IsZero() {
				break
			}
		}
	}
}

// replan follows other plans.
func (m *model) replan() {
	before := map[string]*modelPlan{}
	for _, p := range m.plans {
		before[p.Cluster.Name] = p
	}
	m.plans = nil
	var plans []*Plan
	for c, name := range []string{"a", "b", "c"} {
		if m.rng.IntN(8) == 0 {
			continue
		}
		p := m.other(c, name, before[name])
		m.plans = append(m.plans, p)
		plans = append(plans, p.Plan)
	}
	for _, p := range m.plans {
		for _, e := range p.entries {
			m.settleEntry(p, e)
		}
	}
	m.follow(plans...)
}

// other makes another plan for a cluster, of some of its endpoints and others, in any order.
func (m *model) other(c int, name string, old *modelPlan) *modelPlan {
	p, slow := &modelPlan{}, time.Duration(m.rng.IntN(2))*5*time.Second
	var all []*l4.Endpoint
	for _, id := range m.rng.Perm(6)[:m.rng.IntN(6)] {
		var e *modelEntry
		if old != nil {
			for _, was := range old.entries {
				if was.id == id {
					e = was
				}
			}
		}
		if e == nil { // a port of its own, so that nobody takes another's result; the same host
			m.ports++
			e = &modelEntry{id: id, endpoint: l4.NewEndpoint(addr(id, 1000*(c+1)+m.ports), 2), fresh: old != nil && slow > 0}
		}
		p.entries, all = append(p.entries, e), append(all, e.endpoint)
	}
	o := lb.Options{PanicThreshold: float64(m.rng.IntN(3)) / 3}
	if old == nil {
		p.Plan = newPlan(m.t, name, all, o)
	} else {
		p.Plan = old.with(m.t, all)
		p.Options = o
	}
	p.Check, p.Track, p.Outlier, p.SlowStart = nil, "", nil, slow
	if k := m.rng.IntN(4); c == 2 && k > 0 {
		p.Track = "a"
	} else if k < 2 {
		p.Check = m.check[k]
	}
	if m.rng.IntN(3) > 0 {
		p.Outlier = &outlier.Rules{Consecutive: 3, Interval: 1000 * time.Hour, Ejection: modelEjection, MaxEjection: modelEjection, MaxEjected: 0.5}
	}
	return p
}

// settleEntry makes of an endpoint what the plans say. Those of cluster a have gone before.
func (m *model) settleEntry(p *modelPlan, e *modelEntry) {
	e.tracks, e.checked = nil, p.Check != nil
	if p.Track != "" {
		e.machine = health.Machine{}
		for _, a := range m.plans[0].entries {
			if m.plans[0].Cluster.Name == "a" && a.id == e.id {
				e.tracks = a
			}
		}
	}
	was := e.state
	switch {
	case e.tracks != nil:
		e.checked, e.state = e.tracks.checked, e.tracks.state
		if e.state != was && e.state == health.Up {
			e.rise()
		}
	case !e.checked:
		e.machine, e.state = health.Machine{}, health.Unknown
	default:
		e.state = e.machine.State()
	}
	if p.Outlier == nil && !e.until.IsZero() {
		e.until = time.Time{}
		e.rise()
	}
	if e.fresh && e.until.IsZero() && (!e.checked || e.state == health.Up) {
		e.rise()
	}
}

// compare compares what is with what should be.
func (m *model) compare() {
	m.t.Helper()
	for _, p := range m.plans {
		for _, e := range p.entries {
			if d := time.Until(e.until); !e.until.IsZero() && d < 10*time.Millisecond {
				pass(20 * time.Millisecond)
				m.elapse(time.Now())
			}
		}
	}
	for _, p := range m.plans {
		members := append([]lb.Member(nil), p.Members...)
		for i, e := range p.entries {
			c := e.endpoint.Condition()
			if c.Checked != e.checked || c.Check != e.state || c.Ejected == e.until.IsZero() {
				m.t.Fatalf("cluster %s, endpoint %d: %+v, want %+v", p.Cluster.Name, i, c, e)
			}
			members[i].Health = c.Health()
		}
		set, err := lb.NewSet(p.Options, members)
		if err != nil {
			m.t.Fatal(err)
		}
		want := *p.Plan
		want.Cluster = l4.NewCluster("", p.Cluster.Endpoints, set, 2)
		m.wantUses(p.Plan, want.uses())
	}
}
