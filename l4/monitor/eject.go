package monitor

import (
	"log/slog"
	"time"

	"weir/lb/outlier"
)

// ejectSuspects ejects the endpoints that have failed too often in a row.
func (m *Monitor) ejectSuspects(c *cluster, now time.Time) {
	rules := c.plan.Outlier
	if rules == nil || rules.Consecutive <= 0 {
		return
	}
	for i, e := range c.entries {
		if e.record.Ejected() || e.endpoint.Conduct.Failures() < rules.Consecutive {
			continue
		}
		if !rules.Eject(c.records, i, m.since(now), outlier.ConsecutiveFailures) {
			return // nor is there room for another
		}
		m.ejected(e)
	}
}

// judge looks at the success rates since the last look.
func (m *Monitor) judge(c *cluster, now time.Time) {
	rules := c.plan.Outlier
	samples := make([]outlier.Sample, len(c.entries))
	for i, e := range c.entries {
		total := outcomes(e.endpoint)
		samples[i] = outlier.Sample{Successes: grown(e.counted.Successes, total.Successes), Failures: grown(e.counted.Failures, total.Failures)}
		e.counted = total
	}
	for _, i := range rules.Judge(c.records, samples, m.since(now), nil) {
		m.ejected(c.entries[i])
	}
	for _, e := range c.entries {
		if e.record.Multiplier() == 0 {
			e.doubted = false
		}
	}
	c.judgeAt = now.Add(rules.Interval)
}

// grown is how much a sum of counters has grown; those of several loops aren't read at one time, and may seem to have shrunk.
func grown(was, is uint64) uint64 { return is - min(was, is) }

// ejected deals with an endpoint that was ejected.
func (m *Monitor) ejected(e *entry) {
	c := &e.condition
	c.Ejected, c.Why, c.Until = true, e.record.Why(), m.start.Add(time.Duration(e.record.Until()))
	c.Ejections++
	c.Rose = time.Time{}
	failures := e.endpoint.Conduct.Failures()
	e.endpoint.Conduct.Forgive()
	e.passed = 0
	e.publish()
	e.cluster.changed = true
	m.say(slog.LevelWarn, "endpoint ejected", "cluster", e.cluster.plan.Cluster.Name, "endpoint", e.endpoint.Address, "why", c.Why.String(),
		"failures_in_a_row", failures, "for", time.Until(c.Until).Round(time.Millisecond), "ejections", c.Ejections)
}

// returned deals with an endpoint whose ejection has ended.
func (m *Monitor) returned(e *entry, why string) {
	e.condition.Ejected, e.condition.Until = false, time.Time{}
	m.rise(e, true)
	e.publish()
	e.cluster.changed = true
	m.wake()
	m.say(slog.LevelInfo, "endpoint returns", "cluster", e.cluster.plan.Cluster.Name, "endpoint", e.endpoint.Address, "why", why)
}
