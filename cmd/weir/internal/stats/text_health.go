package stats

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/l4"
	"weir/lb"
)

// stateWidth is the most columns that an endpoint's state takes in a table, reasonWidth the most that one takes in a line of its own.
const (
	stateWidth  = 38
	reasonWidth = 80
)

// stateText is the state of an endpoint as an operator wants to read it: what keeps it from new connections, or how it takes them.
func (e *EndpointReport) stateText(now time.Time) string {
	text := e.trouble(now)
	switch {
	case text != "" && e.Backup && !e.Usable():
		return text + ", backup"
	case text != "":
		return text
	case e.InUse && e.WeightPercent > 0:
		text = fmt.Sprintf("starting %d%%", e.WeightPercent)
	case e.unchecked():
		text = "unchecked"
	case e.InUse:
		text = "ready"
	case e.Backup:
		return "backup"
	default:
		return "standby"
	}
	switch {
	case e.Backup && e.InUse:
		return text + ", backup in use"
	case e.Backup:
		return text + ", backup"
	}
	return text
}

// trouble says what is wrong with an endpoint, or meant to be; "" = nothing.
func (e *EndpointReport) trouble(now time.Time) string {
	switch {
	case e.State != lb.Ready.String():
		return e.State
	case e.Weight == 0:
		return "weight 0"
	case e.Down():
		return e.despite("down"+forText(now, e.Check.Since)) + reasonText(e.Check.Result)
	case e.Ejected():
		return e.despite("ejected"+forText(e.Outlier.Until, now)) + reasonText(e.Outlier.Why)
	}
	return ""
}

// despite adds that new connections go to an endpoint that isn't well.
func (e *EndpointReport) despite(text string) string {
	if e.InUse {
		return text + ", in use"
	}
	return text
}

// forText is how long it is from one time to a later one, in whole seconds; "" if one of them is unknown.
func forText(later, earlier time.Time) string {
	if later.IsZero() || earlier.IsZero() {
		return ""
	}
	seconds := max(0, later.Sub(earlier).Round(time.Second).Seconds())
	if seconds < 60 {
		return fmt.Sprintf(" %.0fs", seconds)
	}
	return " " + humanSeconds(seconds)
}

func reasonText(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + printable(reason)
}

// cut shortens text that is wider than so many columns.
func cut(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-3]) + "..."
}

// stateText is how many of the cluster's endpoints are in use.
func (c *ClusterReport) stateText() string {
	text := fmt.Sprintf("%d/%d in use", c.InUse, len(c.Endpoints))
	if c.Panic {
		text += " PANIC"
	}
	return text
}

// writeLimits writes what clusters with limits have; nothing if there is none.
func writeLimits(b *strings.Builder, r *Report) {
	t := textTable{left: 1}
	t.row("cluster", "active", "max", "pending", "max", "retrying", "max", "waited", "p50", "p99", "cluster_full", "pending_full", "pending_timeout", "retry_limit")
	for i := range r.Clusters {
		c := &r.Clusters[i]
		l := &c.Limits
		if !l.any() {
			continue
		}
		p50, p99 := "-", "-"
		if c.WaitTime != nil {
			p50, p99 = humanSeconds(c.WaitTime.P50), humanSeconds(c.WaitTime.P99)
		}
		t.row(printable(c.Name), humanActive(l.Connections), shortLimit(l.MaxConnections), humanActive(l.Pending), shortLimit(l.MaxPending),
			humanActive(l.Retrying), retriesText(l), shortCount(c.Waited), p50, p99,
			shortCount(c.ClusterFull), shortCount(c.PendingFull), shortCount(c.PendingTimeout), shortCount(c.RetriesRefused))
	}
	if len(t.rows) > 1 {
		heading(b, "LIMITS (pending: wait for a place; p50, p99: how long those waited that got one; then what was refused)")
		t.write(b)
	}
}

// retriesText is the limits of retries: a number, a share of the connections, or both.
func retriesText(l *LimitsReport) string {
	if l.RetryBudget <= 0 {
		return shortLimit(l.MaxRetries)
	}
	budget := strconv.FormatFloat(100*l.RetryBudget, 'g', 3, 64) + "%"
	if l.MaxRetries > 0 {
		return shortLimit(l.MaxRetries) + ", " + budget
	}
	return budget
}

// writeDiscovery writes what clusters have whose endpoints are discovered; nothing if there is none.
func writeDiscovery(b *strings.Builder, r *Report) {
	t := textTable{left: 1, last: true}
	t.row("cluster", "endpoints", "answered", "next", "TTL", "looks", "failed", "last look")
	for i := range r.Clusters {
		c := &r.Clusters[i]
		d := c.Discovery
		if d == nil {
			continue
		}
		answered, next, last := "never", "-", "well"
		if !d.Answered.IsZero() {
			answered = humanSince(r.Time, d.Answered)
		}
		if d.Next.After(r.Time) {
			next = "in" + forText(d.Next, r.Time)
		}
		switch {
		case d.LastError != "":
			last = cut("FAILED: "+printable(firstLine(d.LastError)), reasonWidth)
		case d.Queries == 0:
			last = "none yet"
		}
		t.row(printable(c.Name), humanCount(uint64(max(d.Endpoints, 0))), answered, next, humanSeconds(d.TTL), shortCount(d.Queries), shortCount(d.Failures), last)
	}
	if len(t.rows) > 1 {
		heading(b, "DISCOVERY")
		t.write(b)
	}
}

// overloadRow adds how short the process runs of descriptors and memory.
func overloadRow(t *textTable, r *Report) {
	o := &r.Process.Overload
	stage := o.Stage
	if o.stage > l4.StageCalm {
		stage = strings.ToUpper(stage)
	}
	memory := "memory without limit"
	if o.MemoryLimit > 0 {
		memory = "memory " + shareText(o.Memory) + " of " + humanBytes(float64(o.MemoryLimit))
	}
	if e := &o.Entered; e.Shorten > 0 {
		memory += fmt.Sprintf("; since start shorten %s times, shed %s, refuse %s", humanCount(e.Shorten), humanCount(e.Shed), humanCount(e.Refuse))
	}
	t.row("overload", stage, "descriptors "+shareText(o.Descriptors), memory)
}

func shareText(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + "%" }

// checksRow adds what the health checks do, if there are any.
func checksRow(t *textTable, r *Report) {
	c := &r.Process.Checks
	if c.Targets == 0 {
		return
	}
	t.row("checks", humanCount(uint64(c.Targets))+" targets", humanRate(c.PerSecond)+"/s",
		fmt.Sprintf("%s since start, %s of them late; %s under way", humanCount(c.Done), humanCount(c.Late), humanCount(uint64(c.Running))))
}

// anySources reports whether a listener remembers its clients' addresses.
func (r *Report) anySources() bool {
	for i := range r.Listeners {
		if r.Listeners[i].Sources != nil {
			return true
		}
	}
	return false
}

func (s *SourcesReport) text() string {
	if s == nil {
		return "-"
	}
	return shortCount(uint64(s.Remembered))
}
