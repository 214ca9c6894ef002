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
//	          begin, move                     end
//	new, or ─────────────> connected, a flow's ───> disconnected, at rest ───> closed
//	at rest                 │ move      ^                  │
//	                        v           │                  └──> begin, move
//	                  still heard for the answers under way
//
// Opening a socket, with its options, and closing it costs five times what disconnecting it and connecting it again does (9 and 1.9 us).
// A disconnected socket has no port and receives nothing. It rests for a while all the same, because another processor may just be delivering
// a datagram that it has found the socket for before. What came so, or was left unread, is thrown away.
type upstream struct {
	tok      eventloop.Token
	endpoint *l4.Endpoint // nil = at rest
	counters *l4.EndpointCounters
	since    int64 // loop time of the last change, ns
	flow     flow.ID
	fd       int32
	overflow uint32
	pool     uint32
	next     uint32 // index+1: the one at rest behind it, or the one that its flow had before it
}

const (
	restLeast = 20 * time.Millisecond // before a socket is connected again
	restMost  = 2 * time.Second       // before it is closed
	restCount = 2048                  // most sockets at rest in a pool
	hearFor   = 5 * time.Second       // how long answers are awaited from an endpoint that its flow has left
	tidyEvery = time.Second
)

// pool is the sockets at rest that have the same options, in a row.
type pool struct {
	six         bool
	options     eventloop.DatagramOptions
	first, last uint32 // index+1 of a socket; the longest resting is first
	n           int
}

// departure is a socket that its flow has left, and when.
type departure struct {
	index uint32
	flow  flow.ID
	since int64
}

// connect returns a socket that is connected to the endpoint, for a flow. It takes a descriptor's place unless the socket had one.
func (p *Proxy) connect(id flow.ID, e *l4.Endpoint, s *Settings) (uint32, l4.Drop, bool) {
	addr := e.Socket()
	i, fresh, drop, ok := p.socketFor(addr.Is6(), s)
	if !ok {
		return 0, drop, false
	}
	u := p.upstreams.At(i)
	errno := p.connectApart(int(u.fd), e)
	if errno != 0 {
		p.rest(i)
		switch errno {
		case unix.EAGAIN, unix.EADDRNOTAVAIL, unix.EADDRINUSE:
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
	u.endpoint, u.counters, u.flow, u.since, u.next = e, &e.Loops[p.id], id, p.loop.Now(), 0
	return i, 0, true
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

// socketFor returns a socket that has rested for long enough, or a new one.
func (p *Proxy) socketFor(six bool, s *Settings) (i uint32, fresh bool, drop l4.Drop, ok bool) {
	options := s.options(!p.features.Coalesce)
	which := p.poolOf(six, options)
	q := &p.pools[which]
	if q.first != 0 && p.loop.Now()-p.upstreams.At(q.first-1).since >= int64(restLeast) {
		i = p.unrest(q)
		return i, p.upstreams.At(i).tok == 0, 0, true
	}
	if !p.shared.Hold(l4.FlowDescriptors) {
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

// poolOf returns the number of the pool of sockets with these options. There are as many as different options have been configured.
func (p *Proxy) poolOf(six bool, o eventloop.DatagramOptions) uint32 {
	for i := range p.pools {
		if q := &p.pools[i]; q.six == six && q.options == o {
			return uint32(i)
		}
	}
	p.pools = append(p.pools, pool{six: six, options: o})
	return uint32(len(p.pools) - 1)
}

// rest disconnects a socket and puts it to the others at rest, or closes it when there are enough.
func (p *Proxy) rest(i uint32) {
	u := p.upstreams.At(i)
	q := &p.pools[u.pool]
	u.endpoint, u.counters, u.flow, u.next = nil, nil, 0, 0
	if q.n >= restCount || eventloop.DisconnectDatagrams(int(u.fd)) != 0 {
		p.closeUpstream(i)
		return
	}
	u.since = p.loop.Now()
	if q.last != 0 {
		p.upstreams.At(q.last - 1).next = i + 1
	} else {
		q.first = i + 1
	}
	q.last = i + 1
	q.n++
	p.startTidying()
}

// unrest takes the first socket out of its pool.
func (p *Proxy) unrest(q *pool) uint32 {
	i := q.first - 1
	u := p.upstreams.At(i)
	if q.first = u.next; q.first == 0 {
		q.last = 0
	}
	u.next = 0
	q.n--
	return i
}

func (p *Proxy) closeUpstream(i uint32) {
	u := p.upstreams.At(i)
	if u.tok != 0 {
		p.loop.Close(u.tok)
	} else {
		_ = unix.Close(int(u.fd))
	}
	*u = upstream{}
	p.upstreams.Put(i)
	p.shared.Free(l4.FlowDescriptors)
}

// startTidying has sockets looked at from time to time, while there are any that rest or that flows have left.
func (p *Proxy) startTidying() {
	if p.tidy == 0 {
		p.tidy = p.loop.StartTimer(p.loop.Now()+int64(tidyEvery), p.tidying, 0)
	}
}

// tidying takes the ticks at which sockets are looked at.
type tidying struct{ p *Proxy }

// Expired closes sockets that have rested for long, and lets go of those that flows have left long ago.
func (h tidying) Expired(uint32) {
	p := h.p
	p.tidy = 0
	now := p.loop.Now()
	for len(p.leaving) > 0 && now-p.leaving[0].since >= int64(hearFor) {
		d := p.leaving[0]
		p.leaving = p.leaving[1:]
		if u := p.upstreams.At(d.index); u.endpoint != nil && u.flow == d.flow && u.since == d.since {
			p.unhear(d.index, p.table.At(d.flow))
		}
	}
	left := len(p.leaving)
	for i := range p.pools {
		q := &p.pools[i]
		for q.first != 0 && now-p.upstreams.At(q.first-1).since >= int64(restMost) {
			p.closeUpstream(p.unrest(q))
		}
		left += q.n
	}
	if left > 0 {
		p.startTidying()
	}
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
