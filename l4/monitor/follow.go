package monitor

import (
	"log/slog"
	"net/netip"
	"time"

	"weir/l4"
	"weir/l4/probe"
	"weir/lb"
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
	for _, c := range m.clusters {
		for _, e := range c.entries {
			m.settle(e)
		}
	}
	m.begin()
	m.wake()
}

// follow makes what is watched of a cluster; old is what was, nil = nothing. It takes the endpoints that it has out of known.
func (m *Monitor) follow(p *Plan, old *cluster, known map[*l4.Endpoint]*entry) *cluster {
	c := new(cluster)
	if old != nil {
		*c = *old
	} else {
		c.inUse = p.Cluster.Set().InUse()
		c.everInUse = c.inUse > 0
	}
	c.plan, c.changed, c.entries, c.records = *p, true, nil, nil
	judges := p.Outlier != nil && (p.Outlier.Stdev > 0 || p.Outlier.Consecutive > 0)
	begins := judges && c.judgeAt.IsZero()
	for _, endpoint := range p.Cluster.Endpoints {
		e := known[endpoint]
		if e == nil {
			e = &entry{endpoint: endpoint, fresh: old != nil && p.SlowStart > 0}
		}
		delete(known, endpoint)
		if e.cluster == nil || begins {
			e.counted = outcomes(endpoint)
		}
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
		if p.Track == "" {
			e.trackless = false
			e.itself()
		} else {
			e.machine = health.Machine{}
		}
		c.entries = append(c.entries, e)
		c.records = append(c.records, &e.record)
	}
	switch {
	case !judges:
		c.judgeAt = time.Time{}
	case begins || old.plan.Outlier.Interval != p.Outlier.Interval:
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
		if c.plan.Track == "" {
			continue
		}
		byAddress, byHost := map[netip.AddrPort]*entry{}, map[netip.Addr]*entry{}
		if of := m.clusters[c.plan.Track]; of != nil {
			for _, e := range of.entries {
				byAddress[e.endpoint.Address] = e
				if byHost[e.endpoint.Address.Addr()] == nil {
					byHost[e.endpoint.Address.Addr()] = e
				}
			}
		}
		for _, e := range c.entries {
			found := byAddress[e.endpoint.Address]
			if found == nil {
				found = byHost[e.endpoint.Address.Addr()]
			}
			if found == nil {
				m.noTrack(e)
				continue
			}
			e.tracks, e.trackless, found.trackers = found, false, append(found.trackers, e)
			m.take(e)
		}
	}
}

// noTrack deals with an endpoint that finds nobody to track.
func (m *Monitor) noTrack(e *entry) {
	e.itself()
	if !e.trackless {
		e.trackless = true
		m.say(slog.LevelWarn, "an endpoint has nothing to track: it counts as healthy",
			"cluster", e.cluster.plan.Cluster.Name, "endpoint", e.endpoint.Address, "track", e.cluster.plan.Track)
	}
}

// itself brings the condition up to date with the endpoint's own checks, or with there being none.
func (e *entry) itself() {
	c := &e.condition
	if c.Checked = e.check != nil; !c.Checked {
		e.machine = health.Machine{}
		c.Result, c.At, c.Took = "", time.Time{}, 0
	}
	if c.Check != e.machine.State() {
		c.Check, c.Since = e.machine.State(), time.Now()
	}
}

// settle makes of an endpoint what the plans come to.
func (m *Monitor) settle(e *entry) {
	c := &e.condition
	if c.Ejected && !e.record.Ejected() {
		m.returned(e, "nothing ejects any more")
	}
	if e.fresh && c.Health() == lb.Healthy {
		m.rise(e, true)
	}
	e.publish()
}

// publish makes the condition known to others.
func (e *entry) publish() { e.endpoint.SetCondition(e.condition) }

// outcomes are what an endpoint's counters say of its connections so far.
func outcomes(e *l4.Endpoint) (s outlier.Sample) {
	for i := range e.Loops {
		n := &e.Loops[i]
		s.Failures += n.Faults.Load()
		s.Successes += n.Sessions.Load()
		s.Successes -= min(n.Early.Load(), s.Successes) // they were connected, and failed
	}
	return s
}
