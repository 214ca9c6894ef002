package stats

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/l4"
	"weir/l4/probe"
)

// stageDoes says what is done in the stages of overload.
var stageDoes = [l4.NumStages]string{
	l4.StageShorten: "idle timeouts are an eighth",
	l4.StageShed:    "what has rested longest is ended",
	l4.StageRefuse:  "nothing new is taken",
}

// overloaded says that the process runs short, and of what.
func overloaded(o *OverloadReport, say func(string, ...any)) {
	if o.stage == l4.StageCalm || o.stage >= l4.NumStages {
		return
	}
	short, advice := "descriptors", "raise RLIMIT_NOFILE or lower max_connections"
	share, of := o.Descriptors, ""
	if o.Memory > o.Descriptors {
		short, advice = "memory", "raise its limit or lower max_connections"
		share, of = o.Memory, " of "+humanBytes(float64(o.MemoryLimit))
	}
	say("overload, stage %s: %s %s%s: %s; %s", o.Stage, short, shareText(share), of, stageDoes[o.stage], advice)
}

// clusterDown says that a cluster has nobody, or nobody well, and why.
func clusterDown(c *ClusterReport, now time.Time, say func(string, ...any)) {
	n := len(c.Endpoints)
	switch {
	case n == 0 && c.Discovery != nil:
		say("cluster %s has no endpoint: none is discovered yet", c.Name)
	case n == 0:
		say("cluster %s has no endpoint", c.Name)
	case c.InUse == 0:
		say("cluster %s: none of its %d endpoints takes new connections%s", c.Name, n, reasonText(wrong(c, now)))
	case c.Panic:
		say("cluster %s panics: too few endpoints are well, %d of %d, so new connections go to others, too%s",
			c.Name, c.number(func(e *EndpointReport) bool { return e.sound() && !e.unchecked() }), n, reasonText(wrong(c, now)))
	}
}

// discoveryTrouble says that the endpoints may not be those of now.
func discoveryTrouble(c *ClusterReport, now time.Time, say func(string, ...any)) {
	d := c.Discovery
	if d == nil || d.LastError == "" {
		return
	}
	last := cut(printable(firstLine(d.LastError)), reasonWidth)
	if d.Answered.IsZero() {
		say("cluster %s: discovery fails, and has never had an answer: %s", c.Name, last)
		return
	}
	say("cluster %s: discovery fails, the last good answer was %s, keeping %d endpoints: %s", c.Name, humanSince(now, d.Answered), d.Endpoints, last)
}

// outOfService says which endpoints of a cluster that has others take no new connections, and why.
func outOfService(c *ClusterReport, now time.Time, say func(string, ...any)) {
	if c.InUse == 0 || c.Panic {
		return // clusterDown has said so
	}
	if out := len(c.Endpoints) - c.number((*EndpointReport).sound); out > 0 {
		say("cluster %s: %d of %d endpoints out of service: %s", c.Name, out, len(c.Endpoints), wrong(c, now))
	}
}

// wrong names the first endpoints that aren't in service and says why, those first that should be.
func wrong(c *ClusterReport, now time.Time) string {
	const most = 3
	var unwanted, named []string
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		why := e.trouble(now)
		if why == "" && !e.InUse && e.unchecked() && c.InUse == 0 {
			why = "unchecked"
		}
		if why == "" {
			continue
		}
		if len(named) > most {
			break
		}
		if text := e.name + " (" + cut(why, reasonWidth) + ")"; e.Usable() {
			named = append(named, text)
		} else if len(unwanted) <= most {
			unwanted = append(unwanted, text)
		}
	}
	named = slices.Concat(named, unwanted)
	if len(named) > most {
		named = append(named[:most], "...")
	}
	return strings.Join(named, ", ")
}

// blind says that endpoints can't be checked, for which it isn't their fault.
func blind(c *ClusterReport, say func(string, ...any)) {
	n, why := 0, ""
	for i := range c.Endpoints {
		if check := c.Endpoints[i].Check; check != nil && strings.HasPrefix(check.Result, probe.ErrHere.Error()) {
			n, why = n+1, check.Result
		}
	}
	if n > 0 {
		say("cluster %s: the checks of %d of %d endpoints fail on this side, and say nothing: %s", c.Name, n, len(c.Endpoints), cut(printable(why), reasonWidth))
	}
}

// limitTrouble says that a cluster's limits turn connections away.
func limitTrouble(c *ClusterReport, say func(string, ...any)) {
	l := &c.Limits
	for _, refused := range []struct {
		reason l4.CloseReason
		now    string
	}{
		{l4.PendingFull, fmt.Sprintf("%s of %s wait for a place", humanActive(l.Pending), humanActive(l.MaxPending))},
		{l4.PendingTimeout, fmt.Sprintf("%s wait for a place", humanActive(l.Pending))},
		{l4.ClusterFull, fmt.Sprintf("%s of %s are taken", humanActive(l.Connections), humanActive(l.MaxConnections))},
		{l4.RetryLimit, fmt.Sprintf("%s retries are under way", humanActive(l.Retrying))},
	} {
		if rate := c.closeRates[refused.reason]; rate > 0 {
			say("cluster %s: %s connections/s are refused for %s, %s: %s", c.Name, humanRate(rate), refused.reason, refused.now, closeAdvice[refused.reason])
		}
	}
	if near(l.Connections, l.MaxConnections) && c.closeRates[l4.ClusterFull] == 0 {
		say("cluster %s: %s of its %s connections are taken", c.Name, humanActive(l.Connections), humanActive(l.MaxConnections))
	}
}

// checksLate says that the checks don't keep up.
func checksLate(c *ChecksReport, say func(string, ...any)) {
	if c.LateRate > 0 {
		say("health checks run late: %s of %s/s begin more than a second after they are due: intervals are too short for so many, or processor time is short",
			humanRate(c.LateRate), humanRate(c.PerSecond))
	}
}

// closeAdvice says what to do about connections that end like that, where a key has to do with it.
var closeAdvice = [l4.NumReasons]string{
	l4.NoCluster:         "no route matches and the listener has no cluster",
	l4.EndpointsFull:     "raise max_connections of the cluster's endpoints, add some, or let clients wait with limits.max_pending",
	l4.ClusterFull:       "raise limits.max_connections",
	l4.PendingFull:       "raise limits.max_pending, or add endpoints",
	l4.PendingTimeout:    "add endpoints, raise their max_connections, or limits.pending_timeout",
	l4.RetryLimit:        "endpoints fail more than limits.max_retries or limits.retry_budget make up for",
	l4.NoDescriptors:     "raise RLIMIT_NOFILE",
	l4.RateLimited:       "the listener stands at rate.connections",
	l4.SourceRateLimited: "some clients stand at rate.per_source",
	l4.SourceLimit:       "some clients stand at max_connections_per_source",
}
