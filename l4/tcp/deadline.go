package tcp

import (
	"math"
	"time"

	"weir/eventloop"
	"weir/l4"
)

// Every session has one timer. Bytes don't move it: when it fires, it looks at the time of the last byte and is set again
// for what is due next. That costs a session a few wake-ups in its life, and a message nothing.

// keepaliveAfter is the age at which the endpoint's socket gets its keepalive: short sessions never pay for it.
const keepaliveAfter = 10 * time.Second

// deadlines takes the end of sessions' timers.
type deadlines struct{ p *Proxy }

// Expired looks at what is due for the session.
func (h deadlines) Expired(i uint32) {
	p := h.p
	s := p.sessions.At(i)
	s.timer = 0
	if s.state == connecting {
		p.connectExpired(s, i)
		return
	}
	now := p.loop.Now()
	set := s.settings
	switch {
	case due(s.started, set.MaxDuration, now):
		p.dismiss(s, i, l4.MaxDuration)
		return
	case s.firstFIN != 0 && due(s.active, set.HalfCloseTimeout, now):
		p.abort(s, i, l4.HalfCloseTimeout)
		return
	case due(s.active, set.IdleTimeout, now):
		p.dismiss(s, i, l4.IdleTimeout)
		return
	}
	if !s.kept && now-s.started >= int64(keepaliveAfter) {
		s.kept = true
		eventloop.SetLiveness(int(s.sides[upstream].fd), set.Keepalive, set.UserTimeout)
	}
	p.setTimer(s, i, p.nextDeadline(s))
}

// due reports whether a timeout that runs since then is over; 0 is never.
func due(since int64, timeout time.Duration, now int64) bool {
	return timeout > 0 && now-since >= int64(timeout)
}

// nextDeadline returns when the session's timer is to fire, MaxInt64 for never.
func (p *Proxy) nextDeadline(s *session) int64 {
	at := int64(math.MaxInt64)
	sooner := func(since int64, timeout time.Duration) {
		if timeout > 0 {
			at = min(at, since+int64(timeout))
		}
	}
	set := s.settings
	sooner(s.active, set.IdleTimeout)
	sooner(s.started, set.MaxDuration)
	if s.firstFIN != 0 {
		sooner(s.active, set.HalfCloseTimeout)
	}
	if !s.kept && (set.Keepalive > 0 || set.UserTimeout > 0) {
		sooner(s.started, keepaliveAfter)
	}
	return at
}

// setTimer sets the session's timer to fire at the time at.
func (p *Proxy) setTimer(s *session, i uint32, at int64) {
	switch {
	case at == math.MaxInt64:
		if s.timer != 0 {
			p.loop.StopTimer(s.timer)
			s.timer = 0
		}
	case s.timer == 0 || !p.loop.MoveTimer(s.timer, at):
		s.timer = p.loop.StartTimer(at, p.timer, i)
	}
}
