package monitor

import (
	"log/slog"
	"time"

	"weir/l4"
	"weir/lb"
	"weir/lb/outlier"
)

// publishShare is the share of the time that building one cluster's sets may take: what a build has cost, the next one waits so many times longer.
const publishShare = 10

// rampSteps is how many steps a slow start has, at most one each rampLeast.
const (
	rampSteps = 20
	rampLeast = 100 * time.Millisecond
)

// run publishes what has changed, and does what is due, until Close.
func (m *Monitor) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.wakes:
		case <-timer.C:
		}
		if at := m.look(time.Now()); at.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(time.Until(at), time.Millisecond))
		}
	}
}

// look does what is due and returns when something is due next; zero = not before it is woken.
func (m *Monitor) look(now time.Time) (next time.Time) {
	next, downs := m.tendAll(now)
	if m.down != nil {
		for _, d := range downs {
			m.down(d.endpoint, d.close)
		}
	}
	return next
}

// tendAll does what is due for all clusters and returns when something is due next, and which endpoints have gone down.
func (m *Monitor) tendAll(now time.Time) (next time.Time, downs []down) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, c := range m.clusters {
		sooner(m.tend(c, now))
	}
	downs, m.downs = m.downs, nil
	return next, downs
}

// tend does what is due for a cluster and returns when something is due next.
func (m *Monitor) tend(c *cluster, now time.Time) (next time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if rules := c.plan.Outlier; rules != nil {
		for _, i := range rules.Due(c.records, m.since(now), nil) {
			m.returned(c.entries[i], "its time is over")
		}
		m.ejectSuspects(c, now)
		if !c.judgeAt.IsZero() && !now.Before(c.judgeAt) {
			m.judge(c, now)
		}
		if at, ok := outlier.Next(c.records); ok {
			sooner(m.start.Add(time.Duration(at)))
		}
		sooner(c.judgeAt)
	}
	if !c.rampAt.IsZero() && !now.Before(c.rampAt) {
		c.changed = true
	}
	if c.changed && now.Before(c.notBefore) {
		sooner(c.notBefore)
		return next
	}
	if c.changed {
		m.publish(c, now)
	}
	sooner(c.rampAt)
	return next
}

// publish builds the set of a cluster from what is known now, and has the loops pick from it.
func (m *Monitor) publish(c *cluster, now time.Time) {
	c.changed = false
	m.downs, c.downs = append(m.downs, c.downs...), nil
	members, ramping := c.members(now)
	c.rampAt = time.Time{}
	if ramping {
		c.rampAt = now.Add(max(c.plan.SlowStart/rampSteps, rampLeast))
	}
	began := time.Now()
	set, err := c.plan.Cluster.Set().Next(c.plan.Options, members)
	if err != nil { // the members were good when the cluster was built
		m.say(slog.LevelError, "cluster not updated", "cluster", c.plan.Cluster.Name, "error", err)
		return
	}
	c.plan.Cluster.Publish(set)
	c.notBefore = time.Now().Add(publishShare * time.Since(began))
	m.logSet(c, set)
}

// members are the cluster's with what is known of their health.
func (c *cluster) members(now time.Time) (members []lb.Member, ramping bool) {
	members = make([]lb.Member, len(c.plan.Members))
	for i, e := range c.entries {
		members[i] = c.plan.Members[i]
		Overlay(&members[i], &e.condition, c.plan.SlowStart, now)
		if members[i].Ramp != 0 {
			ramping = true
		} else if !e.condition.Rose.IsZero() {
			e.condition.Rose = time.Time{} // its slow start is over
			e.publish()
		}
	}
	return members, ramping
}

// Overlay puts what is known of an endpoint over its member.
func Overlay(to *lb.Member, c *l4.Condition, slowStart time.Duration, now time.Time) {
	to.Health = c.Health()
	if !c.Rose.IsZero() {
		to.Ramp = lb.Ramp(now.Sub(c.Rose), slowStart)
	}
}

// logSet tells when a cluster has nobody left, panics, or is well again.
func (m *Monitor) logSet(c *cluster, set *lb.Set) {
	name := c.plan.Cluster.Name
	used, panics := set.InUse(), set.Panics()
	switch {
	case used == 0 && c.inUse > 0:
		m.say(slog.LevelError, "cluster has no endpoint left", "cluster", name, "endpoints", set.Len())
	case panics && !c.panics:
		m.say(slog.LevelError, "cluster panics: too few endpoints are healthy, all are used", "cluster", name, "endpoints", set.Len(), "panic_threshold", c.plan.Options.PanicThreshold)
	case used > 0 && !panics && (c.panics || c.inUse == 0 && c.everInUse):
		m.say(slog.LevelInfo, "cluster recovers", "cluster", name, "in_use", used, "endpoints", set.Len())
	}
	c.inUse, c.panics, c.everInUse = used, panics, c.everInUse || used > 0
}
