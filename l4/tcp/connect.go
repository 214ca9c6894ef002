package tcp

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/lb"
)

// Backoff before an endpoint is tried again that has just failed: it doubles from first to most, and each wait is
// drawn from its upper half. Another endpoint is tried at once.
const (
	backoffFirst = 25 * time.Millisecond
	backoffMost  = time.Second
)

// attempt is what a session needs only until it is connected.
type attempt struct {
	cluster  *l4.Cluster
	request  lb.Request
	began    int64 // loop time of the present attempt, ns
	number   int   // attempts so far
	index    int   // the member being tried, none, resting or pending
	session  uint32
	rested   bool  // the backoff before the next attempt is over
	retrying bool  // the present attempt has a place among the cluster's retries
	waiting  bool  // has entered the queue for a place
	since    int64 // loop time of that, ns
	last     l4.CloseReason
	waiter   l4.Waiter
}

// beginConnecting starts the first attempt.
func (p *Proxy) beginConnecting(s *session, i uint32, c *l4.Cluster, client netip.AddrPort) {
	var a *attempt
	s.attempt, a = p.attempts.Get()
	s.attempt++ // 0 means none
	*a = attempt{cluster: c, index: none, session: i, last: l4.NoEndpoint, waiter: a.waiter}
	a.request.Rand = p.rand
	a.request.Hash = c.HashOn.Hash(client)
	p.tryNext(s, i, a)
}

// leaveAttempt gives the attempt's record back.
func (p *Proxy) leaveAttempt(s *session) {
	if s.attempt != 0 {
		a := p.attempts.At(s.attempt - 1)
		p.giveRetry(a)
		p.stopWaiting(a, false)
		a.cluster = nil
		p.attempts.Put(s.attempt - 1)
		s.attempt = 0
	}
}

// tryNext picks endpoints and begins to connect until one attempt is under way or none is left.
func (p *Proxy) tryNext(s *session, i uint32, a *attempt) {
	for a.number < a.cluster.Attempts {
		index, reason, ok := p.pick(s, i, a)
		if !ok {
			if reason != stillWaits {
				p.abort(s, i, reason)
			}
			return
		}
		s.endpoint = a.cluster.Endpoints[index]
		s.counters = &s.endpoint.Loops[p.id]
		if a.request.Tried.Has(index) && !a.rested {
			// All were tried: wait a little, on no endpoint's account.
			p.stopWaiting(a, true) // whose place goes to the next
			s.endpoint.Release()
			s.endpoint, s.counters = nil, nil
			p.backOff(s, i, a)
			return
		}
		if a.number > 0 && !p.takeRetry(a) {
			p.abort(s, i, l4.RetryLimit)
			return
		}
		p.gotPlace(a)
		a.number++
		a.index, a.rested = index, false
		a.began = p.loop.Now()
		a.request.Tried.Add(index)
		e := p.connect(s, i)
		if e == 0 {
			p.setTimer(s, i, a.began+int64(a.cluster.ConnectTimeout))
			return
		}
		if p.giveUpEndpoint(s, a, e); a.last == l4.NoDescriptors {
			break
		}
	}
	p.abort(s, i, a.last)
}

// Values of attempt.index that are no member.
const (
	none    = -1
	resting = -2 // it backs off
	pending = -3 // it waits for a place
)

// connect begins a connection to the session's endpoint.
func (p *Proxy) connect(s *session, i uint32) unix.Errno {
	s.counters.Attempts.Add(1)
	fd, e := eventloop.Connect(s.endpoint.Socket())
	if noDescriptor(e) && p.loop.DropIdlePipes() > 0 {
		fd, e = eventloop.Connect(s.endpoint.Socket())
	}
	if e != 0 {
		return e
	}
	tok, err := p.loop.Register(fd, p.streaming, i<<1|upstream, streamEvents)
	if err != nil {
		_ = unix.Close(fd)
		return unix.ENOMEM
	}
	s.sides[upstream] = stream{fd: int32(fd), tok: tok}
	return 0
}

