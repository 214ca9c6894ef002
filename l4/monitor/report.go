package monitor

import (
	"errors"
	"log/slog"
	"time"

	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
)

// report takes the result of a check and returns how long until the next one.
func (m *Monitor) report(e *entry, of *probe.Target, err error, took time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.cluster == nil || e.target != of {
		return 0 // it was removed
	}
	if errors.Is(err, probe.ErrHere) {
		return m.couldNot(e, err)
	}
	now := time.Now()
	m.able(now)
	c := &e.condition
	c.At, c.Took, c.Result = now, took, ""
	c.Checks++
	if err != nil {
		c.ChecksFailed++
		c.Result = err.Error()
	}
	rules := &e.check.Rules
	was, since := c.Check, c.Since
	if e.machine.Observe(rules, err == nil) {
		c.Check, c.Since = e.machine.State(), now
		m.turned(e, was, since)
	}
	m.mayReturn(e, err == nil, rules)
	e.publish()
	for _, t := range e.trackers {
		m.take(t)
		m.mayReturn(t, err == nil, rules)
		t.publish()
	}
	return e.machine.Wait(rules, m.rand)
}

// take takes over what the checks of the endpoint say that this one tracks.
func (m *Monitor) take(e *entry) {
	c, of := &e.condition, &e.tracks.condition
	was, since := c.Check, c.Since
	c.Checked, c.Check, c.Since, c.Result, c.At, c.Took = of.Checked, of.Check, of.Since, of.Result, of.At, of.Took
	if c.Check != was && c.Check != health.Unknown {
		m.turned(e, was, since)
	}
}

// unableEvery is how often it is logged that checks can't be made.
const unableEvery = time.Minute

// ableAfter is how long no check may have failed on this side for all to be well again.
const ableAfter = 10 * time.Second

// able notes that a check could be made.
func (m *Monitor) able(now time.Time) {
	if !m.unable.IsZero() && now.Sub(m.lastUnable) >= ableAfter {
		m.unable = time.Time{}
		m.say(slog.LevelInfo, "health checks can be made again")
	}
}

// couldNot deals with a check that failed on this side, for want of descriptors, say: that is no result, and the endpoint stays what it is.
func (m *Monitor) couldNot(e *entry, err error) time.Duration {
	if now := time.Now(); m.unable.IsZero() || now.Sub(m.unable) >= unableEvery {
		m.unable = now
		m.say(slog.LevelError, "health checks can't be made", "cluster", e.cluster.plan.Cluster.Name, "endpoint", e.endpoint.Address, "error", err)
	}
	m.lastUnable = time.Now()
	if e.condition.Check != health.Down { // which has its own reason
		e.condition.Result = err.Error()
		e.publish()
		for _, t := range e.trackers {
			t.condition.Result = e.condition.Result
			t.publish()
		}
	}
	return e.machine.Wait(&e.check.Rules, m.rand)
}

// turned deals with an endpoint whose checks have changed their mind.
func (m *Monitor) turned(e *entry, was health.State, since time.Time) {
	c := &e.condition
	cl := e.cluster
	attrs := []any{"cluster", cl.plan.Cluster.Name, "endpoint", e.endpoint.Address}
	if e.tracks != nil {
		attrs = append(attrs, "tracks", cl.plan.Track)
	}
	if was != health.Unknown && !since.IsZero() {
		attrs = append(attrs, "after", time.Since(since).Round(time.Millisecond))
	}
	switch {
	case c.Check == health.Down:
		c.WentDown++
		c.Rose = time.Time{}
		m.say(slog.LevelWarn, "endpoint down", append(attrs, "result", c.Result)...)
		cl.downs = append(cl.downs, down{e.endpoint, cl.plan.Close})
	case was == health.Unknown:
		m.say(slog.LevelDebug, "endpoint up", append(attrs, "result", "first check passed")...)
		m.rise(e, e.fresh)
	default:
		c.CameUp++
		m.say(slog.LevelInfo, "endpoint up", attrs...)
		m.rise(e, true)
	}
	cl.changed = true
	m.wake()
}

// rise begins a slow start, if the endpoint's cluster has one and there is reason.
func (m *Monitor) rise(e *entry, slowly bool) {
	e.fresh = false
	e.endpoint.Conduct.Forgive()
	if !slowly || e.cluster.plan.SlowStart <= 0 || e.condition.Health() != lb.Healthy {
		return
	}
	e.condition.Rose = time.Now()
	e.cluster.rampAt = e.condition.Rose
}

// mayReturn ends an ejection when checks pass: as many in a row as take an endpoint up. They are believed once. An endpoint that is ejected again passes
// checks and fails connections: it is out for its time, unless checks have failed meanwhile, and so have seen what was wrong.
func (m *Monitor) mayReturn(e *entry, ok bool, rules *health.Rules) {
	if !e.record.Ejected() {
		return
	}
	if !ok {
		e.passed, e.doubted = 0, false
		return
	}
	if e.passed++; e.passed >= rules.Rise && !e.doubted && e.record.Return() {
		e.doubted = true
		m.returned(e, "checks pass")
	}
}
