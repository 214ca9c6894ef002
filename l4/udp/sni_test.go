package udp

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/flow"
)

// sniRig returns a rig that sends the clients of a.example and *.b.example to endpoints of their own, and all others to a third.
func sniRig(t *testing.T, o rigOptions) (r *rig, a, b, other *end) {
	t.Helper()
	var ends []*end
	var clusters []*l4.Cluster
	for i := range 3 {
		e := newEnd(t)
		ends, clusters = append(ends, e), append(clusters, newCluster(t, fmt.Sprint(i), o, e.at))
	}
	o.settings.QUIC = true
	o.settings.Routes = l4.Routes{
		Routes: []l4.Route{
			{SNI: []string{"a.example"}, Target: l4.Target{Clusters: clusters[:1]}},
			{SNI: []string{"*.b.example"}, Target: l4.Target{Clusters: clusters[1:2]}},
		},
		Default: l4.Target{Clusters: clusters[2:]},
	}
	return newRig(t, o), ends[0], ends[1], ends[2]
}

func wantAll(t *testing.T, e *end, datagrams ...[]byte) (from netip.AddrPort) {
	t.Helper()
	for i, want := range datagrams {
		a := e.receive()
		if !bytes.Equal(a.data, want) {
			t.Fatalf("datagram %d: received %d bytes, want %d", i, len(a.data), len(want))
		}
		from = a.from
	}
	return from
}

// The server name of a ClientHello says where a connection goes: in one datagram or in two, in either order, alone or coalesced. What was held back goes
// on in order and with its ECN bits, and what follows goes where it went.
func TestServerName(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		r, toA, toB, toOther := sniRig(t, o)
		flows := uint64(0)
		for _, tc := range []struct {
			name string
			to   *end
		}{{"a.example", toA}, {"www.b.example", toB}, {"c.example", toOther}, {"b.example", toOther}} {
			one := initials(t, []byte("connection"), clientHello(t, tc.name, tls.X25519))
			two := initials(t, []byte("connection"), clientHello(t, tc.name, tls.X25519MLKEM768))
			if len(one) != 1 || len(two) != 2 {
				t.Fatalf("%d and %d datagrams", len(one), len(two))
			}
			for _, way := range []string{"one", "two", "in one turn", "other order", "super", "twice"} {
				c := newEnd(t)
				coming := two
				switch way {
				case "one":
					c.send(r.addr, one[0])
					coming = one
				case "two":
					c.sendClass(r.addr, two[0], 1)
					r.eventually("it was taken in", func() bool { got, sent := r.moved(l4.ToUpstream); return got == sent+1 })
					for _, e := range []*end{toA, toB, toOther} {
						e.wantNothing()
					}
					c.sendClass(r.addr, two[1], 2)
					if a := tc.to.receive(); a.class != 1 || !bytes.Equal(a.data, two[0]) {
						t.Fatalf("%s: %d bytes of class %d", tc.name, len(a.data), a.class)
					}
					coming = two[1:]
				case "in one turn":
					r.atOnce(func() {
						c.send(r.addr, two[0])
						c.send(r.addr, two[1])
						c.send(r.addr, []byte("early data"))
					})
					coming = append(slices.Clone(two), []byte("early data"))
				case "other order":
					c.send(r.addr, two[1])
					c.send(r.addr, two[0])
					coming = [][]byte{two[1], two[0]}
				case "super":
					c.sendSuper(r.addr, slices.Concat(two...), 1200)
				case "twice":
					c.send(r.addr, two[0])
					c.send(r.addr, two[0])
					c.send(r.addr, two[1])
					coming = [][]byte{two[0], two[0], two[1]}
				}
				from := wantAll(t, tc.to, coming...)
				tc.to.send(from, []byte("answer"))
				c.want("answer")
				c.send(r.addr, []byte("then"))
				if tc.to.want("then") != from {
					t.Errorf("%s, %s: another flow", tc.name, way)
				}
				flows++
			}
		}
		if n := r.began(); n != flows {
			t.Errorf("%d flows of %d clients", n, flows)
		}
		r.wantNoDrops()
		r.finish()
	})
}

