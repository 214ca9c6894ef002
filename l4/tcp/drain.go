package tcp

import (
	"time"

	"weir/l4"
)

// drain ends some sessions gradually.
type drain struct {
	l4.Drain
	listener *l4.Listener // nil = any
	endpoint *l4.Endpoint // nil = any
	running  bool
}

func (d *drain) covers(s *session) bool {
	return s.state != ended &&
		(d.listener == nil || s.on.listener == d.listener) &&
		(d.endpoint == nil || s.endpoint == d.endpoint)
}

// Drain stops accepting on all listeners and ends all sessions gradually by the time given. On the loop.
func (p *Proxy) Drain(over time.Duration) {
	for _, ln := range p.listening {
		if ln != nil && !ln.closed {
			p.closeListening(ln)
		}
	}
	p.startDrain(drain{}, over)
}

// DrainListener ends the sessions of a listener gradually by the time given. On the loop.
func (p *Proxy) DrainListener(l *l4.Listener, over time.Duration) {
	p.startDrain(drain{listener: l}, over)
}

// DrainEndpoint ends the sessions of an endpoint gradually by the time given. On the loop.
func (p *Proxy) DrainEndpoint(e *l4.Endpoint, over time.Duration) {
	p.startDrain(drain{endpoint: e}, over)
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
	left, coming := 0, false
	for j := range p.sessions.Cap() {
		switch s := p.sessions.At(j); {
		case d.covers(s):
			left++
		case d.endpoint != nil && s.state == connecting && s.started <= d.Began:
			coming = true // it picks from the cluster as it was, and may yet come to this endpoint
		}
	}
	if left == 0 && !coming {
		p.drains[i] = drain{}
		return
	}
	now := p.loop.Now()
	share := p.dismissSome(d, d.Share(left, now, p.rand), false)
	if now >= d.BusyFrom {
		p.dismissSome(d, share, true)
	}
	p.loop.StartTimer(d.Next(now), p.drainTimer, i)
}

// dismissSome ends at most n of the sessions that the drain covers and returns how many of the n are left to end.
func (p *Proxy) dismissSome(d drain, n int, busyToo bool) int {
	for j := uint32(0); j < p.sessions.Cap() && n > 0; j++ {
		if s := p.sessions.At(j); d.covers(s) && (busyToo || !p.busy(s)) {
			p.dismiss(s, j, l4.Drained)
			n--
		}
	}
	return n
}

// How a session is found that gives way to a new client: the one longest without a byte among some looked at, and only if it is
// idle by any measure. Looking at all of them would cost as much as there are for every client that comes.
const (
	displaceSample = 32
	displaceAfter  = 5 * time.Second
)

// idlest returns the session of this loop that is to give way to a new client, nobody when none does.
func (p *Proxy) idlest() uint32 {
	n := p.sessions.Cap()
	if n == 0 {
		return nobody
	}
	index, since := nobody, p.loop.Now()-int64(displaceAfter)
	start := uint32(p.rand.Uint64() % uint64(n))
	for k := range min(n, displaceSample) {
		j := (start + k) % n
		if s := p.sessions.At(j); s.state == streaming && s.active <= since {
			index, since = j, s.active
		}
	}
	return index
}
