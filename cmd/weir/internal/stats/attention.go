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
	overloaded(&p.Overload, say)
	for i := range r.Clusters {
		clusterDown(&r.Clusters[i], r.Time, say)
		discoveryTrouble(&r.Clusters[i], r.Time, say)
	}
	for i := range r.Listeners {
		listenerTrouble(&r.Listeners[i], say)
	}
	for i := range r.Clusters {
		c := &r.Clusters[i]
		limitTrouble(c, say)
		outOfService(c, r.Time, say)
		blind(c, say)
		endpointTrouble(c, say)
	}
	checksLate(&p.Checks, say)
	if near(p.Connections.Active, p.Connections.Max) {
		say("%s of the process's %s connections are taken", humanActive(p.Connections.Active), humanActive(p.Connections.Max))
	}
	if d := p.Descriptors; p.Overload.stage == l4.StageCalm && d.Limit > 0 && float64(d.Open) >= nearly*float64(d.Limit) {
		say("%s of %s descriptors are open: raise RLIMIT_NOFILE or lower max_connections", humanCount(d.Open), humanCount(d.Limit))
	}
	return found
}

func near(n, limit int64) bool { return limit > 0 && float64(n) >= nearly*float64(limit) }

func listenerTrouble(l *ListenerReport, say func(string, ...any)) {
	if l.UDP() {
		datagramTrouble(l, say)
		return
	}
	refusalTrouble(l, say)
	if l.AcceptPauses.PerSecond > 0 {
		say("listener %s: accepting pauses %s times a second, for want of descriptors or places", l.Name, humanRate(l.AcceptPauses.PerSecond))
	}
	if near(l.Connections.Active, l.Connections.Max) {
		say("listener %s: %s of its %s connections are taken", l.Name, humanActive(l.Connections.Active), humanActive(l.Connections.Max))
	}
}

// refusalTrouble says which connections reach no endpoint. That strangers are denied is what the rules are for, and needs no attention; that some
// come too fast may.
func refusalTrouble(l *ListenerReport, say func(string, ...any)) {
	var failed, limited worst
	for reason, rate := range l.closeRates {
		switch reason := l4.CloseReason(reason); {
		case !reason.Refusal() || reason == l4.Denied:
		case reason.ByRule():
			limited.add(reason, rate)
		default:
			failed.add(reason, rate)
		}
	}
	line := func(w *worst, becomes string) {
		if w.sum > 0 {
			say("listener %s: %s/s of %s/s connections %s, %s of them for %s%s", l.Name, humanRate(w.sum), humanRate(l.Connections.PerSecond), becomes,
				humanRate(w.most), w.reason, reasonText(closeAdvice[w.reason]))
		}
	}
	line(&failed, "reach no endpoint")
	line(&limited, "are turned away")
}

// worst sums rates, and keeps the reason of the highest.
type worst struct {
	sum, most float64
	reason    l4.CloseReason
}

func (w *worst) add(reason l4.CloseReason, rate float64) {
	w.sum += rate
	if rate > w.most {
		w.most, w.reason = rate, reason
	}
}

func datagramTrouble(l *ListenerReport, say func(string, ...any)) {
	rates := l.dropRates
	rates[l4.DropDenied] = 0 // as with connections
	var dropped float64
	top := l4.Drop(0)
	for reason, rate := range rates {
		if dropped += rate; rate > rates[top] {
			top = l4.Drop(reason)
		}
	}
	if dropped > 0 {
		say("listener %s: %s datagrams/s are dropped, %s of them for %s%s", l.Name, humanRate(dropped), humanRate(rates[top]), top, reasonText(dropAdvice[top]))
	}
	if near(l.Connections.Active, l.Connections.Max) {
		say("listener %s: %s of its %s flows are taken: above that udp.max_flows sheds new ones", l.Name, humanActive(l.Connections.Active), humanActive(l.Connections.Max))
	}
}

// dropAdvice says what to do about datagrams that are dropped, where a key has to do with it.
var dropAdvice = [l4.NumDrops]string{
	l4.DropMaxFlows:          "raise udp.max_flows",
	l4.DropMaxConnections:    "raise process.max_connections, or RLIMIT_NOFILE",
	l4.DropNoDescriptors:     "raise RLIMIT_NOFILE",
	l4.DropNoCluster:         "no route matches and the listener has no cluster",
	l4.DropEndpointsFull:     "raise max_connections of the cluster's endpoints, or add some",
	l4.DropClusterFull:       "raise limits.max_connections of the cluster",
	l4.DropRateLimited:       "the listener stands at rate.connections",
	l4.DropSourceRateLimited: "some clients stand at rate.per_source",
	l4.DropSourceLimit:       "some clients stand at max_connections_per_source",
	l4.DropOverloaded:        "the process runs short of descriptors or memory",
	l4.DropNoPorts:           "widen net.ipv4.ip_local_port_range",
	l4.DropReceiveOverflow:   "raise udp.receive_buffer, and net.core.rmem_max where it cuts that",
	l4.DropBufferFull:        "raise udp.send_buffer, and net.core.wmem_max where it cuts that",
	l4.DropNoFlow:            "endpoints answer flows that have ended, or with udp.per_packet answers reach nobody",
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
}

// firstLine cuts a text of several lines.
func firstLine(text string) string {
	line, rest, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += fmt.Sprintf(" (and %d more)", 1+strings.Count(rest, "\n"))
	}
	return line
}
