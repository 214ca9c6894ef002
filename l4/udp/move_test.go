package udp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4"
	"weir/l4/flow"
	"weir/lb"
)

// refused returns how many ICMP errors of an endpoint were counted.
func (r *rig) refused(endpoint int) (n uint64) {
	for i := range r.listener.Loops {
		n += r.cluster.Endpoints[endpoint].Loops[i].Refused.Load()
	}
	return n
}

// A flow whose endpoint refuses goes to another with its next datagram, and nothing is lost that was sent after the refusal was heard.
func TestRefused(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, named("healthy"))
		o.policy = lb.First
		r := newRig(t, o, refusing(t), b.at)
		c := newEnd(t)
		c.send(r.addr, []byte("lost"))
		r.eventually("the refusal is heard", func() bool { return r.refused(0) == 1 })
		for i := range 10 {
			c.ask(r.addr, fmt.Sprint(i), fmt.Sprint("healthy:", i))
		}
		if n := r.refused(0); n != 1 {
			t.Errorf("%d refusals", n)
		}
		if one, other := r.cluster.Endpoints[0].Balance.Active(), r.cluster.Endpoints[1].Balance.Active(); one != 0 || other != 1 {
			t.Errorf("%d and %d places are taken", one, other)
		}
		r.settle()
		for i, want := range []uint64{1, 10} {
			e := &r.cluster.Endpoints[i].Loops[0]
			if n := e.Datagrams[l4.ToUpstream].Load(); n != want || e.Sessions.Load() != 1 {
				t.Errorf("endpoint %d: %d datagrams of %d flows", i, n, e.Sessions.Load())
			}
		}
		if n := r.began(); n != 1 {
			t.Errorf("%d flows", n)
		}
		r.wantNoDrops()
		r.finish()
	})
}

// A flow may move from an endpoint of one family to one of the other, with its client of either.
func TestMoveToOtherFamily(t *testing.T) {
	needIPv6(t)
	for _, bind := range []string{"127.0.0.1:0", "[::1]:0"} {
		gone := newEnd(t, "[::1]:0")
		_ = gone.conn.Close()
		for _, addrs := range [][2]netip.AddrPort{{refusing(t), serve(t, echo, "[::1]:0").at}, {gone.at, serve(t, echo).at}} {
			o := rigOptions{policy: lb.First}
			o.listen.Addr = netip.MustParseAddrPort(bind)
			r := newRig(t, o, addrs[:]...)
			c := newEnd(t, bind)
			c.send(r.addr, []byte("lost"))
			r.eventually("the refusal is heard", func() bool { return r.refused(0) == 1 })
			for range 3 {
				c.ask(r.addr, "x", "x")
			}
			r.wantNoDrops()
			r.finish()
		}
	}
}

// The same when the refusal comes while a burst is being sent: what met the error, and what stood behind it, goes to the healthy endpoint in order.
func TestRefusedInBurst(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := newEnd(t)
		o.policy = lb.First
		r := newRig(t, o, refusing(t), b.at)
		side := newEnd(t) // another flow, so that several sockets are sent to at once
		side.send(r.addr, []byte("begin"))
		r.eventually("the refusal is heard", func() bool { return r.refused(0) > 0 })
		side.send(r.addr, []byte("side"))
		b.want("side")
		for round := range 10 {
			c, heard := newEnd(t), r.refused(0)
			c.send(r.addr, []byte("begin"))
			r.eventually("the refusal is heard", func() bool { return r.refused(0) > heard })
			const n = 20
			r.do(0, func(p *Proxy) {
				for i := range n {
					c.send(r.addr, fmt.Appendf(nil, "%d%0*d", round, i%3, i))
				}
				side.send(r.addr, []byte("side"))
				f := p.table.At(p.ofClient(t, c.at, r.addr))
				f.moves = false // as if the refusal had not been heard
				if e := p.sendOne(f, &run{direction: l4.ToUpstream}, []byte("provokes another")); e != 0 {
					t.Error(e)
				}
				clients{p}.Ready(p.sockets.At(f.socket).tok, f.socket, 0)
				p.Flush()
			})
			for i := 0; i < n; {
				a := b.receive()
				if string(a.data) == "side" {
					continue
				}
				if want := fmt.Sprintf("%d%0*d", round, i%3, i); string(a.data) != want {
					t.Fatalf("received %q, want %q", a.data, want)
				}
				i++
			}
		}
		r.settle()
		if n := r.cluster.Endpoints[1].Loops[0].Datagrams[l4.ToUpstream].Load(); n != 10*(20+1)+1 {
			t.Errorf("%d datagrams were counted for the healthy endpoint", n)
		}
		r.wantNoDrops()
		c := newEnd(t)
		r.setCluster(r.nextCluster(func(i int, m *lb.Member) { m.State = lb.State(2 * i) })) // the one that refuses is all there is
		c.send(r.addr, []byte("begin"))
		r.eventually("its flow began", func() bool { return r.began() == 1+10+1 })
		r.setCluster(r.nextCluster(func(_ int, m *lb.Member) { m.State = lb.Maint }))
		r.do(0, func(p *Proxy) {
			f := p.table.At(p.ofClient(t, c.at, r.addr))
			f.moves = false
			if e := p.sendOne(f, &run{direction: l4.ToUpstream}, []byte("provokes another")); e != 0 && e != unix.ECONNREFUSED {
				t.Error(e)
			}
			for range 5 {
				c.send(r.addr, []byte("equals"))
			}
			c.send(r.addr, []byte("and another"))
			clients{p}.Ready(p.sockets.At(f.socket).tok, f.socket, 0)
			p.Flush()
		})
		r.wantDropped(l4.DropNoEndpoint, 6)
		r.wantClosed(l4.NoEndpoint, 1)
		r.finish()
	})
}

