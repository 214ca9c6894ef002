package udp

import (
	"testing"
	"time"

	"weir/l4"
	"weir/l4/access"
	"weir/l4/flow"
)

// overload tells all loops a stage.
func (r *rig) overload(stage l4.Stage) {
	r.t.Helper()
	r.doAll(func(_ int, p *Proxy) { p.Overload(stage) })
}

// rested begins n flows, one after another, and returns when all have rested for as long as flows have to.
func (r *rig) rested(n int) (clients []*end) {
	r.t.Helper()
	for range n {
		c := newEnd(r.t)
		c.ask(r.addr, "x", "x")
		clients = append(clients, c)
		r.doAll(func(int, *Proxy) {}) // another turn, another time
	}
	r.eventually("the flows have rested", func() (ok bool) {
		r.do(0, func(p *Proxy) {
			ok = p.loop.Now()-p.table.Last(p.ofClient(r.t, clients[n-1].at, r.addr)) >= int64(restAfter)
		})
		return ok
	})
	return clients
}

// has reports whether the first loop has a flow of the client.
func (r *rig) has(c *end) (ok bool) {
	r.t.Helper()
	r.do(0, func(p *Proxy) {
		for id := flow.ID(1); uint32(id) < p.table.Cap(); id++ {
			ok = ok || p.table.Live(id) && p.table.At(id).client.AddrPort() == c.at
		}
	})
	return ok
}

// In StageShorten flows end that have rested for an eighth of their idle timeout, and no others; when it is over nothing sweeps.
func TestSweepShortens(t *testing.T) {
	r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: 8 * time.Second}, Access: &access.Rules{MaxPerSource: 100}}}, serve(t, echo).at)
	r.rested(5)
	busy := newEnd(t)
	busy.ask(r.addr, "x", "x")
	r.wantSources("127.0.0.1", 6)
	r.overload(l4.StageShorten)
	r.overload(l4.StageShorten)
	r.wantClosed(l4.Overloaded, 5)
	busy.ask(r.addr, "still in", "still in")
	r.wantSources("127.0.0.1", 1)
	r.overload(l4.StageCalm)
	r.eventually("nothing sweeps", func() (over bool) {
		r.do(0, func(p *Proxy) { over = !p.pressure.Running() })
		return over
	})
	newEnd(t).ask(r.addr, "x", "x")
	r.wantNoDrops()
	r.finish()
}

// In StageShed those end as well that have rested for a second, the one that has rested longest first; at most a share of all at each tick.
func TestSweepSheds(t *testing.T) {
	o := rigOptions{settings: Settings{Rules: flow.Rules{Idle: time.Hour}}}
	r := newRig(t, o, serve(t, echo).at)
	clients := r.rested(5)
	busy := newEnd(t)
	busy.ask(r.addr, "x", "x")
	sweep := func(stage l4.Stage) {
		r.do(0, func(p *Proxy) {
			p.pressure.Stage = stage
			p.sweep()
			p.pressure.Stage = l4.StageCalm
		})
	}
	sweep(l4.StageShorten)
	for i, c := range clients[:4] {
		if !r.has(c) {
			t.Fatalf("flow %d ended before its time", i)
		}
		sweep(l4.StageShed)
		if r.has(c) {
			t.Fatalf("flow %d is the oldest, and was not ended", i)
		}
	}
	r.wantClosed(l4.Overloaded, 4)
	r.overload(l4.StageShed)
	r.wantClosed(l4.Overloaded, 5)
	if !r.has(busy) {
		t.Error("a busy flow ended")
	}
	r.wantNoDrops()
	r.finish()
}

// In StageRefuse no flow begins, and those that there are go on; afterwards they begin again. Per-packet listeners have none to begin.
func TestRefusesFlows(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		o.loops, o.settings.Access = 2, &access.Rules{MaxPerSource: 100}
		r := newRig(t, o, serve(t, echo).at)
		c, late := newEnd(t), newEnd(t)
		c.ask(r.addr, "x", "x")
		r.overload(l4.StageRefuse)
		c.ask(r.addr, "y", "y")
		late.send(r.addr, []byte("x"))
		late.send(r.addr, []byte("x"))
		r.wantDropped(l4.DropOverloaded, 2)
		if n := r.cluster.Places.Active(); n != 1 || r.listener.Active() != 1 || r.shared.Active() != 1 {
			t.Errorf("%d places are taken", n)
		}
		r.wantSources("127.0.0.1", 1)
		r.overload(l4.StageShed)
		late.ask(r.addr, "y", "y")
		r.wantDropped(l4.DropOverloaded, 2)
		r.finish()
	})
	b := newEnd(t)
	r := perPacket(t, rigOptions{}, b.at)
	r.overload(l4.StageRefuse)
	newEnd(t).send(r.addr, []byte("x"))
	b.want("x")
	r.wantNoDrops()
	r.finish()
}
