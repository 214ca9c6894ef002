package tcp

import "weir/l4"

// sweepLook is how many sessions a tick of the sweep looks at.
const sweepLook = 2048

// Overload tells the stage that the process has come to. On the loop.
func (p *Proxy) Overload(stage l4.Stage) {
	p.pressure.Enter(stage)
	if stage < l4.StageRefuse {
		p.resumeLimited()
	}
}

// sweep looks at the next sessions.
func (p *Proxy) sweep() {
	n := p.sessions.Cap()
	now := p.loop.Now()
	var oldest l4.Oldest
	for range min(n, sweepLook) {
		i := p.pressure.Next(n)
		s := p.sessions.At(i)
		if s.state != streaming || p.busy(s) {
			continue
		}
		if now-s.active >= l4.Shortened(int64(s.settings.IdleTimeout)) {
			p.dismiss(s, i, l4.Overloaded)
		} else if p.pressure.Stage >= l4.StageShed {
			oldest.Offer(i, s.active)
		}
	}
	for _, i := range oldest.Due(p.sessions.Len()) {
		p.dismiss(p.sessions.At(i), i, l4.Overloaded)
	}
}

// closeBatch is how many sessions of an endpoint that went down are ended in one go.
const closeBatch = 256

// CloseEndpoint ends the sessions of an endpoint that went down, with resets. Those that are being connected to it try another. On the loop.
func (p *Proxy) CloseEndpoint(e *l4.Endpoint) { p.closeFrom(e, 0) }

// closeFrom does it for the sessions from index i on.
func (p *Proxy) closeFrom(e *l4.Endpoint, i uint32) {
	for n := 0; i < p.sessions.Cap(); i++ {
		s := p.sessions.At(i)
		if s.endpoint != e {
			continue
		}
		if n++; n > closeBatch {
			_ = p.loop.Post(func() { p.closeFrom(e, i) }) // a loop that has stopped ends all of them
			return
		}
		if s.state == streaming {
			p.abort(s, i, l4.EndpointDown)
			continue
		}
		a := p.attempts.At(s.attempt - 1)
		a.last = l4.EndpointDown
		p.leaveEndpoint(s, a)
		p.tryNext(s, i, a)
	}
}
