package tcp

import (
	"time"

	"weir/l4"
)

// A session that finds its cluster full waits for a place, if the cluster's limits let it: in one queue for the process, in which each is woken on
// its own loop. See l4.Places.

// stillWaits stands for no reason to end.
const stillWaits = l4.NumReasons

// pick takes a place on an endpoint. false: there is none, and reason is why the session ends, or stillWaits.
func (p *Proxy) pick(s *session, i uint32, a *attempt) (index int, reason l4.CloseReason, ok bool) {
	c := a.cluster
	places := c.Places
	if !a.waiting && c.Limits.MaxPending > 0 && places.Waiting() > 0 {
		// Others have waited longer.
		if reason, ok := p.beginWaiting(a); !ok {
			return 0, reason, false
		}
		if !places.First(&a.waiter) && p.rest(s, i, a) {
			return 0, stillWaits, false
		}
	}
	for range restTries {
		index, verdict := c.Pick(&a.request)
		switch verdict {
		case l4.Picked:
			return index, 0, true
		case l4.NoneUsable:
			c.Loops[p.id].NoEndpoint.Add(1)
			return 0, l4.NoEndpoint, false
		}
		if !a.waiting {
			if c.Limits.MaxPending <= 0 {
				return 0, p.refuse(c, verdict), false
			}
			if reason, ok := p.beginWaiting(a); !ok {
				return 0, reason, false
			}
			continue // with a place in the queue, no place that is freed is missed
		}
		if p.rest(s, i, a) {
			return 0, stillWaits, false
		}
	}
	p.setTimer(s, i, p.loop.Now()+int64(time.Millisecond))
	a.index = waited
	return 0, stillWaits, false
}

// restTries is how often one looks again because a place was freed while it looked: others were faster each time.
const restTries = 8

// refuse counts one that may not wait.
func (p *Proxy) refuse(c *l4.Cluster, v l4.Verdict) l4.CloseReason {
	if v == l4.ClusterBusy {
		c.Loops[p.id].ClusterFull.Add(1)
		return l4.ClusterFull
	}
	c.Loops[p.id].Full.Add(1)
	return l4.EndpointsFull
}

// beginWaiting enters the queue; false if it is full.
func (p *Proxy) beginWaiting(a *attempt) (l4.CloseReason, bool) {
	c := a.cluster
	if a.waiter.Wake == nil {
		turn := func() { p.turnCame(a) }
		a.waiter.Wake = func() { _ = p.loop.Post(turn) } // a loop that has stopped has nobody waiting
	}
	if !c.Places.Enter(&a.waiter, c.Limits.MaxPending) {
		c.Loops[p.id].PendingFull.Add(1)
		return l4.PendingFull, false
	}
	c.Loops[p.id].Waited.Add(1)
	a.waiting, a.since = true, p.loop.Now()
	return 0, true
}

// rest waits to be woken; false: a place was freed meanwhile.
func (p *Proxy) rest(s *session, i uint32, a *attempt) bool {
	if !a.cluster.Places.Rest(&a.waiter) {
		return false
	}
	a.index = pending
	p.setTimer(s, i, a.since+int64(a.cluster.Limits.PendingTimeout))
	return true
}

// turnCame tries again after a place was freed.
func (p *Proxy) turnCame(a *attempt) {
	if a.cluster == nil || !a.waiting || !a.cluster.Places.Claim(&a.waiter) {
		return // it has gone
	}
	s := p.sessions.At(a.session)
	a.index = none
	if c := s.on.settings.Routes.Named(a.cluster.Name); c != nil && c != a.cluster {
		a.cluster = c // whose places are the same
		a.request.Tried.Clear()
	}
	p.tryNext(s, a.session, a)
}

// stopWaiting leaves the queue, if it is there.
func (p *Proxy) stopWaiting(a *attempt) {
	if a.waiting {
		a.waiting = false
		a.cluster.Places.Leave(&a.waiter)
	}
}

// gotPlace leaves the queue for a place.
func (p *Proxy) gotPlace(a *attempt) {
	if a.waiting {
		a.cluster.Loops[p.id].WaitTime.Observe(time.Duration(p.loop.Now() - a.since))
		p.stopWaiting(a)
	}
}
