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
	next, builds := m.tendAll(now)
	for i := range builds {
		if again := m.build(&builds[i]); !again.IsZero() && (next.IsZero() || again.Before(next)) {
			next = again
		}
	}
	return next
}

// tendAll does what is due for all clusters and returns when something is due next, and the sets that are to be built.
func (m *Monitor) tendAll(now time.Time) (next time.Time, builds []build) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sooner := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, c := range m.clusters {
		sooner(m.tend(c, now))
		if c.changed && !now.Before(c.notBefore) {
			builds = append(builds, c.begin(now))
			sooner(c.rampAt)
		}
	}
	return next, builds
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
	switch {
	case !c.changed:
		sooner(c.rampAt)
	case now.Before(c.notBefore):
		sooner(c.notBefore)
	}
	return next
}

// build is a set that is to be built: of a ring of 10,000 that takes 50 ms and more, in which nobody is to wait for the lock.
type build struct {
	cluster *cluster
	members []lb.Member
	downs   []down // to be told of when it is published
}

// begin takes down what is known now of a cluster. Under the lock.
func (c *cluster) begin(now time.Time) build {
	c.changed = false
	members, ramping := c.members(now)
	c.rampAt = time.Time{}
	if ramping {
		c.rampAt = now.Add(max(c.plan.SlowStart/rampSteps, rampLeast))
	}
	b := build{cluster: c, members: members, downs: c.downs}
	c.downs = nil
	return b
}

// build builds a set, has the loops pick from it, and returns when the cluster is to be looked at again; zero = not for this. Only the publisher's
// goroutine calls it, and nobody else publishes.
func (m *Monitor) build(b *build) (again time.Time) {
	c := b.cluster
	began := time.Now()
	set, err := c.plan.Cluster.Set().Next(c.plan.Options, b.members)
	took := time.Since(began)
	m.mu.Lock()
	downs := b.downs
	switch now := m.clusters[c.plan.Cluster.Name]; now {
	case c:
		if err != nil { // the members were good when the cluster was built
			m.say(slog.LevelError, "cluster not updated", "cluster", c.plan.Cluster.Name, "error", err)
		} else {
			c.plan.Cluster.Publish(set)
			m.logSet(c, set)
		}
		c.notBefore = time.Now().Add(publishShare * took)
		if c.changed {
			again = c.notBefore
		}
	case nil:
	default: // Follow has made another one of it, whose turn comes
		now.downs, downs = append(downs, now.downs...), nil
	}
	m.mu.Unlock()
	if m.down != nil {
		for _, d := range downs {
			m.down(d.endpoint, d.close)
		}
	}
	return again
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
