package stats

import (
	"net/netip"
	"slices"
	"time"

	"weir/l4"
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
		if l.Loop != nil {
			add(l.Loop, readLoop(l).counts)
		}
	}
	for _, l := range v.Listeners {
		if l.State != nil {
			add(l.State, readListener(l.State).counts)
		}
	}
	if v.Checks != nil {
		s := v.Checks()
		add(checksKey{}, countChecks(&s))
	}
	for _, c := range v.Clusters {
		add(c.Places, readCluster(c).counts) // they go on when the cluster is replaced
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
	c.asked(p, v)
	if v.Shared != nil {
		p.Connections.Max = v.Shared.Max()
	}
	for i, l := range v.Loops {
		lr := c.loop(i, l)
		p.Connections.add(lr.Connections)
		p.Bytes.add(&lr.Bytes)
		p.Datagrams.add(lr.Datagrams)
		r.Loops = append(r.Loops, lr)
	}
	for i := range v.Listeners {
		r.Listeners = append(r.Listeners, c.listener(&v.Listeners[i]))
	}
	for _, cluster := range v.Clusters {
		cr := c.cluster(cluster)
		if v.Discovery != nil {
			if d, ok := v.Discovery(cluster.Name); ok {
				cr.Discovery = newDiscovery(&d)
			}
		}
		r.Clusters = append(r.Clusters, cr)
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

// loopReading is the sum of what a loop's sessions and flows have counted.
type loopReading struct {
	counts
	bytes  l4.BytesReading
	active int64
}

func readLoop(l Loop) (r loopReading) {
	add := func(n *l4.LoopCounters) {
		r.bytes.Add(&n.Bytes)
		r.addDatagrams(&n.Datagrams)
		r.active += n.Active.Load()
		r.connections += n.Sessions.Load()
		r.pauses += n.Pauses.Load()
	}
	if l.TCP != nil {
		add(l.TCP.Counters())
	}
	if l.UDP != nil {
		add(l.UDP.Counters())
	}
	r.toUpstream, r.toDownstream = r.bytes.Of(l4.ToUpstream), r.bytes.Of(l4.ToDownstream)
	return r
}

func (n *counts) addDatagrams(g *l4.Datagrams) {
	n.datagramsUp += g[l4.ToUpstream].Load()
	n.datagramsDown += g[l4.ToDownstream].Load()
}

func (c *collector) loop(id int, l Loop) LoopReport {
	r := LoopReport{ID: id}
	if l.Loop == nil {
		return r
	}
	s := l.Loop.Stats()
	r.Batches, r.Events, r.StaleEvents, r.Continued, r.Posted = s.Batches, s.Events, s.Stale, s.Again, s.Posted
	r.Waits, r.BlockingWaits, r.Yields, r.Pipes = s.Waits, s.Blocking, s.Yields, s.Pipes
	r.JointWrites = s.Joint
	n := readLoop(l)
	v := c.window.rate(c.now, l.Loop, n.counts)
	r.Connections = Connections{Active: n.active, Total: n.connections, PerSecond: v.connections}
	r.Bytes = bytesReport(&n.bytes, v)
	r.Datagrams = datagramsReport(&n.counts, &v)
	r.AcceptPauses = n.pauses
	return r
}

// listenerReading is the sum of a listener's counters over all loops.
type listenerReading struct {
	counts
	bytes    l4.BytesReading
	active   int64
	duration l4.HistogramReading

	acceptErrors, pausesFiles, pausesLimit uint64

	received, sent [2]l4.SizesReading
}

func readListener(l *l4.Listener) (n listenerReading) {
	n.dropped, n.closed = new([l4.NumDrops]uint64), new([l4.NumReasons]uint64)
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
		n.addDatagrams(&c.Datagrams)
		for reason := range n.dropped {
			n.dropped[reason] += c.Dropped[reason].Load()
		}
		for d := range n.received {
			n.received[d].Add(&c.Received[d])
			n.sent[d].Add(&c.Sent[d])
		}
	}
	n.pauses = n.pausesFiles + n.pausesLimit
	for reason, closed := range n.closed {
		if l4.CloseReason(reason).Refusal() {
			n.failed += closed
		}
	}
	for reason, dropped := range n.dropped {
		if l4.Drop(reason).Refusal() {
			n.failed += dropped
		}
	}
	n.toUpstream, n.toDownstream = n.bytes.Of(l4.ToUpstream), n.bytes.Of(l4.ToDownstream)
	return n
}

func (c *collector) listener(l *Listener) ListenerReport {
	r := ListenerReport{Name: l.Name, Protocol: l.Protocol, Binds: slices.Clone(l.Binds), Closed: make(map[string]uint64, l4.NumReasons)}
	r.Connections.Max = l.MaxConnections
	if r.Binds == nil {
		r.Binds = []netip.AddrPort{}
	}
	if l.State == nil {
		return r
	}
	n := readListener(l.State)
	v := c.window.rate(c.now, l.State, n.counts)
	r.Connections.Active, r.Connections.Total, r.Connections.PerSecond = n.active, n.connections, v.connections
	r.Bytes = bytesReport(&n.bytes, v)
	r.Datagrams = datagramsReport(&n.counts, &v)
	r.Refused, r.RefusedRate = n.failed, v.failed
	for reason, closed := range n.closed {
		r.Closed[l4.CloseReason(reason).String()] = closed
	}
	r.AcceptErrors = n.acceptErrors
	r.AcceptPauses = AcceptPauses{Descriptors: n.pausesFiles, MaxConnections: n.pausesLimit, PerSecond: v.pauses}
	r.Duration = newHistogram(n.duration)
	r.closeRates = v.closed
	if l.State.Gate != nil {
		if s := l.State.Gate.Sources(); s != nil {
			r.Sources = &SourcesReport{Remembered: s.Len(), Evicted: s.Evicted()}
		}
	}
	if r.UDP() {
		r.datagrams(l, &n, &v)
	}
	return r
}

func (c *collector) cluster(cluster *l4.Cluster) ClusterReport {
	r := ClusterReport{Name: cluster.Name, Endpoints: make([]EndpointReport, 0, len(cluster.Endpoints))}
	n := readCluster(cluster)
	r.limits(cluster, &n)
	r.ConnectTime = newHistogram(n.connect)
	r.closeRates = c.window.rate(c.now, cluster.Places, n.counts).closed
	set := cluster.Set() // once: it may be replaced meanwhile
	if set != nil {
		r.InUse, r.Panic = set.InUse(), set.Panics()
	}
	for i, e := range cluster.Endpoints {
		var m lb.Member
		var inUse bool
		if set != nil && i < set.Len() {
			m, inUse = set.Member(i), set.Uses(i)
		}
		er := c.endpoint(e, m)
		er.InUse = inUse
		r.Connections.add(er.Connections)
		r.Bytes.add(&er.Bytes)
		r.Datagrams.add(er.Datagrams)
		r.Endpoints = append(r.Endpoints, er)
	}
	return r
}

// endpointReading is the sum of an endpoint's counters over all loops.
type endpointReading struct {
	counts
	bytes            l4.BytesReading
	attempts, resets uint64
	early            uint64
	failures         ConnectFailures
}

func readEndpoint(e *l4.Endpoint) (n endpointReading) {
	for i := range e.Loops {
		c := &e.Loops[i]
		n.bytes.Add(&c.Bytes)
		n.addDatagrams(&c.Datagrams)
		n.connections += c.Sessions.Load()
		n.attempts += c.Attempts.Load()
		n.resets += c.Resets.Load()
		n.early += c.Early.Load()
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
		Address: e.Address, State: m.State.String(), Health: m.Health.String(),
		Weight: m.Weight, WeightPercent: int(m.Ramp), Priority: m.Priority, Backup: m.Backup,
		Connections: Connections{Max: m.MaxConnections, Total: n.connections, PerSecond: v.connections},
		Bytes:       bytesReport(&n.bytes, v), Datagrams: datagramsReport(&n.counts, &v),
		Attempts: n.attempts, ConnectFailures: n.failures, FailureRate: v.failed, Resets: n.resets, EarlyResets: n.early,
		name: e.Address.String(),
	}
	if e.Balance != nil {
		r.Connections.Active = e.Balance.Active()
	}
	r.health(e)
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