// An endpoint that a flow has left may refuse as late as it likes: the flow stays where it is.
func TestRefusedLate(t *testing.T) {
	b := serve(t, named("new"))
	r := newRig(t, rigOptions{policy: lb.First}, refusing(t), b.at)
	c := newEnd(t)
	c.send(r.addr, []byte("lost"))
	r.eventually("the refusal is heard", func() bool { return r.refused(0) == 1 })
	c.ask(r.addr, "x", "new:x")
	r.do(0, func(p *Proxy) {
		f := p.table.At(p.ofClient(t, c.at, r.addr))
		left := p.upstreams.At(p.upstreams.At(f.upstream-1).next - 1)
		_, _ = unix.Write(int(left.fd), []byte("provokes another"))
	})
	r.eventually("the refusal is heard", func() bool { return r.refused(0) == 2 })
	r.do(0, func(p *Proxy) {
		if p.table.At(p.ofClient(t, c.at, r.addr)).moves {
			t.Error("the flow is to move")
		}
	})
	c.ask(r.addr, "y", "new:y")
	r.finish()
}

// A flow stays with an endpoint that refuses, if that is what its cluster wants, or if it has no other, and is answered again when the endpoint is back:
// the first datagram to arrive there arrives, though the error of the one before is still to be reported.
func TestRefusedAlone(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep=%v", keep), func(t *testing.T) {
			everyWay(t, func(t *testing.T, o rigOptions) {
				at := refusing(t)
				addrs := []netip.AddrPort{at}
				if keep {
					addrs = append(addrs, serve(t, named("other")).at)
				}
				o.policy, o.keep = lb.First, keep
				r := newRig(t, o, addrs...)
				c := newEnd(t)
				for range 5 {
					heard := r.refused(0)
					c.send(r.addr, []byte("lost"))
					r.eventually("the refusal is heard", func() bool { return r.refused(0) > heard })
				}
				serve(t, named("back"), at.String())
				for i := range 5 {
					c.ask(r.addr, fmt.Sprint(i), fmt.Sprint("back:", i))
				}
				if n := r.began(); n != 1 {
					t.Errorf("%d flows", n)
				}
				r.wantNoDrops()
				r.finish()
			})
		})
	}
}

// A flow whose endpoint is taken out moves with its next datagram. Answers that were under way from there are still delivered.
func TestEndpointLeaves(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		for _, how := range []string{"maint", "drain", "removed", "weight 0"} {
			t.Run(how, func(t *testing.T) {
				b, other := newEnd(t), serve(t, named("other"))
				o.policy = lb.First
				r := newRig(t, o, b.at, other.at)
				c, silent := newEnd(t), newEnd(t)
				c.send(r.addr, []byte("1"))
				way := b.want("1")
				silent.send(r.addr, []byte("1"))
				waySilent := b.want("1")
				e := r.cluster.Endpoints[0]
				r.leave(0, how)
				r.doAll(func(_ int, p *Proxy) { p.DrainEndpoint(e, time.Hour) })
				b.send(way, []byte("answer before it moved"))
				c.want("answer before it moved")
				c.ask(r.addr, "2", "other:2")
				b.send(way, []byte("answer after it moved"))
				if from := c.want("answer after it moved"); from != r.addr {
					t.Errorf("answered by %v", from)
				}
				c.ask(r.addr, "3", "other:3")
				b.send(waySilent, []byte("still heard"))
				silent.want("still heard")
				if n := e.Balance.Active(); n != 1 {
					t.Errorf("%d flows on the endpoint that left", n)
				}
				r.endDrains()
				r.wantClosed(l4.Drained, 1)
				r.eventually("its place is free", func() bool { return e.Balance.Active() == 0 })
				c.ask(r.addr, "4", "other:4")
				silent.ask(r.addr, "again", "other:again")
				if n := r.began(); n != 3 {
					t.Errorf("%d flows", n)
				}
				r.do(0, func(p *Proxy) { // long after, nobody listens to the endpoint any more
					p.forgetResting()
					if u := p.upstreams.At(p.table.At(p.ofClient(t, c.at, r.addr)).upstream - 1); u.next != 0 {
						t.Error("the endpoint that left is still heard")
					}
				})
				c.ask(r.addr, "5", "other:5")
				r.wantNoDrops()
				r.finish()
			})
		}
	})
}

