package stats

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	textWidth     = 110 // columns that running text keeps to
	textEndpoints = 50  // endpoints shown of a cluster; the others are in the JSON
	textAttention = 20  // things shown that need attention
)

// WriteText writes the Report as a page for people: what is wrong first, then how much there is to do, then where it goes. Rates
// are of the last ten seconds. The error is w's.
func WriteText(w io.Writer, r *Report) error {
	var b strings.Builder
	writeTitle(&b, r)
	writeAttention(&b, r)
	writeProcess(&b, r)
	writeListeners(&b, r)
	writeDatagrams(&b, r)
	writeClusters(&b, r)
	writeLimits(&b, r)
	writeDiscovery(&b, r)
	writeEnds(&b, r)
	writeLoops(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTitle(b *strings.Builder, r *Report) {
	p := &r.Process
	state := "READY"
	if p.Draining {
		state = "DRAINING"
	}
	fmt.Fprintf(b, "weir %s   %s   up %s   pid %d   %s\n", printable(p.Version), state, humanSeconds(p.Uptime), p.PID,
		r.Time.UTC().Format("2006-01-02 15:04:05 UTC"))
}

func writeProcess(b *strings.Builder, r *Report) {
	p := &r.Process
	heading(b, "PROCESS")
	t := textTable{left: 4}
	t.row("connections", humanActive(p.Connections.Active)+limitText(p.Connections.Max), humanRate(p.Connections.PerSecond)+"/s",
		humanCount(p.Connections.Total)+" since start")
	t.row("bytes", "in "+humanBytes(p.Bytes.ToUpstream.PerSecond)+"/s", "out "+humanBytes(p.Bytes.ToDownstream.PerSecond)+"/s",
		"in "+humanBytes(float64(p.Bytes.ToUpstream.Total()))+", out "+humanBytes(float64(p.Bytes.ToDownstream.Total()))+
			" since start"+splicedText(&p.Bytes))
	datagramsRow(&t, r)
	t.row("process", "memory "+humanBytes(float64(p.Resident)), strconv.Itoa(len(r.Loops))+" loops",
		"descriptors "+humanCount(p.Descriptors.Open)+limitText(int64(min(p.Descriptors.Limit, 1<<62))))
	overloadRow(&t, r)
	checksRow(&t, r)
	t.row("reloads", humanCount(p.Reloads.Applied)+" applied", humanCount(p.Reloads.Failed)+" failed", lastReload(r))
	t.write(b)
}

func limitText(limit int64) string {
	if limit <= 0 {
		return ""
	}
	return " of " + humanActive(limit)
}

func splicedText(b *Bytes) string {
	all := b.ToUpstream.Total() + b.ToDownstream.Total()
	if all == 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f%% spliced", 100*float64(b.ToUpstream.Spliced+b.ToDownstream.Spliced)/float64(all))
}

func lastReload(r *Report) string {
	last := &r.Process.Reloads
	switch {
	case last.Last.IsZero():
		return "none yet"
	case last.LastError != "":
		return "last one FAILED " + humanSince(r.Time, last.Last)
	}
	return "last one applied " + humanSince(r.Time, last.Last)
}

// heading begins a section.
func heading(b *strings.Builder, text string) { b.WriteString("\n" + text + "\n") }

func writeAttention(b *strings.Builder, r *Report) {
	found := attention(r)
	if len(found) == 0 {
		heading(b, "NOTHING STANDS OUT")
		return
	}
	heading(b, "ATTENTION")
	for i, line := range found {
		if i == textAttention {
			fmt.Fprintf(b, "  and %s more\n", humanCount(uint64(len(found)-i)))
			return
		}
		b.WriteString("  " + printable(line) + "\n")
	}
}

func writeListeners(b *strings.Builder, r *Report) {
	heading(b, "LISTENERS (connections: with UDP, flows; p50, p99: how long they lasted)")
	t := textTable{left: 2}
	head := []string{"name", "bind", "active", "max", "conn/s", "total", "in/s", "out/s", "in", "out", "refused", "p50", "p99"}
	sources := r.anySources()
	if sources {
		head = append(head, "sources")
	}
	t.row(head...)
	for i := range r.Listeners {
		l := &r.Listeners[i]
		bind := "-"
		if len(l.Binds) > 0 {
			bind = l.Binds[0].String()
		}
		if more := len(l.Binds) - 1; more > 0 {
			bind += " +" + strconv.Itoa(more)
		}
		c := &l.Connections
		row := []string{
			printable(l.Name), l.Protocol + " " + printable(bind), humanActive(c.Active), shortLimit(c.Max), humanRate(c.PerSecond), shortCount(c.Total),
			humanBytes(l.Bytes.ToUpstream.PerSecond), humanBytes(l.Bytes.ToDownstream.PerSecond),
			humanBytes(float64(l.Bytes.ToUpstream.Total())), humanBytes(float64(l.Bytes.ToDownstream.Total())),
			shortCount(l.Refused), histogramText(&l.Duration, l.Duration.P50), histogramText(&l.Duration, l.Duration.P99),
		}
		if sources {
			row = append(row, l.Sources.text())
		}
		t.row(row...)
	}
	t.write(b)
}

func histogramText(h *Histogram, seconds float64) string {
	if h.Count == 0 {
		return "-"
	}
	return humanSeconds(seconds)
}

func writeClusters(b *strings.Builder, r *Report) {
	heading(b, "CLUSTERS (p50, p99: time to connect; down: for so long; ejected: for so long from now)")
	t := textTable{left: 2}
	t.row("name", "state", "weight", "active", "max", "conn/s", "total", "in/s", "out/s", "fail/s", "failed", "resets", "p50", "p99")
	for i := range r.Clusters {
		c := &r.Clusters[i]
		var failing float64
		var failed, resets uint64
		for j := range c.Endpoints {
			e := &c.Endpoints[j]
			failing += e.FailureRate
			failed += e.ConnectFailures.Total()
			resets += e.Resets
		}
		t.row(printable(c.Name), c.stateText(), "", humanActive(c.Connections.Active), clusterMax(c),
			humanRate(c.Connections.PerSecond), shortCount(c.Connections.Total),
			humanBytes(c.Bytes.ToUpstream.PerSecond), humanBytes(c.Bytes.ToDownstream.PerSecond),
			humanRate(failing), shortCount(failed), shortCount(resets),
			histogramText(&c.ConnectTime, c.ConnectTime.P50), histogramText(&c.ConnectTime, c.ConnectTime.P99))
		shown := shownEndpoints(c)
		for _, j := range shown {
			e := &c.Endpoints[j]
			t.row("  "+e.name, cut(e.stateText(r.Time), stateWidth), shortCount(uint64(e.Weight)), humanActive(e.Connections.Active), shortLimit(e.Connections.Max),
				humanRate(e.Connections.PerSecond), shortCount(e.Connections.Total),
				humanBytes(e.Bytes.ToUpstream.PerSecond), humanBytes(e.Bytes.ToDownstream.PerSecond),
				humanRate(e.FailureRate), shortCount(e.ConnectFailures.Total()), shortCount(e.Resets))
		}
		if rest := len(c.Endpoints) - len(shown); rest > 0 {
			t.row("  and " + humanCount(uint64(rest)) + " more")
		}
	}
	t.write(b)
}

// clusterMax is the limit of a cluster for a column, "" if there is none.
func clusterMax(c *ClusterReport) string {
	if c.Limits.MaxConnections <= 0 {
		return ""
	}
	return shortLimit(c.Limits.MaxConnections)
}

// shownEndpoints returns the indexes of the endpoints to show, in order: all, or of many those that fail or are out of
// service first.
func shownEndpoints(c *ClusterReport) []int {
	var shown, plain []int
	for i := range c.Endpoints {
		if e := &c.Endpoints[i]; e.FailureRate > 0 || !e.sound() {
			shown = append(shown, i)
		} else {
			plain = append(plain, i)
		}
	}
	shown = append(shown, plain...)
	shown = shown[:min(len(shown), textEndpoints)]
	slices.Sort(shown)
	return shown
}

func writeEnds(b *strings.Builder, r *Report) {
	writeReasons(b, r, "HOW CONNECTIONS AND FLOWS ENDED", "none has ended", func(l *ListenerReport) (map[string]uint64, bool) { return l.Closed, true })
}

func writeLoops(b *strings.Builder, r *Report) {
	heading(b, "LOOPS")
	t := textTable{left: 1}
	t.row("loop", "active", "conn/s", "in/s", "out/s", "events", "per turn", "stale", "continued", "waits", "blocking", "pipes", "pauses")
	for i := range r.Loops {
		l := &r.Loops[i]
		t.row(strconv.Itoa(l.ID), humanActive(l.Connections.Active), humanRate(l.Connections.PerSecond),
			humanBytes(l.Bytes.ToUpstream.PerSecond), humanBytes(l.Bytes.ToDownstream.PerSecond),
			shortCount(l.Events), ratio(l.Events, l.Batches), shortCount(l.StaleEvents), shortCount(l.Continued),
			shortCount(l.Waits), percent(l.BlockingWaits, l.Waits), humanActive(l.Pipes), shortCount(l.AcceptPauses))
	}
	t.write(b)
}

func ratio(n, of uint64) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(n)/float64(of), 'f', 1, 64)
}

func percent(n, of uint64) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 0, 64) + "%"
}
