package udp

import (
	"fmt"

	"weir/l4"
)

// This file is what tests look at in the end: counts, sums, and what is left.

// closed returns how often flows have ended for a reason, over all loops.
func (r *rig) closed(reason l4.CloseReason) (n uint64) {
	for i := range r.listener.Loops {
		n += r.listener.Loops[i].Closed[reason].Load()
	}
	return n
}

// dropped returns how many datagrams were dropped for a reason, over all loops.
func (r *rig) dropped(d l4.Drop) (n uint64) {
	for i := range r.listener.Loops {
		n += r.listener.Loops[i].Dropped[d].Load()
	}
	return n
}

// counts lists the counts that are not zero, for messages.
func (r *rig) counts() (s string) {
	for reason := range l4.NumReasons {
		if n := r.closed(reason); n > 0 {
			s += fmt.Sprintf(" %s=%d", reason, n)
		}
	}
	for d := range l4.NumDrops {
		if n := r.dropped(d); n > 0 {
			s += fmt.Sprintf(" dropped/%s=%d", d, n)
		}
	}
	for d, name := range [...]string{"up", "down"} {
		got, sent := r.moved(l4.Direction(d))
		s += fmt.Sprintf(" %s=%d/%d", name, got, sent)
	}
	return s
}

// moved returns how many datagrams were received and sent on in a direction.
func (r *rig) moved(d l4.Direction) (received, sent uint64) {
	var sizes l4.SizesReading
	for i := range r.listener.Loops {
		c := &r.listener.Loops[i]
		sizes.Add(&c.Received[d])
		sent += c.Datagrams[d].Load()
	}
	return sizes.Sum, sent
}

// began returns how many flows have begun, over all loops.
func (r *rig) began() (n uint64) {
	for i := range r.listener.Loops {
		n += r.listener.Loops[i].Sessions.Load()
	}
	return n
}

// wantDropped waits until n datagrams were dropped for a reason.
func (r *rig) wantDropped(d l4.Drop, n uint64) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d datagrams dropped as %s", n, d), func() bool { return r.dropped(d) >= n })
	if got := r.dropped(d); got != n {
		r.t.Fatalf("%d datagrams dropped as %s, want %d:%s", got, d, n, r.counts())
	}
}

// wantClosed waits until the reason has been counted n times, and checks that no flow ended for another.
func (r *rig) wantClosed(reason l4.CloseReason, n uint64) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d flows closed by %s", n, reason), func() bool { return r.closed(reason) >= n })
	for other := range l4.NumReasons {
		if got := r.closed(other); other != reason && got != 0 || other == reason && got != n {
			r.t.Fatalf("want %s=%d alone, got%s", reason, n, r.counts())
		}
	}
}

// wantNoDrops checks that every datagram that came was sent on.
func (r *rig) wantNoDrops() {
	r.t.Helper()
	r.settle()
	for d := range l4.NumDrops {
		if r.dropped(d) != 0 {
			r.t.Fatalf("dropped:%s", r.counts())
		}
	}
}

// finish drains the listener at once and checks that nothing is left, that all that flows take was given back, and that the sums add up.
func (r *rig) finish() {
	r.t.Helper()
	r.doAll(func(_ int, p *Proxy) { p.Drain(0) })
	r.eventually("no flow is left", func() bool { return r.shared.Active() == 0 })
	for i := range r.loops {
		r.eventually("no drain is under way", func() (over bool) {
			r.do(i, func(p *Proxy) {
				over = true
				for i := range p.drains {
					if p.drains[i].running {
						p.drainOnce(uint32(i)) // rather than wait for its tick
					}
					over = over && !p.drains[i].running
				}
			})
			return over
		})
		r.do(i, func(p *Proxy) { r.wantNothingOn(i, p) })
	}
	if n := r.listener.Active(); n != 0 {
		r.t.Errorf("the listener has %d flows", n)
	}
	for _, e := range r.cluster.Endpoints {
		if n := e.Balance.Active(); n != 0 {
			r.t.Errorf("endpoint %s has %d flows", e.Address, n)
		}
	}
	if n := r.cluster.Places.Active(); n != 0 {
		r.t.Errorf("the cluster has %d flows", n)
	}
	const places = 1000
	if r.shared.SetMax(0, places, l4.FlowDescriptors); r.shared.Max() != places {
		r.t.Errorf("descriptors for %d flows are left of %d", r.shared.Max(), places)
	}
	var received, sent, dropped uint64
	for _, d := range []l4.Direction{l4.ToUpstream, l4.ToDownstream} {
		got, went := r.moved(d)
		received, sent = received+got, sent+went
	}
	for d := range l4.DropReceiveOverflow {
		dropped += r.dropped(d)
	}
	if received != sent+dropped {
		r.t.Errorf("%d datagrams received, %d sent and %d dropped:%s", received, sent, dropped, r.counts())
	}
}

// wantNothingOn checks what one loop is left with. Sockets at rest are made to have rested for long.
func (r *rig) wantNothingOn(i int, p *Proxy) {
	r.t.Helper()
	p.forgetResting()
	if n := p.upstreams.Len(); n != 0 {
		r.t.Errorf("loop %d: %d sockets to endpoints are left", i, n)
	}
	if p.sockets.Len() != 0 || p.table.Len() != 0 || len(p.held) != 0 || len(p.leaving) != 0 {
		r.t.Errorf("loop %d: %d sockets, %d flows, %d held and %d left endpoints", i, p.sockets.Len(), p.table.Len(), len(p.held), len(p.leaving))
	}
	for j, ln := range p.listening {
		if ln != nil {
			r.t.Errorf("loop %d: listener %d is kept: %+v", i, j, *ln)
		}
	}
	var began uint64
	for _, l := range append([]*l4.Listener{r.listener}, r.more...) {
		c := &l.Loops[i]
		var ended uint64
		for reason := range l4.NumReasons {
			ended += c.Closed[reason].Load()
		}
		var durations l4.HistogramReading
		durations.Add(&c.Duration)
		timed := durations.Count()
		if n := c.Sessions.Load(); n != ended || n != timed || c.Active.Load() != 0 {
			r.t.Errorf("loop %d, listener %s: %d flows began, %d ended, %d timed, %d active", i, l.Name, n, ended, timed, c.Active.Load())
		}
		began += c.Sessions.Load()
	}
	if n := p.counters.Sessions.Load(); n != began || p.counters.Active.Load() != 0 {
		r.t.Errorf("loop %d: %d flows began, %d were counted, %d active", i, began, n, p.counters.Active.Load())
	}
}
