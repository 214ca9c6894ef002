package udp

import (
	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
)

// Datagrams, or coalesced ones, that are read with one system call. An endpoint's socket is one flow's and seldom has many.
const (
	clientBatch   = 64
	endpointBatch = 32
)

// clients takes the events of sockets that clients write to; arg is the socket's index.
type clients struct{ p *Proxy }

// Ready takes in what clients have sent. The socket is level-triggered: what is left comes back in the next turn, also where a system call has ended before
// the socket was empty.
func (h clients) Ready(_ eventloop.Token, arg uint32, _ eventloop.Events) {
	p, s := h.p, h.p.sockets.At(arg)
	for left := p.budget; left > 0; {
		if p.inbox.Room() == 0 {
			p.Flush()
			if !s.open {
				return // it was closed with the last of its flows
			}
		}
		limit := min(clientBatch, left, p.inbox.Room())
		first, n, e := p.inbox.Receive(int(s.fd), limit)
		if e == unix.EAGAIN {
			return
		}
		if e != 0 { // want of memory, say; what is there still has to be read
			left--
			continue
		}
		came := 0
		for place := first; place < first+n; place++ {
			came += p.fromClient(s, arg, p.inbox.At(place))
		}
		s.on.counters.Received[l4.ToUpstream].Observe(came)
		if n < limit {
			return
		}
		left -= n
	}
}

// fromClient takes in what one client sent and returns how many datagrams it was.
func (p *Proxy) fromClient(s *socket, index uint32, a *eventloop.Arrival) (n int) {
	n = a.Datagrams()
	set := s.on.settings
	if a.Overflow != 0 {
		overflowed(s.on.counters, &s.overflow, a.Overflow)
	}
	key := flow.Key{Local: a.Local, Socket: index}
	key.Client, key.Port, key.Zone = a.From.Bytes()
	switch {
	case set.PerPacket:
		p.perPacket(s, index, a)
		return n
	case set.QUIC:
		p.fromQUIC(s, index, &key, a)
		return n
	}
	id, action := p.table.Arrive(&key, n, p.loop.Now())
	if action == flow.Open {
		p.open(s, index, &key, a, n)
		return n
	}
	p.forwardUp(id, p.table.At(id), a.Payload, a.Segment, a.Class, n)
	return n
}

// open begins a flow for datagrams that belong to none, by policy.
func (p *Proxy) open(s *socket, index uint32, key *flow.Key, a *eventloop.Arrival, n int) {
	client := a.From.AddrPort()
	p.openIn(s, index, key, a.From, s.on.settings.Routes.Match(client.Addr(), ""), a.Payload, a.Segment, a.Class, n)
}

// openIn is open with the cluster known.
func (p *Proxy) openIn(s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, c *l4.Cluster, payload []byte, segment int, class uint8, n int) {
	id, f, drop, ok := p.beginIn(s, index, key, from, c)
	if !ok {
		s.on.drop(drop, n)
		return
	}
	p.table.Owe(id, n, p.loop.Now())
	p.forwardUp(id, f, payload, segment, class, n)
}

// beginIn makes a flow to an endpoint of the cluster; one to which there is no way is not the last that is tried.
func (p *Proxy) beginIn(s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, c *l4.Cluster) (id flow.ID, f *state, drop l4.Drop, ok bool) {
	switch {
	case s.on.closed:
		return 0, nil, l4.DropDraining, false
	case c == nil:
		return 0, nil, l4.DropNoCluster, false
	}
	counted, drop, ok := p.admit(s.on, from)
	if !ok {
		return 0, nil, drop, false
	}
	id, f, drop, ok = p.tryEndpoints(s, index, key, from, c)
	switch {
	case ok:
		f.counted = counted
	case counted:
		s.on.listener.Gate.Leave(from.AddrPort().Addr())
	}
	return id, f, drop, ok
}

// tryEndpoints makes a flow to the first endpoint to which there is a way.
func (p *Proxy) tryEndpoints(s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, c *l4.Cluster) (id flow.ID, f *state, drop l4.Drop, ok bool) {
	c = c.Latest()
	p.ask(c, from.AddrPort())
	for range max(1, c.Attempts) {
		m, why, ok := p.pick(c)
		if !ok {
			return 0, nil, why, false
		}
		if id, f, drop, ok = p.begin(s, index, key, from, c, m); ok || drop != l4.DropConnectFailed {
			return id, f, drop, ok
		}
		p.request.Tried.Add(m)
	}
	return 0, nil, drop, false
}

// forwardUp sends a flow's datagrams on to its endpoint, or to another one if it has to move.
func (p *Proxy) forwardUp(id flow.ID, f *state, payload []byte, segment int, class uint8, n int) {
	f.answered = false
	if p.left != nil {
		p.leave()
	}
	if f.moves {
		if drop, ok := p.move(id, f); !ok && f.lost {
			f.on.drop(drop, n)
			return
		}
	} else if f.lost {
		f.on.drop(l4.DropNoEndpoint, n)
		return
	}
	p.add(id, f, l4.ToUpstream, nil, payload, segment, class, n)
}

// perPacket sends each datagram to an endpoint of its own, without a flow. Some are coalesced only where they came before the listener was one of this
// kind: its socket is told not to.
func (p *Proxy) perPacket(s *socket, index uint32, a *eventloop.Arrival) {
	rest := a.Payload
	for range a.Datagrams() {
		b := rest
		if a.Segment > 0 {
			b = rest[:min(a.Segment, len(rest))]
		}
		p.byItself(s, index, a, b)
		rest = rest[len(b):]
	}
}

