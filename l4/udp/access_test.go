package udp

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/access"
	"weir/l4/flow"
	"weir/lb"
)

// prefixes parses some.
func prefixes(all ...string) (list []netip.Prefix) {
	for _, s := range all {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// wantSources checks how many connections of a source are counted.
func (r *rig) wantSources(source string, want int64) {
	r.t.Helper()
	n := int64(0)
	if s := r.listener.Gate.Sources(); s != nil {
		n = s.Active(netip.MustParseAddr(source))
	}
	if n != want {
		r.t.Errorf("%d flows of %s are counted, want %d", n, source, want)
	}
}

// Who is denied has no flow, and each of its datagrams is counted. Flows that there are go on when the rules change.
func TestDenied(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, echo)
		o.settings.Access = &access.Rules{Filter: access.NewFilter(nil, prefixes("127.0.0.2/32"))}
		r := newRig(t, o, b.at)
		in, out := newEnd(t), newEnd(t, "127.0.0.2:0")
		in.ask(r.addr, "x", "x")
		r.atOnce(func() {
			for range 5 {
				out.send(r.addr, []byte("let me in"))
			}
		})
		r.wantDropped(l4.DropDenied, 5)
		r.update(func(s *Settings) { s.Access = &access.Rules{Filter: access.NewFilter(prefixes("127.0.0.2/31"), nil)} })
		in.ask(r.addr, "still in", "still in")
		newEnd(t).send(r.addr, []byte("let me in"))
		r.wantDropped(l4.DropDenied, 6)
		out.ask(r.addr, "x", "x")
		out.wantNothing()
		if n := r.began(); n != 2 {
			t.Errorf("%d flows", n)
		}
		r.finish()
	})
}

// What is held until its server name is known takes no room for those who may not come in.
func TestDeniedIsNotHeld(t *testing.T) {
	o := rigOptions{}
	o.settings.Access = &access.Rules{Filter: access.NewFilter(nil, prefixes("127.0.0.2/32"))}
	r, toA, _, _ := sniRig(t, o)
	two := initials(t, []byte("connection"), clientHello(t, "a.example", tls.X25519MLKEM768))
	held := func() (n int) { r.do(0, func(p *Proxy) { n = len(p.held) }); return n }
	out, in := newEnd(t, "127.0.0.2:0"), newEnd(t)
	out.send(r.addr, two[0])
	r.wantDropped(l4.DropDenied, 1)
	if n := held(); n != 0 {
		t.Errorf("%d are held", n)
	}
	in.send(r.addr, two[0])
	r.eventually("one is held", func() bool { return held() == 1 })
	r.do(0, func(p *Proxy) { p.Overload(l4.StageRefuse) })
	newEnd(t).send(r.addr, two[0])
	r.wantDropped(l4.DropOverloaded, 1)
	r.do(0, func(p *Proxy) { p.Overload(l4.StageCalm) })
	in.send(r.addr, two[1])
	wantAll(t, toA, two...)
	r.finish()
}

// The rates of a listener and of a source are those of flows: datagrams of one that there is aren't counted.
func TestRates(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rules access.Rules
		drop  l4.Drop
		other bool // sources are let in
	}{
		{"rate", access.Rules{Rate: access.NewRate(0.001, 3)}, l4.DropRateLimited, false},
		{"per source", access.Rules{PerSource: access.NewRate(0.001, 3)}, l4.DropSourceRateLimited, true},
		{"at once", access.Rules{MaxPerSource: 3}, l4.DropSourceLimit, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := serve(t, echo)
			o := rigOptions{loops: 2, settings: Settings{Access: &tc.rules}}
			o.listen.Addr = netip.MustParseAddrPort("127.1.2.3:0") // where no stranger's late datagram takes a token
			r := newRig(t, o, b.at)
			var clients []*end
			for range 3 {
				c := newEnd(t)
				clients = append(clients, c)
				for range 3 {
					c.ask(r.addr, "x", "x")
				}
			}
			late := newEnd(t)
			late.send(r.addr, []byte("1"))
			late.send(r.addr, []byte("2"))
			r.wantDropped(tc.drop, 2)
			for _, c := range clients {
				c.ask(r.addr, "still in", "still in")
			}
			other := newEnd(t, "127.0.0.2:0")
			if tc.other {
				other.ask(r.addr, "x", "x")
			} else {
				other.send(r.addr, []byte("x"))
				r.wantDropped(tc.drop, 3)
			}
			r.finish()
			r.wantSources("127.0.0.1", 0)
			r.wantSources("127.0.0.2", 0)
		})
	}
}

