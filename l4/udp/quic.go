package udp

import (
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
	"weir/l4/quic"
	"weir/lb"
	"weir/lb/health"
)

// Servers are the endpoints that name themselves in the connection IDs that they choose (draft-ietf-quic-load-balancers, plaintext), over all clusters
// of a listener. Immutable.
type Servers struct {
	Size int                // bytes of a server ID, the same for all: 1 to 15
	ByID map[string]*Server // by server ID
}

// Server is an endpoint as the member of a cluster.
type Server struct {
	Cluster *l4.Cluster
	Member  int
}

func (s *Server) endpoint() *l4.Endpoint { return s.Cluster.Endpoints[s.Member] }

// left reports whether flows leave the server because it is down. If nobody else is picked either, they stay.
func (s *Server) left() bool {
	return !s.Cluster.KeepFlows && s.endpoint().Condition().Check == health.Down && !s.Cluster.Set().Uses(s.Member)
}

// of returns the server that a datagram's connection ID names; nil when it names none.
func (s *Servers) of(datagram []byte) *Server {
	if s == nil {
		return nil
	}
	h, ok := quic.ParseHeader(datagram)
	if !ok {
		return nil
	}
	id, ok := quic.ServerID(h.DCID, s.Size)
	if !ok {
		return nil
	}
	return s.ByID[string(id)] // the compiler makes no string of it
}

// fromQUIC takes in what a client of a QUIC listener sent. What was coalesced goes apart where connection IDs name different servers: a client may have
// several connections through one port.
func (p *Proxy) fromQUIC(s *socket, index uint32, key *flow.Key, a *eventloop.Arrival) {
	servers, rest := s.on.settings.Servers, a.Payload
	if a.Segment == 0 {
		p.quicTo(servers.of(rest), s, index, key, a.From, rest, 0, a.Class, 1)
		return
	}
	for len(rest) > 0 {
		end := min(a.Segment, len(rest))
		n, server := 1, servers.of(rest[:end])
		for servers != nil && end < len(rest) && servers.of(rest[end:min(end+a.Segment, len(rest))]) == server {
			end = min(end+a.Segment, len(rest))
			n++
		}
		if servers == nil {
			end, n = len(rest), a.Datagrams()
		}
		segment := a.Segment
		if n == 1 {
			segment = 0
		}
		p.quicTo(server, s, index, key, a.From, rest[:end], segment, a.Class, n)
		rest = rest[end:]
	}
}

// quicTo sends datagrams to the first flow of their client, which was begun without knowing a server, if it is to the one that their connection ID names
// or if that names none; else to the flow that the client has to that server.
func (p *Proxy) quicTo(server *Server, s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, b []byte, segment int, class uint8, n int) {
	k := *key
	first, action := p.table.Arrive(&k, n, p.loop.Now())
	known := action == flow.Forward
	if server != nil && !(known && p.upstreams.At(p.table.At(first).upstream-1).endpoint == server.endpoint()) {
		k.Tag = tagOf(server.endpoint())
		if id, action := p.table.Arrive(&k, n, p.loop.Now()); action == flow.Forward {
			p.forwardUp(id, p.table.At(id), b, segment, class, n)
			return
		}
		if p.openTo(server, s, index, &k, from, b, segment, class, n) {
			return
		}
	}
	k.Tag = 0
	if known {
		p.forwardUp(first, p.table.At(first), b, segment, class, n)
		return
	}
	client := from.AddrPort()
	routes := &s.on.settings.Routes
	if h := p.held[k]; h != nil || routes.AskName(client.Addr()) {
		p.askName(h, s, index, &k, from, b, segment, class, n)
		return
	}
	p.openIn(s, index, &k, from, routes.Match(client.Addr(), ""), b, segment, class, n)
}

// tagOf tells the flow of a client to this endpoint from its others.
func tagOf(e *l4.Endpoint) uint32 { return uint32(lb.HashAddrPort(e.Address))&^directTag | 1 }

// openTo begins a flow to a server, also to one that takes no new connections: it has this one. false: it has no place, or shall have no connection,
// or has gone down, and flows don't stay with those.
func (p *Proxy) openTo(server *Server, s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, b []byte, segment int, class uint8, n int) bool {
	c := server.Cluster
	if s.on.closed || c.Set().Member(server.Member).State == lb.Maint || server.left() || !c.Take(server.Member) {
		return false
	}
	counted, drop, ok := p.admit(s.on, from)
	if !ok {
		c.Endpoints[server.Member].Release()
		s.on.drop(drop, n)
		return true
	}
	id, f, drop, ok := p.begin(s, index, key, from, c, server.Member)
	if !ok {
		if counted {
			s.on.listener.Gate.Leave(from.AddrPort().Addr())
		}
		s.on.drop(drop, n)
		return true
	}
	f.counted = counted
	p.forwardUp(id, f, b, segment, class, n)
	return true
}

