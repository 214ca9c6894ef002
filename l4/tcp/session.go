package tcp

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/access"
)

// The sides of a session. Direction d of bytes goes from side d to side 1-d.
const (
	downstream = 0 // the client
	upstream   = 1 // the endpoint
)

// state of a session:
//
//	         accepted
//	            │ pick, connect
//	            v
//	┌──── connecting ────┐
//	│ next attempt ^  │  │ connected
//	└──────────────┘  │  v
//	     no more left │ streaming ──FIN of one side──> streaming, half closed
//	                  v  │                                   │
//	                ended <──────── both FINs, reset, timeout, drain
type state uint8

const (
	ended state = iota // the zero value: the slab's unused sessions
	connecting
	streaming
)

// stream is one side of a session: a socket and what the poller has said of it since it last said EAGAIN.
type stream struct {
	tok        eventloop.Token
	fd         int32 // -1 = none
	readable   bool
	writable   bool
	muted      bool // not told of arrivals, because there are unread ones
	peerClosed bool // a FIN has come: a short read is the last one
	urgent     bool // urgent data is, was or may be in the queue: a short read says nothing
	eof        bool // everything before the FIN was read
	finSent    bool // our FIN was sent
	wrote      bool // bytes were written to it
	noDelay    bool
}

// session is one client's connection and its endpoint's. It belongs to one loop. About 200 bytes: idle sessions are most of
// what a large deployment holds.
type session struct {
	sides    [2]stream
	dirs     [2]direction
	on       *listening
	settings *Settings
	endpoint *l4.Endpoint // nil = none taken
	counters *l4.EndpointCounters
	timer    eventloop.TimerID
	started  int64 // loop time, ns
	active   int64 // loop time of the last byte, ns
	attempt  uint32
	state    state
	firstFIN uint8  // side + 1; 0 = none yet
	answered bool   // the endpoint has sent a byte
	source   uint32 // place of the client's address + 1, where it is counted by source; 0 = it isn't
	kept     bool   // the endpoint's socket has its keepalive
}

// streams takes the events of both sides' sockets; arg is the session's index doubled, plus the side.
type streams struct{ p *Proxy }

// Ready notes what the poller says and moves what can move.
func (h streams) Ready(tok eventloop.Token, arg uint32, ev eventloop.Events) {
	p, i, side := h.p, arg>>1, int(arg&1)
	s := p.sessions.At(i)
	st := &s.sides[side]
	if ev&(eventloop.Readable|eventloop.PeerClosed|eventloop.HungUp) != 0 {
		if st.readable && !st.muted && s.dirs[side].pending() && !s.sides[1-side].writable {
			p.mute(st)
		}
		st.readable = true
		if ev&(eventloop.PeerClosed|eventloop.HungUp) != 0 {
			st.peerClosed = true
		}
	}
	if ev&eventloop.Urgent != 0 {
		st.urgent = true
	}
	if ev&eventloop.Writable != 0 {
		st.writable = true
	}
	if s.state == connecting {
		p.connectingReady(s, i, side, ev)
		return
	}
	if ev&eventloop.Failed != 0 {
		p.fail(s, i, side, eventloop.SocketError(int(st.fd)))
		return
	}
	// What this side has sent, and what waits for it to take.
	if (st.readable || ev == 0) && !p.pump(s, i, side) {
		return
	}
	if st.writable && s.dirs[1-side].pending() {
		p.pump(s, i, 1-side)
	}
}

// open begins a session for an accepted client, which holds a place of the listener, and one of the process unless another session is giving its own.
func (p *Proxy) open(ln *listening, fd int, client netip.AddrPort, giving uint32) {
	i, s := p.sessions.Get()
	now := p.loop.Now()
	*s = session{on: ln, settings: ln.settings, state: connecting, started: now, active: now}
	s.sides[downstream] = stream{fd: int32(fd), writable: true, noDelay: true} // inherited from the listening socket
	s.sides[upstream].fd = -1
	ln.sessions++
	ln.counters.Sessions.Add(1)
	ln.counters.Active.Add(1)
	p.counters.Sessions.Add(1)
	p.counters.Active.Add(1)

	why := p.admit(s, client.Addr())
	if giving != nobody {
		// The place goes from the one to the other, or nobody else would have it but one who came later. Who isn't let in doesn't get it.
		p.passesOn = true
		if why == access.None {
			p.dismiss(p.sessions.At(giving), giving, l4.Displaced)
		} else {
			p.turnAway(s, i, l4.ReasonOf(why))
		}
		p.passesOn = false
	} else if why != access.None {
		p.turnAway(s, i, l4.ReasonOf(why))
	}
	if why != access.None {
		return
	}
	tok, err := p.loop.Register(fd, p.streaming, i<<1|downstream, streamEvents)
	if err != nil {
		p.turnAway(s, i, l4.Internal)
		return
	}
	s.sides[downstream].tok = tok
	cluster := s.settings.Routes.Match(client.Addr(), "")
	if cluster == nil {
		p.abort(s, i, l4.NoCluster)
		return
	}
	p.beginConnecting(s, i, cluster, client)
}

