package tcp

import (
	"slices"
	"time"

	"weir/l4"
)

// A session that finds its cluster full waits for a place, if the cluster's limits let it: in one queue for the process, in which each is woken on
// its own loop. See l4.Places.

// What stands for no reason to end.
const (
	stillWaits = l4.NumReasons     // it has to wait
	noReason   = l4.NumReasons + 1 // it goes on
)

// pick takes a place on an endpoint. false: there is none, and reason is why the session ends, or stillWaits. The attempt's cluster may become a
// successor of what it was.
func (p *Proxy) pick(s *session, i uint32, a *attempt) (index int, reason l4.CloseReason, ok bool) {
	if !a.waiting && a.cluster.Limits.MaxPending > 0 && a.cluster.Places.Waiting() > 0 {
		// Others have waited longer.
		if reason := p.beginWaiting(s, i, a); reason != noReason {
			return 0, reason, false
		}
	}
	for range restTries {
		a.renew()
		c := a.cluster
		index, verdict := c.Pick(&a.request)
		switch verdict {
		case l4.Picked:
			return index, 0, true
		case l4.NoneUsable:
			c.Loops[p.id].NoEndpoint.Add(1)
			return 0, l4.NoEndpoint, false
		}
		switch {
		case a.waiting:
			if c.Places.Rest(&a.waiter) {
				p.rest(s, i, a)
				return 0, stillWaits, false
			}
		case c.Limits.MaxPending <= 0:
			return 0, p.refuse(c, verdict), false
		default:
			if reason := p.beginWaiting(s, i, a); reason != noReason {
				return 0, reason, false
			}
			// With a place in the queue, no place that is freed is missed.
		}
	}
	p.setTimer(s, i, p.loop.Now()+int64(time.Millisecond))
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

// beginWaiting enters the queue. It returns why the session ends, or that it stillWaits, or noReason if it's the only one there, and tries.
func (p *Proxy) beginWaiting(s *session, i uint32, a *attempt) l4.CloseReason {
	c := a.cluster
	if a.waiter.Wake == nil {
		turn := func() { p.turnCame(a) }
		a.waiter.Wake = func() { _ = p.loop.Post(turn) } // a loop that has stopped has nobody waiting
	}
	entry := c.Places.Enter(&a.waiter, c.Limits.MaxPending)
	if entry == l4.Refused {
		c.Loops[p.id].PendingFull.Add(1)
		return l4.PendingFull
	}
	c.Loops[p.id].Waited.Add(1)
	a.waiting, a.since = true, p.loop.Now()
	if entry == l4.Queued {
		p.rest(s, i, a)
		return stillWaits
	}
	return noReason
}

// rest waits to be woken.
func (p *Proxy) rest(s *session, i uint32, a *attempt) {
	a.index = pending
	p.setTimer(s, i, a.waitsUntil())
}

// waitsUntil is when it has waited for too long.
func (a *attempt) waitsUntil() int64 { return a.since + int64(a.cluster.Limits.PendingTimeout) }

// turnCame tries again after a place was freed.
func (p *Proxy) turnCame(a *attempt) {
	if a.cluster == nil || !a.waiting || !a.cluster.Places.Claim(&a.waiter) {
		return // it has gone
	}
	a.index = none
	p.tryNext(p.sessions.At(a.session), a.session, a)
}

// renew goes on with the cluster's successor, if there is one by now. Its places are the same; and what is found out of endpoints from now on, it alone
// knows.
func (a *attempt) renew() {
	was, c := a.cluster, a.cluster.Latest()
	if c == was {
		return
	}
	tried := a.request.Tried // whose indexes are of the other's endpoints
	a.cluster = c
	a.request.Tried.Clear()
	for i, e := range was.Endpoints {
		if !tried.Has(i) {
			continue
		}
		if j := slices.Index(c.Endpoints, e); j >= 0 {
			a.request.Tried.Add(j)
		}
	}
}

// stopWaiting leaves the queue, if it is there, with a place or without.
func (p *Proxy) stopWaiting(a *attempt, served bool) {
	if a.waiting {
		a.waiting = false
		a.cluster.Places.Leave(&a.waiter, served)
	}
}

// gotPlace leaves the queue for a place.
func (p *Proxy) gotPlace(a *attempt) {
	if a.waiting {
		a.cluster.Loops[p.id].WaitTime.Observe(time.Duration(p.loop.Now() - a.since))
		p.stopWaiting(a, true)
	}
}