// leave takes an endpoint out of the cluster.
func (r *rig) leave(endpoint int, how string) {
	r.t.Helper()
	if how == "removed" {
		members, endpoints := []lb.Member{}, []*l4.Endpoint{}
		for i, e := range r.cluster.Endpoints {
			if i != endpoint {
				members, endpoints = append(members, r.cluster.Set().Member(i)), append(endpoints, e)
			}
		}
		set, err := r.cluster.Set().Next(lb.Options{}, members)
		if err != nil {
			r.t.Fatal(err)
		}
		r.setCluster(r.cluster.Next(endpoints, set))
		return
	}
	r.setCluster(r.nextCluster(func(i int, m *lb.Member) {
		if i == endpoint {
			switch how {
			case "maint":
				m.State = lb.Maint
			case "drain":
				m.State = lb.Drain
			default:
				m.Weight = 0
			}
		}
	}))
}

// A flow that has nowhere to go ends, with what it has in this turn; its client's next datagram may find an endpoint again.
func TestLastEndpointLeaves(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, echo)
		r := newRig(t, o, b.at)
		c := newEnd(t)
		c.ask(r.addr, "1", "1")
		e := r.cluster.Endpoints[0]
		r.leave(0, "maint")
		r.doAll(func(_ int, p *Proxy) { p.DrainEndpoint(e, time.Hour) })
		r.atOnce(func() {
			for range 3 {
				c.send(r.addr, []byte("2"))
			}
		})
		r.wantDropped(l4.DropNoEndpoint, 3)
		r.wantClosed(l4.NoEndpoint, 1)
		r.setCluster(r.nextCluster(func(_ int, m *lb.Member) { m.State = lb.Ready }))
		c.ask(r.addr, "3", "3")
		r.update(func(s *Settings) { s.Routes.Default = l4.Target{} })
		c.ask(r.addr, "4", "4") // a flow goes on whatever the routes are
		r.doAll(func(_ int, p *Proxy) { p.DrainEndpoint(e, time.Hour) })
		c.send(r.addr, []byte("5"))
		r.wantDropped(l4.DropNoCluster, 1)
		r.eventually("it ended", func() bool { return r.closed(l4.NoCluster) == 1 })
		r.endDrains()
		r.finish()
	})
}

// The proxy drains: flows are answered until they end, resting ones first and all by the end, and nobody new gets in.
func TestDrain(t *testing.T) {
	const flows = 20
	b := serve(t, echo)
	r := newRig(t, rigOptions{loops: 2, settings: Settings{Rules: flow.Rules{Idle: time.Hour}}}, b.at)
	for range flows {
		newEnd(t).ask(r.addr, "x", "x")
	}
	const over = time.Second
	began := time.Now()
	r.doAll(func(_ int, p *Proxy) { p.Drain(over) })
	seen := map[int64]bool{}
	r.eventually("all are gone", func() bool {
		if left := r.shared.Active(); left > 0 {
			seen[left] = true
			return false
		}
		return true
	})
	if took := time.Since(began); took < over/2 {
		t.Errorf("drained in %v", took)
	}
	if len(seen) < 2 {
		t.Errorf("they went in %d steps", len(seen))
	}
	r.wantClosed(l4.Drained, flows)
	r.finish()
	e := newEnd(t, r.addr.String()) // the address is free again
	_ = e.conn.Close()
}

// While it drains a listener sheds new clients and serves those it has.
func TestDrainSheds(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.at)
	c, late := newEnd(t), newEnd(t)
	c.ask(r.addr, "x", "x")
	r.do(0, func(p *Proxy) { p.Drain(time.Hour) })
	for i := range uint64(3) {
		late.send(r.addr, []byte("too late"))
		r.wantDropped(l4.DropDraining, i+1)
		c.ask(r.addr, "still in", "still in")
	}
	r.endDrains()
	r.wantClosed(l4.Drained, 1)
	r.finish()
}