// byItself sends one datagram of those that arrived together.
func (p *Proxy) byItself(s *socket, index uint32, a *eventloop.Arrival, b []byte) {
	client := a.From.AddrPort()
	c := s.on.settings.Routes.Match(client.Addr(), "")
	switch {
	case s.on.closed:
		s.on.drop(l4.DropDraining, 1)
		return
	case c == nil:
		s.on.drop(l4.DropNoCluster, 1)
		return
	case !s.on.settings.admits(client.Addr()):
		s.on.drop(l4.DropDenied, 1)
		return
	}
	c = c.Latest()
	p.ask(c, client)
	m, drop, ok := p.pick(c)
	if !ok {
		s.on.drop(drop, 1)
		return
	}
	e := c.Endpoints[m]
	e.Release() // the datagram is on its way as soon as it is placed
	id, f, drop, ok := p.directTo(s, index, c, e)
	if !ok {
		s.on.drop(drop, 1)
		return
	}
	p.add(id, f, l4.ToUpstream, nil, b, 0, a.Class, 1)
}

// directTag marks the keys of what isn't a client's flow.
const directTag = 1 << 31

// directTo returns the way from a listener's socket to an endpoint that all datagrams share: a flow that nobody counts. It ends when it
// hasn't been used for as long as any.
func (p *Proxy) directTo(s *socket, index uint32, c *l4.Cluster, e *l4.Endpoint) (flow.ID, *state, l4.Drop, bool) {
	key := flow.Key{Socket: index, Tag: directTag}
	key.Client, key.Port, key.Zone = e.Socket().Bytes()
	if id, action := p.table.Arrive(&key, 1, p.loop.Now()); action == flow.Forward {
		if f := p.table.At(id); p.upstreams.At(f.upstream-1).endpoint == e {
			return id, f, 0, true
		} // another cluster's endpoint of that address
		key.Local = lettersOf(c.Name)
		if id, action = p.table.Arrive(&key, 1, p.loop.Now()); action == flow.Forward {
			return id, p.table.At(id), 0, true
		}
	}
	u, drop, ok := p.connect(0, e, s.on)
	if !ok {
		p.noteConnect(e, drop)
		return 0, nil, drop, false
	}
	id, f := p.table.Insert(&key, &s.on.settings.Rules, p.loop.Now())
	p.upstreams.At(u).flow = id
	*f = state{on: s.on, cluster: c, socket: index, upstream: u + 1, direct: true, alone: [2]uint16{noneAlone, noneAlone}}
	return id, f, 0, true
}

// lettersOf is what tells a cluster from others in a key.
func lettersOf(name string) (b [16]byte) {
	copy(b[:], name)
	return b
}

// endpoints takes the events of sockets to endpoints; arg is the socket's index.
type endpoints struct{ p *Proxy }

// Ready takes in what an endpoint has sent.
func (h endpoints) Ready(_ eventloop.Token, arg uint32, _ eventloop.Events) {
	p, u := h.p, h.p.upstreams.At(arg)
	for left := p.budget / 2; left > 0; {
		if p.inbox.Room() == 0 {
			p.Flush() // which may end the flow
		}
		if u.endpoint == nil {
			p.discard(u)
			return
		}
		limit := min(endpointBatch, left, p.inbox.Room())
		first, n, e := p.inbox.Receive(int(u.fd), limit)
		switch e {
		case 0:
		case unix.EAGAIN:
			return
		default:
			p.reported(u, e)
			left--
			continue
		}
		came := 0
		for place := first; place < first+n; place++ {
			came += p.fromEndpoint(u, p.inbox.At(place))
		}
		p.table.At(u.flow).on.counters.Received[l4.ToDownstream].Observe(came)
		if n < limit {
			return
		}
		left -= n
	}
}

// fromEndpoint takes in what a flow's endpoint sent and returns how many datagrams it was.
func (p *Proxy) fromEndpoint(u *upstream, a *eventloop.Arrival) (n int) {
	n = a.Datagrams()
	id := u.flow
	f := p.table.At(id)
	if !a.From.Same(u.endpoint.Socket()) {
		f.on.drop(l4.DropNoFlow, n) // it came to the port before the socket was connected
		return n
	}
	if a.Overflow != 0 {
		overflowed(f.on.counters, &u.overflow, a.Overflow)
	}
	u.endpoint.Conduct.Succeeded()
	if f.direct {
		f.on.drop(l4.DropNoFlow, n)
		return n
	}
	if p.table.Answer(id, n, p.loop.Now()) == flow.End && !f.answered {
		f.answered = true
		p.ending = append(p.ending, ending{id, l4.Answered})
	}
	p.add(id, f, l4.ToDownstream, u.counters, a.Payload, a.Segment, a.Class, n)
	return n
}

// reported counts an ICMP error that a flow's socket has reported. The flow moves with its next datagram, unless its cluster keeps flows.
func (p *Proxy) reported(u *upstream, e unix.Errno) {
	switch e {
	case unix.ECONNREFUSED:
		u.counters.Refused.Add(1)
	case unix.EMSGSIZE:
		return // the path takes less than was thought: nobody's fault
	default:
		u.counters.ConnectErrors.Add(1)
	}
	u.endpoint.Failed(p.id)
	f := p.table.At(u.flow)
	if !f.cluster.KeepFlows && !f.direct && p.upstreams.At(f.upstream-1) == u {
		f.moves = true
	}
}

// overflowed counts what a socket has lost, of which it says the sum, modulo 2^32.
func overflowed(c *l4.ListenerCounters, seen *uint32, sum uint32) {
	if sum != *seen {
		c.Dropped[l4.DropReceiveOverflow].Add(uint64(sum - *seen))
		*seen = sum
	}
}

// drop counts n datagrams that go nowhere.
func (ln *listening) drop(d l4.Drop, n int) { ln.counters.Dropped[d].Add(uint64(n)) }