// giveUpEndpoint counts a failed attempt and leaves the endpoint.
func (p *Proxy) giveUpEndpoint(s *session, a *attempt, e unix.Errno) {
	switch e {
	case unix.ECONNREFUSED, unix.ECONNRESET:
		s.counters.Refused.Add(1)
		s.endpoint.Failed(p.id)
		a.last = l4.ConnectRefused
	case unix.ETIMEDOUT:
		s.counters.TimedOut.Add(1)
		s.endpoint.Failed(p.id)
		a.last = l4.ConnectTimeout
	case unix.EMFILE, unix.ENFILE:
		p.pause(s.on, forDescriptors)
		a.last = l4.NoDescriptors
	case unix.EADDRNOTAVAIL, unix.EAGAIN, unix.ENOMEM, unix.ENOBUFS, unix.EPERM, unix.EACCES: // weir's side has no port, no memory or a firewall
		s.counters.ConnectErrors.Add(1)
		a.last = l4.ConnectFailed
	default:
		s.counters.ConnectErrors.Add(1)
		s.endpoint.Failed(p.id)
		a.last = l4.ConnectFailed
	}
	p.leaveEndpoint(s, a)
}

// leaveEndpoint ends the present attempt and gives back what it has taken.
func (p *Proxy) leaveEndpoint(s *session, a *attempt) {
	if s.sides[upstream].fd >= 0 {
		p.loop.Close(s.sides[upstream].tok)
		s.sides[upstream] = stream{fd: -1}
	}
	p.giveRetry(a)
	s.endpoint.Release()
	s.endpoint, s.counters = nil, nil
	a.index = none
}

// takeRetry takes a place among the cluster's retries, if there is one.
func (p *Proxy) takeRetry(a *attempt) bool {
	c := a.cluster
	if a.retrying = c.Places.TakeRetry(&c.Limits); !a.retrying {
		c.Loops[p.id].RetriesRefused.Add(1)
		return false
	}
	c.Loops[p.id].Retries.Add(1)
	return true
}

func (p *Proxy) giveRetry(a *attempt) {
	if a.retrying {
		a.retrying = false
		a.cluster.Places.GiveRetry()
	}
}

// backOff waits before an endpoint is tried for the second time.
func (p *Proxy) backOff(s *session, i uint32, a *attempt) {
	wait := min(backoffFirst<<min(a.number-1, 16), backoffMost)
	wait -= time.Duration(p.rand.Uint64() % uint64(wait/2))
	a.index = resting
	p.setTimer(s, i, p.loop.Now()+int64(wait))
}

// connectingReady takes the events of a session that is not connected yet.
func (p *Proxy) connectingReady(s *session, i uint32, side int, ev eventloop.Events) {
	if side == downstream {
		// A reset ends it. What the client has sent, or its FIN, waits for the endpoint.
		if ev&eventloop.Failed != 0 {
			p.abort(s, i, l4.DownstreamGone)
		}
		return
	}
	a := p.attempts.At(s.attempt - 1)
	if ev&eventloop.Failed != 0 {
		e := eventloop.SocketError(int(s.sides[upstream].fd))
		p.giveUpEndpoint(s, a, e)
		p.tryNext(s, i, a)
		return
	}
	if ev&eventloop.Writable == 0 {
		return
	}
	if fd := int(s.sides[upstream].fd); eventloop.ConnectedToItself(fd, s.endpoint.Address.Port()) {
		eventloop.SetAbort(fd) // or its end would keep the port from the endpoint for a minute
		p.giveUpEndpoint(s, a, unix.ECONNREFUSED)
		p.tryNext(s, i, a)
		return
	}
	p.connected(s, i, a)
}

// connectExpired ends the present attempt, the wait before the next one or that for a place.
func (p *Proxy) connectExpired(s *session, i uint32) {
	a := p.attempts.At(s.attempt - 1)
	switch {
	case a.index >= 0:
		p.giveUpEndpoint(s, a, unix.ETIMEDOUT)
	case a.index == pending || a.waiting && p.loop.Now() >= a.waitsUntil():
		a.cluster.Loops[p.id].PendingTimeout.Add(1)
		p.abort(s, i, l4.PendingTimeout)
		return
	case a.index == resting:
		a.index, a.rested = none, true
	}
	p.tryNext(s, i, a)
}

// connected lets bytes flow.
func (p *Proxy) connected(s *session, i uint32, a *attempt) {
	now := p.loop.Now()
	a.cluster.Loops[p.id].ConnectTime.Observe(time.Duration(now - a.began))
	p.leaveAttempt(s)
	s.counters.Sessions.Add(1)
	s.state = streaming
	s.active = now
	p.setTimer(s, i, p.nextDeadline(s))
	if s.sides[downstream].readable && !p.pump(s, i, downstream) {
		return
	}
	if s.sides[upstream].readable {
		p.pump(s, i, upstream)
	}
}
