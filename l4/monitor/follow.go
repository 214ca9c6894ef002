package monitor

import (
	"net/netip"
	"time"

	"weir/l4"
	"weir/l4/probe"
	"weir/lb/health"
	"weir/lb/outlier"
)

// Follow has these clusters watched, and no others. What stays goes on as it was.
func (m *Monitor) Follow(plans []Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clusters == nil {
		return // closed
	}
	before := m.clusters
	m.clusters = make(map[string]*cluster, len(plans))
	known := map[*l4.Endpoint]*entry{}
	for _, c := range before {
		for _, e := range c.entries {
			known[e.endpoint] = e
		}
	}
	for i := range plans {
		c := m.follow(&plans[i], before[plans[i].Cluster.Name], known)
		m.clusters[plans[i].Cluster.Name] = c
	}
	for _, e := range known {
		m.forget(e)
	}
	m.track()
	m.begin()
	m.wake()
}

// follow makes what is watched of a cluster; old is what was, nil = nothing. It takes the endpoints that it has out of known.
func (m *Monitor) follow(p *Plan, old *cluster, known map[*l4.Endpoint]*entry) *cluster {
	c := &cluster{plan: *p, changed: true}
	if old != nil {
		c.inUse, c.panics, c.everInUse, c.judgeAt, c.rampAt, c.notBefore = old.inUse, old.panics, old.everInUse, old.judgeAt, old.rampAt, old.notBefore
	}
	for _, endpoint := range p.Cluster.Endpoints {
		e := known[endpoint]
		if e == nil {
			e = &entry{endpoint: endpoint, fresh: old != nil && p.SlowStart > 0}
			e.counted = outcomes(endpoint)
		}
		delete(known, endpoint)
		e.cluster, e.trackers, e.tracks = c, nil, nil
		if p.Check != e.check || p.Check == nil {
			m.stopChecking(e)
		}
		e.check = p.Check
		if p.Outlier == nil {
			e.record = outlier.Record{}
			e.endpoint.Conduct.Watch(0, nil)
		} else {
			e.endpoint.Conduct.Watch(p.Outlier.Consecutive, m.wake)
		}
		e.condition.Checked = p.Check != nil
		if !e.condition.Checked {
			e.machine = health.Machine{}
		}
		e.note(time.Now())
		if e.fresh && p.Check == nil && p.Track == "" {
			m.rise(e, true)
		}
		e.publish()
		c.entries = append(c.entries, e)
		c.records = append(c.records, &e.record)
	}
	switch {
	case p.Outlier == nil || p.Outlier.Stdev == 0 && p.Outlier.Consecutive == 0:
		c.judgeAt = time.Time{}
	case c.judgeAt.IsZero() || old.plan.Outlier == nil || old.plan.Outlier.Interval != p.Outlier.Interval:
		c.judgeAt = time.Now().Add(p.Outlier.Interval)
	}
	return c
}

// forget ends what is watched of an endpoint.
func (m *Monitor) forget(e *entry) {
	m.stopChecking(e)
	e.endpoint.Conduct.Watch(0, nil)
	e.cluster = nil
}

func (m *Monitor) stopChecking(e *entry) {
	if e.target != nil {
		m.probes.Remove(e.target)
		e.target = nil
	}
}

// begin begins the checks of the endpoints that have none yet, spread over time.
func (m *Monitor) begin() {
	var fresh []*entry
	for _, c := range m.clusters {
		if c.plan.Check == nil {
			continue
		}
		for _, e := range c.entries {
			if e.target == nil {
				fresh = append(fresh, e)
			}
		}
	}
	for i, e := range fresh {
		check := e.check
		e.target = &probe.Target{Check: check.Check, Address: check.at(e.endpoint.Address)}
		target := e.target
		target.Report = func(err error, took time.Duration) time.Duration { return m.report(e, target, err, took) }
		m.probes.Add(target, health.Spread(i, len(fresh), check.Rules.Interval, m.rand))
	}
}

// track finds whose results the endpoints of clusters take that track others.
func (m *Monitor) track() {
	for _, c := range m.clusters {
		of := m.clusters[c.plan.Track]
		if c.plan.Track == "" || of == nil {
			continue
		}
		byAddress, byHost := map[netip.AddrPort]*entry{}, map[netip.Addr]*entry{}
		for _, e := range of.entries {
			byAddress[e.endpoint.Address] = e
			if byHost[e.endpoint.Address.Addr()] == nil {
				byHost[e.endpoint.Address.Addr()] = e
			}
		}
		for _, e := range c.entries {
			found := byAddress[e.endpoint.Address]
			if found == nil {
				found = byHost[e.endpoint.Address.Addr()]
			}
			if found == nil {
				m.log.Warn("an endpoint has nothing to track: it counts as well", "cluster", c.plan.Cluster.Name, "endpoint", e.endpoint.Address, "track", c.plan.Track)
				continue
			}
			e.tracks, found.trackers = found, append(found.trackers, e)
			e.condition.Checked = found.condition.Checked
			e.take(found)
			e.note(time.Now())
			e.publish()
		}
	}
}

// take takes over what the checks of another endpoint say.
func (e *entry) take(of *entry) {
	c, o := &e.condition, &of.condition
	c.Check, c.Since, c.Result, c.At, c.Took = o.Check, o.Since, o.Result, o.At, o.Took
}

// note brings the condition up to date with the record of ejections.
func (e *entry) note(now time.Time) {
	c := &e.condition
	if e.tracks == nil {
		if c.Check != e.machine.State() {
			c.Check, c.Since = e.machine.State(), now
		}
		if !c.Checked {
			c.Result, c.At = "", time.Time{}
		}
	}
	if c.Ejected = e.record.Ejected(); !c.Ejected {
		c.Until = time.Time{}
	}
}

// publish makes the condition known to others.
func (e *entry) publish() { e.endpoint.SetCondition(e.condition) }

// outcomes are what an endpoint's counters say of its connections so far.
func outcomes(e *l4.Endpoint) (s outlier.Sample) {
	for i := range e.Loops {
		n := &e.Loops[i]
		early := n.Early.Load()
		s.Failures += n.Refused.Load() + n.TimedOut.Load() + n.ConnectErrors.Load() + early
		s.Successes += n.Sessions.Load()
		s.Successes -= min(early, s.Successes)
	}
	return s
}
