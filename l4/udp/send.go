package udp

import (
	"math"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
)

// What a turn has taken in waits in runs until the inbox is full or the turn ends. A run is datagrams of one flow and direction that leave as one
// (UDP_SEGMENT): all of one size, but for the last one, which may be shorter.
type run struct {
	id        flow.ID
	next      int32 // the flow's next one in this direction, -1 = none
	first     int32 // of the parts
	last      int32
	bytes     int32
	datagrams int32
	segment   int32
	direction l4.Direction
	class     uint8
	open      bool                 // takes more
	begins    bool                 // the flow's first one in this direction
	counters  *l4.EndpointCounters // of who answered
}

// part is some bytes of a run, in the inbox.
type part struct {
	payload []byte
	segment int32 // as in eventloop.Arrival
	next    int32 // -1 = none
}

// Most that leaves as one: what UDP_SEGMENT takes in all kernels, and what an IPv6 packet holds beside its headers.
const (
	joinDatagrams = 64
	joinBytes     = 65_487
)

// noneAlone is that datagrams of any size may be joined.
const noneAlone = math.MaxUint16

// add puts n datagrams of a flow, that came together, to what leaves with the turn. counters are those of the endpoint that answered, nil on the way to it.
func (p *Proxy) add(id flow.ID, f *state, d l4.Direction, counters *l4.EndpointCounters, payload []byte, segment int, class uint8, n int) {
	class &= ecn
	size := len(payload)
	at := int32(len(p.parts))
	p.parts = append(p.parts, part{payload: payload, segment: int32(segment), next: -1})
	if f.turn != p.turn {
		f.turn, f.runs = p.turn, [2]int32{-1, -1}
	}
	newest := f.runs[d]
	if newest >= 0 && p.runs[newest].joins(size, segment, class, n) {
		r := &p.runs[newest]
		p.parts[r.last].next = at
		r.last = at
		r.bytes += int32(size)
		r.datagrams += int32(n)
		r.open = size%int(r.segment) == 0
		return
	}
	if segment == 0 {
		segment = size
	}
	f.runs[d] = int32(len(p.runs))
	if newest >= 0 {
		p.runs[newest].next = f.runs[d]
	}
	p.runs = append(p.runs, run{
		id: id, next: -1, first: at, last: at, bytes: int32(size), datagrams: int32(n), segment: int32(segment),
		direction: d, class: class, counters: counters, begins: newest < 0,
		open: size > 0 && p.features.Segment && segment < int(f.alone[d]) && size%segment == 0,
	})
}

// ecn is what of the traffic class goes on: the bits of Explicit Congestion Notification (RFC 3168). The others are of the network that the datagram
// came from.
const ecn = 0x03

// joins reports whether datagrams can leave with the run.
func (r *run) joins(size, segment int, class uint8, n int) bool {
	return r.open && size > 0 && class == r.class &&
		(segment == int(r.segment) || segment == 0 && size <= int(r.segment)) &&
		int(r.datagrams)+n <= joinDatagrams && int(r.bytes)+size <= joinBytes
}

// Flush sends what the turn has taken in, and ends the flows that end with it. It is called by the loop, and when the inbox is full.
func (p *Proxy) Flush() {
	if len(p.runs) > 0 {
		p.send()
		p.schedule()
	}
	if len(p.ending) > 0 {
		p.endTurn()
	}
	for _, c := range p.chunks {
		p.loop.ReturnChunk(c)
	}
	p.chunks = p.chunks[:0]
	if p.inbox != nil && p.inbox.Len() > 0 {
		p.inbox.Reset()
	}
}

// send sends all runs: those of a flow and direction one behind another, so that what fails can be tried again before the rest.
func (p *Proxy) send() {
	for _, d := range [...]l4.Direction{l4.ToUpstream, l4.ToDownstream} {
		for i := range p.runs {
			if r := &p.runs[i]; r.begins && r.direction == d {
				for j := int32(i); j >= 0; j = p.runs[j].next {
					p.pack(j)
				}
			}
		}
	}
	p.loop.Send(p.outbox)
	p.settle()
	p.outbox.Reset()
	clear(p.runs)
	clear(p.parts)
	p.runs, p.parts, p.order = p.runs[:0], p.parts[:0], p.order[:0]
	if p.turn++; p.turn == 0 {
		p.beginAgain()
	}
}

// beginAgain counts turns from 1 again, after 2^32 of them. No flow may take its runs of long ago, or a new one those that it never had, for this turn's.
func (p *Proxy) beginAgain() {
	p.turn = 1
	for id := flow.ID(1); uint32(id) < p.table.Cap(); id++ {
		if p.table.Live(id) {
			p.table.At(id).turn = 0
		}
	}
}

// departureOf returns what a datagram of the flow needs to be sent.
func (p *Proxy) departureOf(f *state, r *run) eventloop.Departure {
	if r.direction == l4.ToUpstream {
		u := p.upstreams.At(f.upstream - 1)
		return eventloop.Departure{FD: u.fd, Class: r.class, Six: p.pools[u.pool].six}
	}
	s := p.sockets.At(f.socket)
	d := eventloop.Departure{FD: s.fd, To: &f.client, Class: r.class, Six: !f.client.Over4()}
	if s.unbound {
		d.From = p.table.Key(r.id).Local
	}
	return d
}

// pack puts a run into the outbox: as one where it may, else datagram by datagram.
func (p *Proxy) pack(i int32) {
	r := &p.runs[i]
	f := p.table.At(r.id)
	d := p.departureOf(f, r)
	if r.datagrams > 1 {
		if int(r.segment) >= int(f.alone[r.direction]) || !p.features.Segment {
			p.each(r, func(b []byte) {
				p.outbox.Add(d)
				p.outbox.Part(b)
				p.order = append(p.order, i)
			})
			return
		}
		d.Segment = r.segment
	}
	p.outbox.Add(d)
	p.order = append(p.order, i)
	for at := r.first; at >= 0; at = p.parts[at].next {
		p.outbox.Part(p.parts[at].payload)
	}
}

// each calls do with every datagram of a run.
func (p *Proxy) each(r *run, do func([]byte)) {
	for at := r.first; at >= 0; at = p.parts[at].next {
		b, segment := p.parts[at].payload, int(p.parts[at].segment)
		for segment > 0 && len(b) > segment {
			do(b[:segment])
			b = b[segment:]
		}
		do(b)
	}
}

// settle counts what was sent, and deals with what wasn't.
func (p *Proxy) settle() {
	for i := range p.outbox.Len() {
		r := &p.runs[p.order[i]]
		d := p.outbox.At(i)
		if d.Errno != 0 {
			p.failed(i, r, d)
			continue
		}
		n, size := int(r.datagrams), int(r.bytes)
		if n > 1 && d.Segment == 0 {
			n, size = 1, p.outbox.Size(i)
		}
		p.sent(p.table.At(r.id), r, n, size)
	}
}

// sent counts n datagrams of a run, of so many bytes, that went as one.
func (p *Proxy) sent(f *state, r *run, n, size int) {
	c := f.on.counters
	c.Sent[r.direction].Observe(n)
	c.Datagrams.Add(r.direction, n)
	c.Bytes.Add(r.direction, l4.Copied, size)
	e := r.counters
	if r.direction == l4.ToUpstream {
		e = p.upstreams.At(f.upstream - 1).counters // it may have moved since
	}
	e.Datagrams.Add(r.direction, n)
	e.Bytes.Add(r.direction, l4.Copied, size)
	p.counters.Datagrams.Add(r.direction, n)
	p.counters.Bytes.Add(r.direction, l4.Copied, size)
}
