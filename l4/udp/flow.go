package udp

import (
	"net/netip"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/access"
	"weir/l4/flow"
	"weir/lb"
)

// state is the proxy's part of a flow.
//
//	           Arrive: Open                   responses, timeouts, drain
//	(no flow) ──────────────> begun ──> sending ─────────────────────────> ended
//	                                     │   ^ its next datagram goes to another endpoint
//	            its endpoint refuses     v   │
//	            or goes away           moves ┘
type state struct {
	client   eventloop.Sockaddr
	on       *listening
	cluster  *l4.Cluster
	socket   uint32   // the listener's that the client writes to
	upstream uint32   // index+1; the one that is written to; those that it had before hang on it
	turn     uint32   // that runs are of
	runs     [2]int32 // the newest of the turn by direction, -1 = none
	alone    [2]uint16
	answered bool // had all its answers, and ends with the turn unless its client asks more
	lost     bool // has no endpoint any more, and ends with the turn
	moves    bool // goes to another endpoint with its next datagram
	counted  bool // by its source
	direct   bool // not a flow: an endpoint of a per_packet listener
}

// admit asks whether the client may come in. counted: it is counted by its source, and has to Leave the listener's Gate.
func (p *Proxy) admit(on *listening, from *eventloop.Sockaddr) (counted bool, drop l4.Drop, ok bool) {
	if on.settings.Access == nil {
		return false, 0, true
	}
	why, counted := on.listener.Gate.Enter(on.settings.Access, from.AddrPort().Addr(), p.loop.Now())
	return counted, l4.DropOf(why), why == access.None
}

// begin makes a flow that sends to member m of the cluster, on which a place was taken. Should that fail, the place is given back.
func (p *Proxy) begin(s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, c *l4.Cluster, m int) (flow.ID, *state, l4.Drop, bool) {
	on, e := s.on, c.Endpoints[m]
	fail := func(d l4.Drop) (flow.ID, *state, l4.Drop, bool) {
		e.Release()
		return 0, nil, d, false
	}
	if p.pressure.Stage >= l4.StageRefuse {
		return fail(l4.DropOverloaded)
	}
	if !on.listener.Take(on.settings.MaxFlows) {
		return fail(l4.DropMaxFlows)
	}
	if !p.shared.Take(0) { // its descriptor's place is the socket's
		on.listener.Give()
		return fail(l4.DropMaxConnections)
	}
	u, drop, ok := p.connect(0, e, on)
	if !ok {
		on.listener.Give()
		p.shared.Give(0)
		p.noteConnect(e, drop)
		return fail(drop)
	}
	id, f := p.table.Insert(key, &on.settings.Rules, p.loop.Now())
	p.upstreams.At(u).flow = id
	*f = state{client: *from, on: on, cluster: c, socket: index, upstream: u + 1, alone: [2]uint16{noneAlone, noneAlone}}
	s.flows++
	on.flows++
	on.counters.Sessions.Add(1)
	on.counters.Active.Add(1)
	p.counters.Sessions.Add(1)
	p.counters.Active.Add(1)
	e.Loops[p.id].Attempts.Add(1)
	e.Loops[p.id].Sessions.Add(1)
	return id, f, 0, true
}

// ending is a flow that ends with the turn, when all that came for it is sent.
type ending struct {
	id  flow.ID
	why l4.CloseReason
}

// endTurn ends the flows that end with the turn.
func (p *Proxy) endTurn() {
	for _, e := range p.ending {
		if f := p.table.At(e.id); f.lost || f.answered && e.why == l4.Answered {
			p.end(e.id, e.why)
		}
	}
	p.ending = p.ending[:0]
}

// end ends a flow and gives back all that it has. Nothing of it may wait in the turn.
func (p *Proxy) end(id flow.ID, why l4.CloseReason) {
	f := p.table.At(id)
	on, direct, counted, client := f.on, f.direct, f.counted, f.client
	for i := f.upstream; i != 0; {
		u := p.upstreams.At(i - 1)
		if i == f.upstream && !direct {
			u.endpoint.Release()
		}
		next := u.next
		p.rest(i - 1)
		i = next
	}
	started, index := p.table.Started(id), f.socket
	p.table.Remove(id)
	if direct {
		return
	}
	on.counters.Closed[why].Add(1)
	on.counters.Duration.Observe(time.Duration(p.loop.Now() - started))
	on.counters.Active.Add(-1)
	p.counters.Active.Add(-1)
	if counted {
		on.listener.Gate.Leave(client.AddrPort().Addr())
	}
	on.listener.Give()
	p.shared.Give(0)
	on.flows--
	p.sockets.At(index).flows--
	p.forgetSocket(index)
	p.forgetListening(on)
}