// A name that doesn't come is waited for a second: then the client goes where those without a name go, with what was held back, and its flow is one that ends
// like any.
func TestServerNameMissing(t *testing.T) {
	r, _, _, toOther := sniRig(t, rigOptions{settings: Settings{Rules: flow.Rules{Idle: 100 * time.Millisecond}}})
	two := initials(t, []byte("connection"), clientHello(t, "a.example", tls.X25519MLKEM768))
	c := newEnd(t)
	began := time.Now()
	c.send(r.addr, two[0])
	c.send(r.addr, []byte{})
	c.send(r.addr, []byte("more"))
	wantAll(t, toOther, two[0], nil, []byte("more"))
	if took := time.Since(began); took < heldFor {
		t.Errorf("after %v", took)
	}
	r.wantClosed(l4.IdleTimeout, 1)
	r.wantNoDrops()
	r.finish()
}

// Only so much of a client is held back, and only so many clients: beyond that new ones are shed, and those that are held go on.
func TestHeldBounds(t *testing.T) {
	r, toA, _, toOther := sniRig(t, rigOptions{})
	two := initials(t, []byte("connection"), clientHello(t, "a.example", tls.X25519MLKEM768))
	long := newEnd(t)
	const fits = 16 << 10 / 1200
	for range fits + 1 {
		long.send(r.addr, two[0])
	}
	for range fits { // it goes by the default route as soon as there is no room
		wantAll(t, toOther, two[0])
	}
	r.wantDropped(l4.DropHeld, 1)
	long.send(r.addr, []byte("then"))
	toOther.want("then")

	var clients []*end
	r.do(0, func(p *Proxy) {
		for i := range heldMost { // as if so many were waiting
			p.held[flow.Key{Tag: 1, Socket: uint32(i)}] = nil
		}
	})
	for range 2 {
		c := newEnd(t)
		c.send(r.addr, two[0])
		clients = append(clients, c)
	}
	r.wantDropped(l4.DropHeld, 3)
	whole := initials(t, []byte("connection"), clientHello(t, "a.example", tls.X25519))
	clients[0].send(r.addr, whole[0]) // whoever says it at once isn't held
	wantAll(t, toA, whole...)
	r.do(0, func(p *Proxy) { clear(p.held) })
	clients[1].send(r.addr, two[0])
	clients[1].send(r.addr, two[1])
	wantAll(t, toA, two...)
	r.wantDropped(l4.DropHeld, 3)
	r.finish()
}

// What is held back when its listener goes, is rebound or drains is counted, or goes on.
func TestHeldAcrossReload(t *testing.T) {
	two := initials(t, []byte("connection"), clientHello(t, "a.example", tls.X25519MLKEM768))
	for _, tc := range []struct {
		name string
		do   func(r *rig)
		goes bool
	}{
		{"update", func(r *rig) { r.update(func(s *Settings) { s.MaxFlows = 1000 }) }, true},
		{"rebind", func(r *rig) { r.rebind(r.duplicates()) }, true},
		{"unlisten", func(r *rig) { r.do(0, func(p *Proxy) { p.Unlisten(r.listener) }) }, false},
		{"drain", func(r *rig) { r.do(0, func(p *Proxy) { p.Drain(time.Hour) }) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, toA, _, _ := sniRig(t, rigOptions{})
			c := newEnd(t)
			c.send(r.addr, two[0])
			r.eventually("it is held", func() bool { got, _ := r.moved(l4.ToUpstream); return got == 1 })
			tc.do(r)
			c.send(r.addr, two[1])
			if tc.goes {
				wantAll(t, toA, two...)
				r.wantNoDrops()
			} else {
				r.eventually("it is dropped", func() bool { return r.dropped(l4.DropHeld)+r.dropped(l4.DropDraining) > 0 })
				r.eventually("nothing is held", func() (none bool) {
					r.do(0, func(p *Proxy) { none = len(p.held) == 0 })
					return none
				})
			}
			r.endDrains()
			r.finish()
		})
	}
}
