package udp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/flow"
	"weir/lb"
)

// The limits of flows are exact over all loops, and shed new flows only.
func TestMaxFlows(t *testing.T) {
	const limit, crowd = 10, 60
	for _, tc := range []struct {
		name string
		set  func(o *rigOptions, r *rig)
		drop l4.Drop
	}{
		{"listener", func(o *rigOptions, _ *rig) { o.settings.MaxFlows = limit }, l4.DropMaxFlows},
		{"process", func(o *rigOptions, _ *rig) { o.max = limit }, l4.DropMaxConnections},
		{"descriptors", func(_ *rigOptions, r *rig) {
			if r != nil {
				r.shared.SetMax(0, limit*l4.FlowDescriptors, l4.FlowDescriptors)
			}
		}, l4.DropMaxConnections},
		{"cluster", func(o *rigOptions, _ *rig) { o.limits.MaxConnections = limit }, l4.DropClusterFull},
		{"endpoint", func(o *rigOptions, _ *rig) { o.members = []lb.Member{{Weight: 1, MaxConnections: limit}} }, l4.DropEndpointsFull},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := serve(t, echo)
			o := rigOptions{loops: 2}
			tc.set(&o, nil)
			r := newRig(t, o, b.at)
			tc.set(&o, r)
			clients := make([]*end, crowd)
			for i := range clients {
				clients[i] = newEnd(t)
			}
			var wg sync.WaitGroup
			for _, c := range clients {
				wg.Go(func() { c.send(r.addr, []byte("let me in")) })
			}
			wg.Wait()
			r.wantDropped(tc.drop, crowd-limit)
			if n := r.began(); n != limit || r.shared.Active() != limit || r.listener.Active() != limit || r.cluster.Endpoints[0].Balance.Active() != limit || r.cluster.Places.Active() != limit {
				t.Errorf("%d flows, %d places of the process", n, r.shared.Active())
			}
			var in []*end
			r.eventually("those who are in were answered", func() bool { _, sent := r.moved(l4.ToDownstream); return sent == limit })
			for _, c := range clients {
				if _, err := c.receiveWithin(2 * time.Millisecond); err == nil {
					in = append(in, c)
				}
			}
			if len(in) != limit {
				t.Fatalf("%d were answered, want %d", len(in), limit)
			}
			for _, c := range in {
				c.ask(r.addr, "still in", "still in")
			}
			r.doAll(func(_ int, p *Proxy) {
				for id := flow.ID(1); uint32(id) < p.table.Cap(); id++ {
					if p.table.Live(id) {
						p.end(id, l4.IdleTimeout)
						p.forgetResting()
					}
				}
			})
			for _, c := range clients[:limit] {
				c.ask(r.addr, "now", "now")
			}
			r.wantDropped(tc.drop, crowd-limit)
			r.finish()
		})
	}
}

// forgetResting closes the sockets at rest, and lets go of those that flows have left, as if that had been long ago. On the loop.
func (p *Proxy) forgetResting() {
	for i := range p.leaving {
		d := &p.leaving[i]
		if u := p.upstreams.At(d.index); u.endpoint != nil && u.flow == d.flow && u.since == d.since {
			u.since -= int64(hearFor)
		}
		d.since -= int64(hearFor)
	}
	tidying{p}.Expired(0)
	p.closeResting()
}

// Under a crowd that comes and goes there are never more flows than there may be, and each client is served in the end.
func TestMaxFlowsChurn(t *testing.T) {
	const limit, crowd, rounds = 5, 24, 10
	var r *rig
	var most atomic.Int64
	b := newEnd(t)
	r = newRig(t, rigOptions{loops: 2, settings: Settings{MaxFlows: limit, Rules: flow.Rules{Responses: 1}}}, b.at)
	go b.serve(func(e *end, a arrival) {
		most.Store(max(most.Load(), r.listener.Active()))
		echo(e, a)
	})
	var wg sync.WaitGroup
	for i := range crowd {
		c := newEnd(t)
		wg.Go(func() {
			for k := range rounds {
				question := fmt.Sprint(i, k)
				for deadline := time.Now().Add(waiting); ; {
					c.send(r.addr, []byte(question))
					if a, err := c.receiveWithin(5 * time.Millisecond); err == nil && string(a.data) == question {
						break
					}
					if time.Now().After(deadline) {
						t.Errorf("client %d was never served", i)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > limit || n == 0 {
		t.Errorf("%d flows at once, limit %d", n, limit)
	}
	r.finish()
}
