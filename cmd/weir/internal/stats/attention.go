package stats

import (
	"fmt"
	"strings"

	"weir/l4"
)

// nearly is the share of a limit from which on it needs attention.
const nearly = 0.9

// attention returns what an operator should know first, a line each: what stops everything, then what stops some, then what may
// soon. It goes by what is now, and by rates; what was bad yesterday stands in the totals.
func attention(r *Report) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	p := &r.Process
	if p.Draining {
		say("draining: no new connections and flows are taken, %s are left", humanActive(p.Connections.Active))
	}
	if p.Reloads.LastError != "" {
		say("the configuration in force is not the newest: the reload %s failed: %s", humanSince(r.Time, p.Reloads.Last), firstLine(p.Reloads.LastError))
	}
	for i := range r.Clusters {
		clusterDown(&r.Clusters[i], say)
	}
	for i := range r.Listeners {
		listenerTrouble(&r.Listeners[i], say)
	}
	for i := range r.Clusters {
		endpointTrouble(&r.Clusters[i], say)
	}
	if near(p.Connections.Active, p.Connections.Max) {
		say("%s of the process's %s connections are taken", humanActive(p.Connections.Active), humanActive(p.Connections.Max))
	}
	if d := p.Descriptors; d.Limit > 0 && float64(d.Open) >= nearly*float64(d.Limit) {
		say("%s of %s descriptors are open: raise RLIMIT_NOFILE or lower max_connections", humanCount(d.Open), humanCount(d.Limit))
	}
	return found
}

func near(n, limit int64) bool { return limit > 0 && float64(n) >= nearly*float64(limit) }

func clusterDown(c *ClusterReport, say func(string, ...any)) {
	switch {
	case len(c.Endpoints) == 0:
		say("cluster %s has no endpoint", c.Name)
	case c.ready() == 0:
		say("cluster %s: none of its %d endpoints takes new connections", c.Name, len(c.Endpoints))
	}
}

func listenerTrouble(l *ListenerReport, say func(string, ...any)) {
	if l.UDP() {
		datagramTrouble(l, say)
		return
	}
	if l.RefusedRate > 0 {
		say("listener %s: %s/s of %s/s connections reach no endpoint", l.Name, humanRate(l.RefusedRate), humanRate(l.Connections.PerSecond))
	}
	if l.AcceptPauses.PerSecond > 0 {
		say("listener %s: accepting pauses %s times a second, for want of descriptors or places", l.Name, humanRate(l.AcceptPauses.PerSecond))
	}
	if near(l.Connections.Active, l.Connections.Max) {
		say("listener %s: %s of its %s connections are taken", l.Name, humanActive(l.Connections.Active), humanActive(l.Connections.Max))
	}
}

func datagramTrouble(l *ListenerReport, say func(string, ...any)) {
	if l.DroppedRate > 0 {
		top := l4.Drop(0)
		for reason, dropping := range l.dropRates {
			if dropping > l.dropRates[top] {
				top = l4.Drop(reason)
			}
		}
		advice := dropAdvice[top]
		if advice != "" {
			advice = ": " + advice
		}
		say("listener %s: %s datagrams/s are dropped, %s of them for %s%s", l.Name, humanRate(l.DroppedRate), humanRate(l.dropRates[top]), top, advice)
	}
	if near(l.Connections.Active, l.Connections.Max) {
		say("listener %s: %s of its %s flows are taken: above that udp.max_flows sheds new ones", l.Name, humanActive(l.Connections.Active), humanActive(l.Connections.Max))
	}
}

// dropAdvice says what to do about datagrams that are dropped, where a key has to do with it.
var dropAdvice = [l4.NumDrops]string{
	l4.DropMaxFlows:        "raise udp.max_flows",
	l4.DropMaxConnections:  "raise process.max_connections, or RLIMIT_NOFILE",
	l4.DropNoDescriptors:   "raise RLIMIT_NOFILE",
	l4.DropNoCluster:       "no route matches and the listener has no cluster",
	l4.DropEndpointsFull:   "raise max_connections of the cluster's endpoints, or add some",
	l4.DropReceiveOverflow: "raise udp.receive_buffer, and net.core.rmem_max where it cuts that",
	l4.DropBufferFull:      "raise udp.send_buffer, and net.core.wmem_max where it cuts that",
	l4.DropNoFlow:          "endpoints answer flows that have ended, or with udp.per_packet answers reach nobody",
}

func endpointTrouble(c *ClusterReport, say func(string, ...any)) {
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if e.FailureRate > 0 {
			f := e.ConnectFailures
			say("cluster %s: %s: %s connects/s fail; since start %s refused, %s timed out, %s other", c.Name, e.name, humanRate(e.FailureRate),
				humanCount(f.Refused), humanCount(f.TimedOut), humanCount(f.Other))
		}
		if near(e.Connections.Active, e.Connections.Max) {
			say("cluster %s: %s: %s of its %s connections are taken", c.Name, e.name, humanActive(e.Connections.Active), humanActive(e.Connections.Max))
		}
	}
	if ready := c.ready(); ready > 0 && ready < len(c.Endpoints) {
		say("cluster %s: %d of %d endpoints out of service: %s", c.Name, len(c.Endpoints)-ready, len(c.Endpoints), unusable(c))
	}
}

// unusable names the first endpoints that take no new connections, and why.
func unusable(c *ClusterReport) string {
	const most = 3
	var names []string
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		switch {
		case e.Usable():
			continue
		case len(names) == most:
			return strings.Join(names, ", ") + ", ..."
		case e.State == "ready":
			names = append(names, e.name+" (weight 0)")
		default:
			names = append(names, e.name+" ("+e.State+")")
		}
	}
	return strings.Join(names, ", ")
}

// firstLine cuts a text of several lines.
func firstLine(text string) string {
	line, rest, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += fmt.Sprintf(" (and %d more)", 1+strings.Count(rest, "\n"))
	}
	return line
}