// admit asks whether the client may come in, and counts it by its source if there is a rule about that.
func (p *Proxy) admit(s *session, client netip.Addr) access.Refusal {
	why, counted := s.on.listener.Gate.Enter(s.settings.Access, client, p.loop.Now())
	if counted {
		i, a := p.sources.Get()
		*a, s.source = client, i+1
	}
	return why
}

// turnAway ends a session whose client's socket isn't registered, with a reset.
func (p *Proxy) turnAway(s *session, i uint32, reason l4.CloseReason) {
	fd := int(s.sides[downstream].fd)
	eventloop.SetAbort(fd)
	_ = unix.Close(fd)
	s.sides[downstream].fd = -1
	p.end(s, i, reason)
}

// streamEvents is what a stream socket is registered for, once.
const streamEvents = eventloop.Readable | eventloop.Writable | eventloop.PeerClosed | eventloop.Urgent

// fail ends the session after the socket of one side has failed: what that side had sent before still goes to the other
// as far as it takes it, which then gets a reset.
func (p *Proxy) fail(s *session, i uint32, side int, e unix.Errno) {
	p.salvage(s, side)
	p.abort(s, i, failure(s, side, e))
}

// failure names the end of a session whose side met e.
func failure(s *session, side int, e unix.Errno) l4.CloseReason {
	lost := e == unix.ETIMEDOUT || e == unix.EHOSTUNREACH || e == unix.ENETUNREACH || e == unix.ENETDOWN
	switch {
	case side == downstream && lost:
		return l4.DownstreamLost
	case side == downstream:
		return l4.DownstreamReset
	case lost:
		return l4.UpstreamLost
	case !s.answered:
		return l4.UpstreamRefused
	}
	return l4.UpstreamReset
}

// finish ends the session after both FINs: closing sends the second one.
func (p *Proxy) finish(s *session, i uint32) {
	reason := l4.DownstreamClosed
	if s.firstFIN == upstream+1 {
		reason = l4.UpstreamClosed
	}
	p.end(s, i, reason)
}

// abort ends the session with a reset to whoever is still there, so that nothing that was cut short looks complete.
func (p *Proxy) abort(s *session, i uint32, reason l4.CloseReason) {
	for side := range s.sides {
		if fd := s.sides[side].fd; fd >= 0 {
			eventloop.SetAbort(int(fd))
		}
	}
	p.end(s, i, reason)
}

// dismiss ends a session that weir itself has had enough of: with FIN when it rests and nothing is held for either side, else with a reset.
func (p *Proxy) dismiss(s *session, i uint32, reason l4.CloseReason) {
	if s.state == streaming && !p.busy(s) {
		p.end(s, i, reason)
		return
	}
	p.abort(s, i, reason)
}

// restAfter is how long a session must have been without a byte to count as resting.
const restAfter = time.Second

// busy reports whether ending the session now would cut something short, as far as weir can tell.
func (p *Proxy) busy(s *session) bool {
	return s.dirs[0].pending() || s.dirs[1].pending() || s.firstFIN != 0 || p.loop.Now()-s.active < int64(restAfter)
}

// end gives back all that the session has and counts its end.
func (p *Proxy) end(s *session, i uint32, reason l4.CloseReason) {
	s.state = ended
	for d := range s.dirs {
		p.discard(&s.dirs[d])
	}
	for side := range s.sides {
		if st := &s.sides[side]; st.fd >= 0 {
			p.loop.Close(st.tok)
			st.fd = -1
		}
	}
	if s.timer != 0 {
		p.loop.StopTimer(s.timer)
	}
	p.leaveAttempt(s)
	if s.endpoint != nil {
		p.judgeEnd(s, reason)
		s.endpoint.Release()
	}
	ln := s.on
	if s.source != 0 {
		ln.listener.Gate.Leave(*p.sources.At(s.source - 1))
		p.sources.Put(s.source - 1)
	}
	ln.counters.Closed[reason].Add(1)
	ln.counters.Duration.Observe(time.Duration(p.loop.Now() - s.started))
	ln.counters.Active.Add(-1)
	p.counters.Active.Add(-1)
	// The session lets go of what the configuration may have replaced.
	s.on, s.settings, s.endpoint, s.counters = nil, nil, nil, nil
	p.sessions.Put(i)
	ln.sessions--
	p.forgetListening(ln)
	ln.listener.Give()
	if p.passesOn {
		p.shared.Free(0) // wakes who waits for a place of the listener
		return
	}
	p.shared.Give(l4.SessionDescriptors)
}

// judgeEnd counts what the end of a session says of its endpoint.
func (p *Proxy) judgeEnd(s *session, reason l4.CloseReason) {
	switch reason {
	case l4.UpstreamReset:
		s.counters.Resets.Add(1)
	case l4.UpstreamRefused:
		s.counters.Resets.Add(1)
		s.counters.Early.Add(1)
		s.endpoint.Failed(p.id)
	case l4.UpstreamLost:
		if !s.answered {
			s.endpoint.Failed(p.id)
		}
	case l4.DownstreamClosed, l4.UpstreamClosed:
		if !s.answered { // it had nothing to say
			s.endpoint.Conduct.Succeeded()
		}
	}
}
