package monitor

import (
	"errors"
	"time"

	"weir/l4/probe"
	"weir/lb/health"
)

// event is something that happened to an endpoint, to be told when the lock is given back.
type event struct {
	entry *entry
	close bool
}

// report takes the result of a check and returns how long until the next one.
func (m *Monitor) report(e *entry, of *probe.Target, err error, took time.Duration) time.Duration {
	m.mu.Lock()
	if e.cluster == nil || e.target != of {
		m.mu.Unlock()
		return 0 // it was removed
	}
	if errors.Is(err, probe.ErrHere) {
		defer m.mu.Unlock()
		return m.couldNot(e, err)
	}
	m.unable = false
	now := time.Now()
	c := &e.condition
	c.At, c.Took, c.Result = now, took, ""
	c.Checks++
	if err != nil {
		c.ChecksFailed++
		c.Result = err.Error()
	}
	rules := &e.check.Rules
	was, since := c.Check, c.Since
	var events []event
	if e.machine.Observe(rules, err == nil) {
		c.Check, c.Since = e.machine.State(), now
		events = m.turned(e, was, since, events)
	}
	m.mayReturn(e, err == nil, rules)
	e.publish()
	for _, t := range e.trackers {
		if t.condition.Check != c.Check {
			was, since := t.condition.Check, t.condition.Since
			t.take(e)
			events = m.turned(t, was, since, events)
		} else {
			t.take(e)
		}
		t.publish()
	}
	wait := e.machine.Wait(rules, m.rand)
	m.mu.Unlock()
	m.tell(events)
	return wait
}

// couldNot deals with a check that failed on this side, for want of descriptors, say: that is no result, and the endpoint stays what it is.
func (m *Monitor) couldNot(e *entry, err error) time.Duration {
	if !m.unable {
		m.unable = true
		m.log.Error("health checks can't be made", "cluster", e.cluster.plan.Cluster.Name, "endpoint", e.endpoint.Address, "error", err)
	}
	e.condition.Result = err.Error()
	e.publish()
	return e.machine.Wait(&e.check.Rules, m.rand)
}

// turned deals with an endpoint whose checks have changed their mind.
func (m *Monitor) turned(e *entry, was health.State, since time.Time, events []event) []event {
	c := &e.condition
	cl := e.cluster
	attrs := []any{"cluster", cl.plan.Cluster.Name, "endpoint", e.endpoint.Address}
	if e.tracks != nil {
		attrs = append(attrs, "tracks", cl.plan.Track)
	}
	if was != health.Unknown && !since.IsZero() {
		attrs = append(attrs, "after", c.Since.Sub(since).Round(time.Millisecond))
	}
	switch {
	case c.Check == health.Down:
		c.WentDown++
		c.Rose = time.Time{}
		m.log.Warn("endpoint down", append(attrs, "result", c.Result)...)
		events = append(events, event{entry: e, close: cl.plan.Close})
	case was == health.Unknown:
		m.log.Debug("endpoint up", append(attrs, "result", "first check passed")...)
		m.rise(e, e.fresh)
	default:
		c.CameUp++
		m.log.Info("endpoint up", attrs...)
		m.rise(e, true)
	}
	cl.changed = true
	m.wake()
	return events
}

// rise begins a slow start, if the endpoint's cluster has one and there is reason.
func (m *Monitor) rise(e *entry, slowly bool) {
	e.fresh = false
	e.endpoint.Conduct.Forgive()
	if !slowly || e.cluster.plan.SlowStart <= 0 || e.condition.Health() != 0 {
		return
	}
	e.condition.Rose = time.Now()
	e.cluster.rampAt = e.condition.Rose
}

// mayReturn ends an ejection when checks pass: as many in a row as take an endpoint up.
func (m *Monitor) mayReturn(e *entry, ok bool, rules *health.Rules) {
	if !e.record.Ejected() {
		return
	}
	if !ok {
		e.passed = 0
		return
	}
	if e.passed++; e.passed >= rules.Rise && e.record.Return() {
		m.returned(e, "checks pass")
	}
}

// tell tells of endpoints that went down.
func (m *Monitor) tell(events []event) {
	if m.down == nil {
		return
	}
	for _, ev := range events {
		m.down(ev.entry.endpoint, ev.close)
	}
}
