package udp

import (
	"weir/l4"
	"weir/l4/flow"
)

// sweepLook is how many flows a tick of the sweep looks at.
const sweepLook = 4096

// Overload tells the stage that the process has come to. On the loop.
func (p *Proxy) Overload(stage l4.Stage) {
	p.pressure.Enter(stage)
}

// sweep looks at the next flows.
func (p *Proxy) sweep() {
	n := p.table.Cap()
	now := p.loop.Now()
	var oldest l4.Oldest
	for range min(n, sweepLook) {
		i := p.pressure.Next(n)
		id := flow.ID(i)
		if !p.table.Live(id) || p.table.At(id).direct {
			continue
		}
		rested := now - p.table.Last(id)
		if rested >= l4.Shortened(int64(p.table.At(id).on.settings.Rules.Idle)) {
			p.end(id, l4.Overloaded)
		} else if p.pressure.Stage >= l4.StageShed && rested >= int64(restAfter) {
			oldest.Offer(i, p.table.Last(id))
		}
	}
	for _, i := range oldest.Due(p.table.Len()) {
		p.end(flow.ID(i), l4.Overloaded)
	}
}

// LeaveEndpoint has the flows of an endpoint that went down go to others with their next datagrams, but for those of clusters that keep them. When many
// go down together, the flows are gone through once. On the loop.
func (p *Proxy) LeaveEndpoint(e *l4.Endpoint) {
	if e.Balance.Active() == 0 {
		return // nor has it a flow here
	}
	if p.left == nil {
		p.left = map[*l4.Endpoint]struct{}{}
	}
	p.left[e] = struct{}{}
}

// leave marks the flows of the endpoints that are to be left. It is called when the first datagram comes.
func (p *Proxy) leave() {
	for id := range p.table.Cap() {
		if id := flow.ID(id); p.table.Live(id) {
			if f := p.table.At(id); !f.direct && !f.cluster.KeepFlows {
				if _, left := p.left[p.upstreams.At(f.upstream-1).endpoint]; left {
					f.moves = true
				}
			}
		}
	}
	p.left = nil
}