// move sends the flow to another endpoint from now on, if there is one; what the one it had still answers is heard for a while. false: there is
// none at all; the flow ends with the turn, or tries again with its next datagram.
func (p *Proxy) move(id flow.ID, f *state) (l4.Drop, bool) {
	f.moves = false
	u := p.upstreams.At(f.upstream - 1)
	client := f.client.AddrPort()
	c := f.on.settings.Routes.Named(f.cluster.Name)
	if c == nil {
		c = f.on.settings.Routes.Match(client.Addr(), "")
	}
	m, drop, ok := -1, l4.DropNoCluster, false
	if c != nil {
		c = c.Latest()
		p.ask(c, client)
		for i, e := range c.Endpoints {
			if e == u.endpoint {
				p.request.Tried.Add(i)
			}
		}
		var verdict l4.Verdict
		if c.Places == f.cluster.Places {
			m, verdict = c.PickToMove(&p.request)
		} else {
			m, verdict = c.Pick(&p.request)
		}
		drop, ok = p.judge(c, verdict)
	}
	if !ok {
		f.lost = true
		p.ending = append(p.ending, ending{id, reasonOf(drop)})
		return drop, false
	}
	f.cluster = c
	e := c.Endpoints[m]
	if e == u.endpoint {
		e.Release() // it has a place
		return 0, true
	}
	next, drop, ok := p.connect(id, e, f.on)
	if !ok {
		e.Release()
		p.noteConnect(e, drop)
		f.moves = true
		return drop, false
	}
	e.Loops[p.id].Attempts.Add(1)
	e.Loops[p.id].Sessions.Add(1)
	u.endpoint.Release()
	old := f.upstream
	f.upstream, p.upstreams.At(next).next = next+1, old
	u.since = p.loop.Now()
	if before := u.next; before != 0 { // it doesn't listen to more than one that it left
		u.next = 0
		p.rest(before - 1)
	}
	p.leaving = append(p.leaving, departure{index: old - 1, flow: id, since: u.since})
	p.startTidying()
	return 0, true
}

// noteConnect counts a failure to connect a socket to an endpoint, unless it was for want of something here.
func (p *Proxy) noteConnect(e *l4.Endpoint, why l4.Drop) {
	if why == l4.DropConnectFailed {
		e.Loops[p.id].ConnectErrors.Add(1)
		e.Failed(p.id)
	}
}

// ask begins a request of the client for an endpoint of the cluster.
func (p *Proxy) ask(c *l4.Cluster, client netip.AddrPort) {
	p.request = lb.Request{Hash: c.HashOn.Hash(client), Rand: p.rand}
}

// pick takes a place on an endpoint of the cluster that was asked.
func (p *Proxy) pick(c *l4.Cluster) (int, l4.Drop, bool) {
	m, verdict := c.Pick(&p.request)
	drop, ok := p.judge(c, verdict)
	return m, drop, ok
}

// judge counts a verdict that gives no endpoint.
func (p *Proxy) judge(c *l4.Cluster, v l4.Verdict) (l4.Drop, bool) {
	n := &c.Loops[p.id]
	switch v {
	case l4.NoneUsable:
		n.NoEndpoint.Add(1)
		return l4.DropNoEndpoint, false
	case l4.EndpointsBusy:
		n.Full.Add(1)
		return l4.DropEndpointsFull, false
	case l4.ClusterBusy:
		n.ClusterFull.Add(1)
		return l4.DropClusterFull, false
	}
	return 0, true
}

// reasonOf is why a flow ends that can't send to another endpoint.
func reasonOf(d l4.Drop) l4.CloseReason {
	switch d {
	case l4.DropNoCluster:
		return l4.NoCluster
	case l4.DropEndpointsFull:
		return l4.EndpointsFull
	case l4.DropClusterFull:
		return l4.ClusterFull
	}
	return l4.NoEndpoint
}

// expiry takes the timer of the flow table.
type expiry struct{ p *Proxy }

// Expired ends the flows that are due.
func (h expiry) Expired(uint32) {
	h.p.expiring = 0
	h.p.table.Advance(h.p.loop.Now(), h.p.expireFn)
	h.p.schedule()
}

func (p *Proxy) expired(id flow.ID, why flow.Why) {
	if why == flow.Aged {
		p.end(id, l4.MaxDuration)
	} else {
		p.end(id, l4.IdleTimeout)
	}
}

// schedule sets the timer to what the table has to do next.
func (p *Proxy) schedule() {
	at, ok := p.table.Next()
	switch {
	case !ok:
	case p.expiring == 0:
		p.expiring, p.expireAt = p.loop.StartTimer(at, p.expiry, 0), at
	case at < p.expireAt:
		p.loop.MoveTimer(p.expiring, at)
		p.expireAt = at
	}
}