// held is what a client has sent before the server name is known that says where it goes: a ClientHello may take several datagrams, and does with
// post-quantum key exchange.
type held struct {
	hello     quic.Hello
	key       flow.Key
	from      eventloop.Sockaddr
	on        *listening
	socket    uint32
	since     int64 // loop time, ns
	chunk     *eventloop.Chunk
	datagrams []heldDatagram
}

type heldDatagram struct {
	start, end int
	class      uint8
}

const (
	heldMost = 512 // clients whose name is awaited on a loop, each with 16 KiB: beyond that a client has to send again
	heldFor  = time.Second
)

// askName looks for the server name in the datagrams of a client that has no flow, and holds them back until it is known. h is what is held of the
// client already, nil for nothing.
func (p *Proxy) askName(h *held, s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr, b []byte, segment int, class uint8, n int) {
	hello := &p.hello
	if h != nil {
		hello = &h.hello
	} else {
		hello.Reset()
	}
	status := quic.NotQUIC
	size := segment
	if size == 0 {
		size = len(b)
	}
	rest := b
	for range n {
		datagram := rest[:min(len(rest), size)]
		status, rest = hello.Add(datagram), rest[len(datagram):]
	}
	routes := &s.on.settings.Routes
	name := ""
	if status == quic.Done {
		name = hello.SNI()
	}
	switch {
	case h == nil && status != quic.More:
		p.openIn(s, index, key, from, routes.Match(from.AddrPort().Addr(), name), b, segment, class, n)
		return
	case h == nil && !s.on.settings.admits(from.AddrPort().Addr()):
		s.on.drop(l4.DropDenied, n)
		return
	case h == nil && p.pressure.Stage >= l4.StageRefuse:
		s.on.drop(l4.DropOverloaded, n)
		return
	case h == nil && (len(p.held) >= heldMost || s.on.closed):
		s.on.drop(l4.DropHeld, n)
		return
	case h == nil:
		h = p.hold(s, index, key, from)
	}
	if !h.add(b, segment, class) {
		s.on.drop(l4.DropHeld, n)
		status = quic.Failed
	}
	if status != quic.More {
		p.release(h, name)
	}
}

// hold begins to hold back a client's datagrams.
func (p *Proxy) hold(s *socket, index uint32, key *flow.Key, from *eventloop.Sockaddr) *held {
	h := &held{key: *key, from: *from, on: s.on, socket: index, since: p.loop.Now(), chunk: p.loop.LeaseChunk()}
	h.hello, p.hello = p.hello, quic.Hello{} // it has read the first datagrams
	p.held[*key] = h
	p.waiting = append(p.waiting, h)
	if p.holding == 0 {
		p.holding = p.loop.StartTimer(h.since+int64(heldFor), p.holds, 0)
	}
	return h
}

// add keeps a copy of datagrams; false when there is no room.
func (h *held) add(b []byte, segment int, class uint8) bool {
	c := h.chunk
	if len(b) > len(c.Data)-c.End {
		return false
	}
	for first := true; len(b) > 0 || first; first = false {
		size := len(b)
		if segment > 0 {
			size = min(size, segment)
		}
		copy(c.Data[c.End:], b[:size])
		h.datagrams = append(h.datagrams, heldDatagram{c.End, c.End + size, class})
		c.End += size
		b = b[size:]
	}
	return true
}

// release sends on what was held back, to where the name says. The chunk goes back when the turn is sent.
func (p *Proxy) release(h *held, name string) {
	delete(p.held, h.key)
	p.chunks = append(p.chunks, h.chunk)
	s := p.sockets.At(h.socket)
	if !s.open || s.on.listener != h.on.listener {
		h.on.drop(l4.DropHeld, len(h.datagrams))
		h.on = nil
		return
	}
	c := s.on.settings.Routes.Match(h.from.AddrPort().Addr(), name)
	for _, d := range h.datagrams {
		b := h.chunk.Data[d.start:d.end]
		if id, action := p.table.Arrive(&h.key, 1, p.loop.Now()); action == flow.Forward {
			p.forwardUp(id, p.table.At(id), b, 0, d.class, 1)
		} else {
			p.openIn(s, h.socket, &h.key, &h.from, c, b, 0, d.class, 1)
		}
	}
	h.on, h.hello, h.datagrams = nil, quic.Hello{}, nil // it stays in the row until its time has come
}

// holds takes the timer of what is held back.
type holds struct{ p *Proxy }

// Expired sends on, without a name, what has been held back for too long.
func (h holds) Expired(uint32) {
	p := h.p
	p.holding = 0
	for len(p.waiting) > 0 {
		first := p.waiting[0]
		if due := first.since + int64(heldFor); first.on != nil && due > p.loop.Now() {
			p.holding = p.loop.StartTimer(due, p.holds, 0)
			return
		}
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		if first.on != nil {
			p.release(first, "")
			p.Flush()
		}
	}
	p.waiting = nil
}
