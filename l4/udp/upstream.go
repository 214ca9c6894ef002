package udp

import (
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
)

// upstream is a socket to an endpoint.
//
//	          begin, move                    end
//	new, or ──────────────> a flow's socket ─────> late: still connected ────> still: disconnected ───> closed
//	still                    │ move      ^          what comes is dropped       │
//	                         v           │                                      └──> begin, move
//	                   still heard for the answers under way
//
// Opening a socket, with its options, and closing it costs five times what disconnecting it and connecting it again does (9 and 1.9 us).
type upstream struct {
	tok      eventloop.Token
	endpoint *l4.Endpoint // nil = at rest
	counters *l4.EndpointCounters
	on       *listening // of its flow, or its last one
	since    int64      // loop time of the last change, ns
	flow     flow.ID
	fd       int32
	overflow uint32
	pool     uint32
	next     uint32 // index+1: the one at rest behind it, or the one that its flow had before it
}

// hearFor is how long answers are awaited from an endpoint that its flow has left.
const hearFor = 5 * time.Second

// departure is a socket that its flow has left, and when.
type departure struct {
	index uint32
	flow  flow.ID
	since int64
}

// connect returns a socket that is connected to the endpoint, for a flow. It takes a descriptor's place unless the socket had one.
func (p *Proxy) connect(id flow.ID, e *l4.Endpoint, on *listening) (uint32, l4.Drop, bool) {
	i, fresh, drop, ok := p.socketFor(e.Socket().Is6(), on.settings)
	if !ok {
		return 0, drop, false
	}
	u := p.upstreams.At(i)
	errno := p.connectApart(int(u.fd), e)
	if noPort(errno) && p.disconnectLate() {
		errno = p.connectApart(int(u.fd), e)
	}
	if errno != 0 {
		p.lieStill(i)
		if noPort(errno) {
			return 0, l4.DropNoPorts, false
		}
		return 0, l4.DropConnectFailed, false
	}
	if fresh {
		tok, err := p.loop.RegisterLevel(int(u.fd), p.endpoints, i, eventloop.Readable)
		if err != nil {
			p.closeUpstream(i)
			return 0, l4.DropNoDescriptors, false
		}
		u.tok = tok
	}
	u.endpoint, u.counters, u.on, u.flow, u.since, u.next = e, &e.Loops[p.id], on, id, p.loop.Now(), 0
	return i, 0, true
}

func noPort(e unix.Errno) bool {
	return e == unix.EAGAIN || e == unix.EADDRNOTAVAIL || e == unix.EADDRINUSE
}

// connectApart connects a socket, but not to itself: when nobody has the endpoint's port on this machine, the kernel may draw that very port for
// the socket's own end, and the client would be answered with its own words.
func (p *Proxy) connectApart(fd int, e *l4.Endpoint) (errno unix.Errno) {
	for range 3 {
		if errno = eventloop.ConnectDatagrams(fd, e.Socket()); errno != 0 || !eventloop.ConnectedToItself(fd, e.Address.Port()) {
			return errno
		}
		eventloop.DisconnectDatagrams(fd)
		errno = unix.EADDRINUSE
	}
	return errno
}

// socketFor returns a socket that has lain still for long enough, or a new one.
func (p *Proxy) socketFor(six bool, s *Settings) (i uint32, fresh bool, drop l4.Drop, ok bool) {
	options := s.options(!p.features.Coalesce)
	which := p.poolOf(six, options)
	if q := &p.pools[which].still; q.n > 0 && p.loop.Now()-p.upstreams.At(q.first-1).since >= int64(stillFor) {
		i = p.shift(q)
		return i, p.upstreams.At(i).tok == 0, 0, true
	}
	if !p.shared.Hold(l4.FlowDescriptors) && !(p.closeResting() && p.shared.Hold(l4.FlowDescriptors)) {
		return 0, false, l4.DropMaxConnections, false
	}
	fd, e := eventloop.NewDatagramSocket(six, options)
	if (e == unix.EMFILE || e == unix.ENFILE) && p.loop.DropIdlePipes() > 0 {
		fd, e = eventloop.NewDatagramSocket(six, options)
	}
	if e != 0 {
		p.shared.Free(l4.FlowDescriptors)
		return 0, false, l4.DropNoDescriptors, false
	}
	i, u := p.upstreams.Get()
	*u = upstream{fd: int32(fd), pool: which}
	return i, true, 0, true
}

// unhear takes a socket that a flow has left out of those that it still hears.
func (p *Proxy) unhear(i uint32, f *state) {
	for at := &p.upstreams.At(f.upstream - 1).next; *at != 0; at = &p.upstreams.At(*at - 1).next {
		if *at == i+1 {
			*at = p.upstreams.At(i).next
			p.rest(i)
			return
		}
	}
}
