package udp

import (
	"time"

	"weir/l4"
	"weir/l4/flow"
)

// drain ends some flows gradually. Those of an endpoint move with their next datagram, and only those that send none are ended, at its end.
type drain struct {
	l4.Drain
	listener *l4.Listener // nil = any
	endpoint *l4.Endpoint // nil = any
	running  bool
}

func (p *Proxy) covers(d *drain, id flow.ID) bool {
	if !p.table.Live(id) {
		return false
	}
	f := p.table.At(id)
	return (d.listener == nil && !f.direct || d.listener != nil && f.on.listener == d.listener && !f.direct || d.endpoint != nil) &&
		(d.endpoint == nil || p.upstreams.At(f.upstream-1).endpoint == d.endpoint)
}

// Drain takes no new flows on any listener and ends all flows gradually by the time given. On the loop.
func (p *Proxy) Drain(over time.Duration) {
	for _, ln := range p.listening {
		if ln != nil && !ln.closed {
			p.closeListening(ln)
		}
	}
	p.startDrain(drain{}, over)
}

// DrainListener ends the flows of a listener gradually by the time given. On the loop.
func (p *Proxy) DrainListener(l *l4.Listener, over time.Duration) {
	p.startDrain(drain{listener: l}, over)
}

// DrainEndpoint moves the flows of an endpoint to others with their next datagrams, and ends those that have sent none by the time given. On the
// loop.
func (p *Proxy) DrainEndpoint(e *l4.Endpoint, over time.Duration) {
	d := drain{endpoint: e}
	for id := range p.table.Cap() {
		if id := flow.ID(id); p.covers(&d, id) {
			if f := p.table.At(id); f.direct {
				p.end(id, l4.Drained)
			} else {
				f.moves = true
			}
		}
	}
	p.startDrain(d, over)
}

func (p *Proxy) startDrain(d drain, over time.Duration) {
	d.Drain, d.running = l4.NewDrain(p.loop.Now(), over), true
	for i := range p.drains {
		if !p.drains[i].running {
			p.drains[i] = d
			p.drainOnce(uint32(i))
			return
		}
	}
	p.drains = append(p.drains, d)
	p.drainOnce(uint32(len(p.drains) - 1))
}

// drainer takes the ticks of drains.
type drainer struct{ p *Proxy }

// Expired does a tick's share.
func (h drainer) Expired(i uint32) { h.p.drainOnce(i) }

func (p *Proxy) drainOnce(i uint32) {
	d := p.drains[i]
	left := 0
	for id := range p.table.Cap() {
		if p.covers(&d, flow.ID(id)) {
			left++
		}
	}
	if left == 0 {
		p.drains[i] = drain{}
		return
	}
	now := p.loop.Now()
	switch {
	case d.endpoint == nil:
		share := p.endSome(&d, d.Share(left, now, p.rand), false)
		if now >= d.BusyFrom {
			p.endSome(&d, share, true)
		}
	case now >= d.Until:
		p.endSome(&d, left, true)
	}
	p.loop.StartTimer(d.Next(now), p.drainTick, i)
}

// restAfter is how long a flow must have been without a datagram to count as resting.
const restAfter = time.Second

// endSome ends at most n of the flows that the drain covers and returns how many of the n are left to end.
func (p *Proxy) endSome(d *drain, n int, busyToo bool) int {
	for id := flow.ID(0); uint32(id) < p.table.Cap() && n > 0; id++ {
		if p.covers(d, id) && (busyToo || p.loop.Now()-p.table.Last(id) >= int64(restAfter)) {
			p.end(id, l4.Drained)
			n--
		}
	}
	return n
}

// endDirect ends what isn't a client's flow, of a listener that goes.
func (p *Proxy) endDirect(ln *listening) {
	for id := flow.ID(0); uint32(id) < p.table.Cap(); id++ {
		if p.table.Live(id) && p.table.At(id).direct && p.table.At(id).on == ln {
			p.end(id, l4.Drained)
		}
	}
}