// A source's places are given back however its flow ends, or doesn't begin.
func TestSourcesGivenBack(t *testing.T) {
	rules := &access.Rules{MaxPerSource: 2}
	const me = "127.0.0.1"
	begin := func(t *testing.T, o rigOptions, addrs ...netip.AddrPort) (*rig, *end) {
		o.settings.Access = rules
		r := newRig(t, o, addrs...)
		c := newEnd(t)
		c.ask(r.addr, "x", "x")
		r.wantSources(me, 1)
		return r, c
	}
	gone := func(r *rig) {
		r.t.Helper()
		r.eventually("the flow has ended", func() bool { return r.shared.Active() == 0 })
		r.settle()
		r.wantSources(me, 0)
		r.finish()
		r.wantSources(me, 0)
	}
	t.Run("idle", func(t *testing.T) {
		r, _ := begin(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: 20 * time.Millisecond}}}, serve(t, echo).at)
		gone(r)
	})
	t.Run("answered", func(t *testing.T) {
		o := rigOptions{settings: Settings{Access: rules, Rules: flow.Rules{Responses: 1}}}
		r := newRig(t, o, serve(t, echo).at)
		for range 10 {
			c := newEnd(t)
			c.ask(r.addr, "x", "x")
			r.eventually("the flow has ended", func() bool { return r.shared.Active() == 0 })
		}
		gone(r)
	})
	t.Run("drain", func(t *testing.T) {
		r, _ := begin(t, rigOptions{}, serve(t, echo).at)
		r.do(0, func(p *Proxy) { p.DrainListener(r.listener, 0) })
		gone(r)
	})
	t.Run("rules gone", func(t *testing.T) {
		r, c := begin(t, rigOptions{}, serve(t, echo).at)
		r.update(func(s *Settings) { s.Access = nil })
		c.ask(r.addr, "x", "x")
		newEnd(t).ask(r.addr, "x", "x")
		r.wantSources(me, 1)
		r.do(0, func(p *Proxy) { p.DrainListener(r.listener, 0) })
		gone(r)
	})
	t.Run("moves", func(t *testing.T) {
		r, c := begin(t, rigOptions{policy: lb.First}, serve(t, echo).at, serve(t, echo).at)
		for i := range 6 {
			r.do(0, func(p *Proxy) { p.table.At(p.ofClient(t, c.at, r.addr)).moves = true })
			c.ask(r.addr, fmt.Sprint(i), fmt.Sprint(i))
			r.wantSources(me, 1)
		}
		r.setCluster(r.nextCluster(func(_ int, m *lb.Member) { m.State = lb.Maint }))
		r.do(0, func(p *Proxy) { p.table.At(p.ofClient(t, c.at, r.addr)).moves = true })
		c.send(r.addr, []byte("lost"))
		r.wantDropped(l4.DropNoEndpoint, 1)
		gone(r)
	})
	t.Run("failures", func(t *testing.T) {
		for drop, o := range map[l4.Drop]rigOptions{
			l4.DropConnectFailed: {attempts: 2}, // broadcast without leave
			l4.DropNoEndpoint:    {members: []lb.Member{{}, {}}},
			l4.DropMaxFlows:      {settings: Settings{MaxFlows: 1}},
			l4.DropOverloaded:    {},
		} {
			addrs := []netip.AddrPort{netip.MustParseAddrPort("255.255.255.255:1"), netip.MustParseAddrPort("255.255.255.255:2")}
			if drop != l4.DropConnectFailed {
				addrs = []netip.AddrPort{serve(t, echo).at, serve(t, echo).at}
			}
			o.settings.Access = rules
			r := newRig(t, o, addrs...)
			first := int64(0)
			if drop == l4.DropMaxFlows {
				newEnd(t).ask(r.addr, "x", "x")
				first = 1
			}
			if drop == l4.DropOverloaded {
				r.do(0, func(p *Proxy) { p.Overload(l4.StageRefuse) })
			}
			for range 5 {
				newEnd(t).send(r.addr, []byte("x"))
			}
			r.wantDropped(drop, 5)
			r.wantSources(me, first)
			if n := r.cluster.Places.Active(); n != first {
				t.Errorf("%d places are taken", n)
			}
			if drop == l4.DropConnectFailed && r.cluster.Endpoints[0].Conduct.Failures() != 5 {
				t.Errorf("%d failures in a row", r.cluster.Endpoints[0].Conduct.Failures())
			}
			r.finish()
			r.wantSources(me, 0)
		}
	})
	t.Run("servers", func(t *testing.T) {
		r := quicRig(t, rigOptions{settings: Settings{Access: rules, Rules: flow.Rules{Idle: 200 * time.Millisecond}}}, answering(t, 3)...)
		c := newEnd(t)
		for i := range 2 { // one flow to each
			b := packet(false, server(i), "x")
			c.ask(r.addr, string(b), fmt.Sprintf("%d:%s", i, b))
		}
		r.wantSources(me, 2)
		c.send(r.addr, packet(false, server(2), "x"))
		r.wantDropped(l4.DropSourceLimit, 1)
		gone(r)
	})
}

// With per_packet there are no flows to count, but who is denied is.
func TestPerPacketDenied(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := newEnd(t)
		o.settings.Access = &access.Rules{
			Filter: access.NewFilter(prefixes("127.0.0.0/30"), prefixes("127.0.0.2/32")), Rate: access.NewRate(0.001, 1), MaxPerSource: 1,
		}
		r := perPacket(t, o, b.at)
		in, out := newEnd(t), newEnd(t, "127.0.0.2:0")
		for i := range 5 {
			out.send(r.addr, []byte("denied"))
			in.send(r.addr, []byte{byte(i)})
			b.want(string([]byte{byte(i)}))
		}
		r.wantDropped(l4.DropDenied, 5)
		b.wantNothing()
		r.wantSources("127.0.0.1", 0)
		r.finish()
	})
}
