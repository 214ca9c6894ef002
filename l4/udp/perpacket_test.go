package udp

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/flow"
	"weir/lb"
)

// perPacket returns a rig whose listener finds each datagram an endpoint of its own.
func perPacket(t *testing.T, o rigOptions, addrs ...netip.AddrPort) *rig {
	t.Helper()
	o.settings.PerPacket = true
	o.listen.NoOffload = true // as build has it
	return newRig(t, o, addrs...)
}

// Each datagram goes to the endpoint whose turn it is, in order for each endpoint; a burst of one client is no exception, and empty ones count.
func TestPerPacket(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		const rounds, each = 5, 30
		var ends []*end
		var addrs []netip.AddrPort
		for range 3 {
			b := newEnd(t)
			ends, addrs = append(ends, b), append(addrs, b.at)
		}
		r := perPacket(t, o, addrs...)
		c := newEnd(t)
		sizes := []int{100, 100, 0, 100, 50, 100, 100, 200, 0, 0}
		sent := 0
		for range rounds {
			first := sent
			r.atOnce(func() {
				for range each {
					c.send(r.addr, pattern(0, sent, sizes[sent%len(sizes)]))
					sent++
				}
			})
			for i := first; i < sent; i++ {
				if a := ends[i%3].receive(); !bytes.Equal(a.data, pattern(0, i, sizes[i%len(sizes)])) {
					t.Fatalf("datagram %d: received %d bytes", i, len(a.data))
				}
			}
		}
		for _, e := range ends {
			e.wantNothing()
		}
		r.settle()
		for i, e := range r.cluster.Endpoints {
			if n := e.Loops[0].Datagrams[l4.ToUpstream].Load(); n != rounds*each/3 || e.Balance.Active() != 0 {
				t.Errorf("endpoint %d counted %d, and has %d places taken", i, n, e.Balance.Active())
			}
		}
		if r.began() != 0 || r.shared.Active() != 0 || r.listener.Active() != 0 {
			t.Errorf("%d flows", r.began())
		}
		r.wantNoDrops()
		r.finish()
	})
}

// Answers are nobody's.
func TestPerPacketAnswers(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, echo)
		r := perPacket(t, o, b.at)
		c := newEnd(t)
		for range 10 {
			c.send(r.addr, []byte("x"))
		}
		r.wantDropped(l4.DropNoFlow, 10)
		c.wantNothing()
		r.finish()
	})
}

// A socket that still coalesces, because its listener was another kind when it was opened, makes no difference.
func TestPerPacketCoalesced(t *testing.T) {
	one, other := newEnd(t), newEnd(t)
	r := newRig(t, rigOptions{}, one.at, other.at)
	r.update(func(s *Settings) { s.PerPacket = true })
	c := newEnd(t)
	const n = 10
	all := pattern(1, 1, n*100+50)
	c.sendSuper(r.addr, all, 100)
	for i := 0; i*100 < len(all); i++ {
		if a := []*end{one, other}[i%2].receive(); !bytes.Equal(a.data, all[i*100:min(len(all), i*100+100)]) {
			t.Fatalf("datagram %d: %d bytes", i, len(a.data))
		}
	}
	r.wantNoDrops()
	r.finish()
}

// The ways to endpoints that nobody uses any more are closed after the idle timeout, or when their endpoint leaves.
func TestPerPacketEnds(t *testing.T) {
	one, other := newEnd(t), newEnd(t)
	r := perPacket(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: 150 * time.Millisecond}}}, one.at, other.at)
	c := newEnd(t)
	ways := func() (n int) {
		r.do(0, func(p *Proxy) { n = p.Flows() })
		return n
	}
	round := func() {
		c.send(r.addr, []byte("1"))
		c.send(r.addr, []byte("2"))
	}
	round()
	one.want("1")
	other.want("2")
	if n := ways(); n != 2 {
		t.Errorf("%d ways", n)
	}
	r.eventually("idle ways are closed", func() bool { return ways() == 0 })
	round()
	one.want("1")
	other.want("2")
	leaves := r.cluster.Endpoints[0]
	r.leave(0, "maint")
	r.do(0, func(p *Proxy) { p.DrainEndpoint(leaves, time.Hour) })
	if n := ways(); n > 1 {
		t.Errorf("%d ways when an endpoint has left", n)
	}
	round()
	other.want("1")
	other.want("2")
	one.wantNothing()
	r.do(0, func(p *Proxy) {
		p.Unlisten(r.listener)
		if p.Flows() != 0 || p.sockets.Len() != 0 {
			t.Errorf("%d ways and %d sockets of a listener that has gone", p.Flows(), p.sockets.Len())
		}
	})
	r.wantNoDrops()
	r.finish()
}

// An endpoint that refuses is counted, and has its share all the same; one that is alone, too. Where datagrams can't go they are dropped for a reason.
func TestPerPacketRefused(t *testing.T) {
	b := newEnd(t)
	r := perPacket(t, rigOptions{}, refusing(t), b.at)
	c := newEnd(t)
	for i := range 10 {
		c.send(r.addr, []byte("lost"))
		c.send(r.addr, fmt.Append(nil, i))
		b.want(fmt.Sprint(i))
	}
	r.eventually("refusals are counted", func() bool { return r.cluster.Endpoints[0].Loops[0].Refused.Load() >= 5 })
	r.setCluster(r.nextCluster(func(_ int, m *lb.Member) { m.State = lb.Maint }))
	c.send(r.addr, []byte("nowhere"))
	r.wantDropped(l4.DropNoEndpoint, 1)
	r.update(func(s *Settings) { s.Routes.Default = l4.Target{} })
	c.send(r.addr, []byte("nowhere"))
	r.wantDropped(l4.DropNoCluster, 1)
	r.finish()
}

// Two clusters may have an endpoint of one address: what each sent is its own endpoint's.
func TestPerPacketSharedAddress(t *testing.T) {
	b := newEnd(t)
	var clusters []*l4.Cluster
	for i := range 2 {
		clusters = append(clusters, newCluster(t, fmt.Sprint(i), rigOptions{}, b.at))
	}
	r := perPacket(t, rigOptions{settings: Settings{Routes: l4.Routes{
		Routes:  []l4.Route{{Sources: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Target: l4.Target{Clusters: clusters[:1]}}},
		Default: l4.Target{Clusters: clusters[1:]},
	}}}, b.at)
	for i, from := range []string{"127.0.0.2:0", "127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"} {
		newEnd(t, from).send(r.addr, fmt.Append(nil, i))
		b.want(fmt.Sprint(i))
	}
	r.settle()
	for i, c := range clusters {
		if n := c.Endpoints[0].Loops[0].Datagrams[l4.ToUpstream].Load(); n != 2 {
			t.Errorf("cluster %d: %d datagrams", i, n)
		}
	}
	r.finish()
}
