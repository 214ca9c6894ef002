package stats

import (
	"net/netip"
	"slices"
	"time"

	"weir/l4"
	"weir/l4/tcp"
	"weir/lb"
)

// collector reads the counters of a View into a Report.
type collector struct {
	now    time.Time
	window *window
}

// eachCounted calls add with everything in the View that has rates.
func eachCounted(v *View, add func(any, counts)) {
	if v == nil {
		return
	}
	for _, l := range v.Loops {
		if l.TCP != nil {
			add(l.TCP, loopCounts(l.TCP.Counters()))
		}
	}
	for _, l := range v.Listeners {
		if l.TCP != nil {
			add(l.TCP, readListener(l.TCP).counts)
		}
	}
	for _, c := range v.Clusters {
		for _, e := range c.Endpoints {
			add(e, readEndpoint(e).counts)
		}
	}
}

func (c *collector) report(v *View) *Report {
	r := &Report{
		Time:      c.now,
		Listeners: make([]ListenerReport, 0, len(v.Listeners)),
		Clusters:  make([]ClusterReport, 0, len(v.Clusters)),
		Loops:     make([]LoopReport, 0, len(v.Loops)),
	}
	p := &r.Process
	p.Started, p.Draining = v.Started, v.Draining
	if !v.Started.IsZero() {
		p.Uptime = max(0, c.now.Sub(v.Started).Seconds())
	}
	p.Reloads = ReloadsReport(v.Reloads)
	if v.TCP != nil {
		p.Connections.Max = v.TCP.Max()
	}
	for i, l := range v.Loops {
		lr := c.loop(i, l)
		p.Connections.add(lr.Connections)
		p.Bytes.add(&lr.Bytes)
		r.Loops = append(r.Loops, lr)
	}
	for i := range v.Listeners {
		r.Listeners = append(r.Listeners, c.listener(&v.Listeners[i]))
	}
	for _, cluster := range v.Clusters {
		r.Clusters = append(r.Clusters, c.cluster(cluster))
	}
	slices.SortStableFunc(r.Listeners, func(a, b ListenerReport) int { return compareNames(a.Name, b.Name) })
	slices.SortStableFunc(r.Clusters, func(a, b ClusterReport) int { return compareNames(a.Name, b.Name) })
	return r
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func loopCounts(n *l4.LoopCounters) counts {
	var b l4.BytesReading
	b.Add(&n.Bytes)
	return counts{
		connections: n.Sessions.Load(),
		toUpstream:  b.Of(l4.ToUpstream), toDownstream: b.Of(l4.ToDownstream),
	}
}

func (c *collector) loop(id int, l Loop) LoopReport {
	r := LoopReport{ID: id}
	if l.Loop != nil {
		s := l.Loop.Stats()
		r.Batches, r.Events, r.StaleEvents, r.Continued, r.Posted = s.Batches, s.Events, s.Stale, s.Again, s.Posted
		r.Waits, r.BlockingWaits, r.Yields, r.Pipes = s.Waits, s.Blocking, s.Yields, s.Pipes
		r.JointWrites = s.Joint
	}
	if l.TCP != nil {
		n := l.TCP.Counters()
		k := loopCounts(n)
		v := c.window.rate(c.now, l.TCP, k)
		var b l4.BytesReading
		b.Add(&n.Bytes)
		r.Connections = Connections{Active: n.Active.Load(), Total: k.connections, PerSecond: v.connections}
		r.Bytes = bytesReport(&b, v)
		r.AcceptPauses = n.Pauses.Load()
	}
	return r
}

// listenerReading is the sum of a listener's counters over all loops.
type listenerReading struct {
	counts
	bytes    l4.BytesReading
	active   int64
	closed   [l4.NumReasons]uint64
	duration l4.HistogramReading

	acceptErrors, pausesFiles, pausesLimit uint64
}

func readListener(l *tcp.Listener) (n listenerReading) {
	for i := range l.Loops {
		c := &l.Loops[i]
		n.bytes.Add(&c.Bytes)
		n.active += c.Active.Load()
		n.connections += c.Sessions.Load()
		for reason := range n.closed {
			n.closed[reason] += c.Closed[reason].Load()
		}
		n.acceptErrors += c.AcceptErrors.Load()
		n.pausesFiles += c.PausesFiles.Load()
		n.pausesLimit += c.PausesLimit.Load()
		n.duration.Add(&c.Duration)
	}
	n.pauses = n.pausesFiles + n.pausesLimit
	for reason, closed := range n.closed {
		if l4.CloseReason(reason).Refusal() {
			n.failed += closed
		}
	}
	n.toUpstream, n.toDownstream = n.bytes.Of(l4.ToUpstream), n.bytes.Of(l4.ToDownstream)
	return n
}

func (c *collector) listener(l *Listener) ListenerReport {
	r := ListenerReport{Name: l.Name, Protocol: "tcp", Binds: slices.Clone(l.Binds), Closed: make(map[string]uint64, l4.NumReasons)}
	r.Connections.Max = l.MaxConnections
	if r.Binds == nil {
		r.Binds = []netip.AddrPort{}
	}
	if l.TCP == nil {
		return r
	}
	n := readListener(l.TCP)
	v := c.window.rate(c.now, l.TCP, n.counts)
	r.Connections.Active, r.Connections.Total, r.Connections.PerSecond = n.active, n.connections, v.connections
	r.Bytes = bytesReport(&n.bytes, v)
	r.Refused, r.RefusedRate = n.failed, v.failed
	for reason, closed := range n.closed {
		r.Closed[l4.CloseReason(reason).String()] = closed
	}
	r.AcceptErrors = n.acceptErrors
	r.AcceptPauses = AcceptPauses{Descriptors: n.pausesFiles, MaxConnections: n.pausesLimit, PerSecond: v.pauses}
	r.Duration = newHistogram(n.duration)
	return r
}

func (c *collector) cluster(cluster *l4.Cluster) ClusterReport {
	r := ClusterReport{Name: cluster.Name, Endpoints: make([]EndpointReport, 0, len(cluster.Endpoints))}
	var connect l4.HistogramReading
	for i := range cluster.Loops {
		n := &cluster.Loops[i]
		r.NoEndpoint += n.NoEndpoint.Load()
		r.Full += n.Full.Load()
		r.Retries += n.Retries.Load()
		connect.Add(&n.ConnectTime)
	}
	r.ConnectTime = newHistogram(connect)
	for i, e := range cluster.Endpoints {
		var m lb.Member
		if cluster.Set != nil && i < cluster.Set.Len() {
			m = cluster.Set.Member(i)
		}
		er := c.endpoint(e, m)
		r.Connections.add(er.Connections)
		r.Bytes.add(&er.Bytes)
		r.Endpoints = append(r.Endpoints, er)
	}
	return r
}

// endpointReading is the sum of an endpoint's counters over all loops.
type endpointReading struct {
	counts
	bytes            l4.BytesReading
	attempts, resets uint64
	failures         ConnectFailures
}

func readEndpoint(e *l4.Endpoint) (n endpointReading) {
	for i := range e.Loops {
		c := &e.Loops[i]
		n.bytes.Add(&c.Bytes)
		n.connections += c.Sessions.Load()
		n.attempts += c.Attempts.Load()
		n.resets += c.Resets.Load()
		n.failures.Refused += c.Refused.Load()
		n.failures.TimedOut += c.TimedOut.Load()
		n.failures.Other += c.ConnectErrors.Load()
	}
	n.failed = n.failures.Total()
	n.toUpstream, n.toDownstream = n.bytes.Of(l4.ToUpstream), n.bytes.Of(l4.ToDownstream)
	return n
}

func (c *collector) endpoint(e *l4.Endpoint, m lb.Member) EndpointReport {
	n := readEndpoint(e)
	v := c.window.rate(c.now, e, n.counts)
	r := EndpointReport{
		Address: e.Address, State: m.State.String(), Weight: m.Weight, Backup: m.Backup,
		Connections: Connections{Max: m.MaxConnections, Total: n.connections, PerSecond: v.connections},
		Bytes:       bytesReport(&n.bytes, v),
		Attempts:    n.attempts, ConnectFailures: n.failures, FailureRate: v.failed, Resets: n.resets,
		name: e.Address.String(),
	}
	if e.Balance != nil {
		r.Connections.Active = e.Balance.Active()
	}
	return r
}

func bytesReport(b *l4.BytesReading, v rate) Bytes {
	return Bytes{
		ToUpstream:   Flow{Copied: b[l4.ToUpstream][l4.Copied], Spliced: b[l4.ToUpstream][l4.Spliced], PerSecond: v.toUpstream},
		ToDownstream: Flow{Copied: b[l4.ToDownstream][l4.Copied], Spliced: b[l4.ToDownstream][l4.Spliced], PerSecond: v.toDownstream},
	}
}

// add sums what has no limit of its own.
func (c *Connections) add(o Connections) {
	c.Active += o.Active
	c.Total += o.Total
	c.PerSecond += o.PerSecond
}

func (b *Bytes) add(o *Bytes) {
	b.ToUpstream.add(o.ToUpstream)
	b.ToDownstream.add(o.ToDownstream)
}

func (f *Flow) add(o Flow) {
	f.Copied += o.Copied
	f.Spliced += o.Spliced
	f.PerSecond += o.PerSecond
}
