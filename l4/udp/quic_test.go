package udp

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"weir/l4"
	"weir/lb"
)

// server is the server ID of endpoint i.
func server(i int) []byte { return []byte{0xa0, byte(i)} }

// packet is a datagram of a connection to the server with this ID: a short header, or a long one of the Handshake kind.
func packet(long bool, id []byte, text string) []byte {
	cid := append(append([]byte{0x07}, id...), "nonce"...)
	if long {
		b := append([]byte{0xe0, 0, 0, 0, 1, byte(len(cid))}, cid...)
		return append(append(b, 0, 0x40, byte(len(text))), text...) // no SCID; the length
	}
	return append(append([]byte{0x40}, cid...), text...)
}

// quicRig returns a rig whose endpoints have server IDs.
func quicRig(t *testing.T, o rigOptions, addrs ...netip.AddrPort) *rig {
	t.Helper()
	o.settings.QUIC = true
	r := newRig(t, o, addrs...)
	r.nameServers()
	return r
}

// nameServers gives the endpoints of the rig's cluster, as it is now, their server IDs.
func (r *rig) nameServers() {
	r.t.Helper()
	servers := &Servers{Size: 2, ByID: map[string]*Server{}}
	for i := range r.cluster.Endpoints {
		servers.ByID[string(server(i))] = &Server{Cluster: r.cluster, Member: i}
	}
	r.update(func(s *Settings) { s.Servers = servers })
}

// endpoints returns n endpoints that answer with their number.
func answering(t *testing.T, n int) (addrs []netip.AddrPort) {
	t.Helper()
	for i := range n {
		addrs = append(addrs, serve(t, named(fmt.Sprint(i))).at)
	}
	return addrs
}

// A connection ID that a server has chosen leads to that server: from any port, through any number of connections over one, and with long headers
// as with short ones.
func TestServerIDs(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		r := quicRig(t, o, answering(t, 3)...)
		ask := func(c *end, long bool, i int, text string) {
			t.Helper()
			b := packet(long, server(i), text)
			c.ask(r.addr, string(b), fmt.Sprintf("%d:%s", i, b))
		}
		for i := range 3 {
			for _, long := range []bool{true, false} {
				for k := range 3 { // the client's port changes
					ask(newEnd(t), long, i, fmt.Sprint("moved ", k))
				}
			}
		}
		if n := r.began(); n != 18 {
			t.Errorf("%d flows of 18 ports", n)
		}
		c := newEnd(t)
		for k := range 12 {
			ask(c, k%2 == 0, k%3, fmt.Sprint("one of three connections ", k))
		}
		if n := r.began(); n != 18+3 {
			t.Errorf("%d flows of one port and three servers", n-18)
		}
		r.wantNoDrops()
		r.finish()
	})
}

// What came as one goes apart where its connection IDs say so, in order for each server.
func TestServerIDsCoalesced(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		var ends []*end
		var addrs []netip.AddrPort
		for range 3 {
			b := newEnd(t)
			ends, addrs = append(ends, b), append(addrs, b.at)
		}
		r := quicRig(t, o, addrs...)
		c := newEnd(t)
		whose := []int{0, 0, 1, 1, 1, 2, 0, 2, 2, 2, 1, 0}
		for round := range 3 {
			var all []byte
			size := 0
			for k, i := range whose {
				b := packet(false, server(i), fmt.Sprintf("%d/%02d", round, k))
				all, size = append(all, b...), len(b)
			}
			c.sendSuper(r.addr, all, size)
			for k, i := range whose {
				if a := ends[i].receive(); !bytes.Equal(a.data, packet(false, server(i), fmt.Sprintf("%d/%02d", round, k))) {
					t.Fatalf("endpoint %d received %q, want datagram %d", i, a.data, k)
				}
			}
		}
		if n := r.began(); n != 3 {
			t.Errorf("%d flows", n)
		}
		r.wantNoDrops()
		r.finish()
	})
}

// Where a connection ID names nobody, the client's address and port say where its datagrams go, as those of any protocol: IDs that clients make up, ones
// marked as unroutable, and what isn't QUIC at all.
func TestNoServerID(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		r := quicRig(t, o, answering(t, 3)...)
		unroutable := packet(false, server(1), "x")
		unroutable[1] |= 0xe0
		for _, b := range [][]byte{
			packet(false, []byte{0xff, 0xff}, "x"), packet(true, []byte{0xff, 0xff}, "x"), unroutable, {}, {0x40}, {0x40, 7, 0xa0}, []byte("\x00\x01 a DNS question, say"),
			{0xc0, 0, 0, 0, 1, 0xff},
		} {
			c := newEnd(t)
			for k := range 3 {
				c.send(r.addr, b)
				a := c.receive()
				if want := fmt.Sprintf("%d:%s", (int(r.began())-1)%3, b); string(a.data) != want {
					t.Fatalf("datagram %d of %q: answered %q, want %q", k, b, a.data, want)
				}
			}
		}
		if n := r.began(); n != 8 {
			t.Errorf("%d flows of 8 clients", n)
		}
		r.wantNoDrops()
		r.finish()
	})
}

// A connection goes on over the flow that it began when the client didn't know the server's ID yet, and so does the next one that begins over its port.
func TestServerIDLearnt(t *testing.T) {
	r := quicRig(t, rigOptions{}, answering(t, 3)...)
	c := newEnd(t)
	made := string(packet(true, []byte{0xff, 0xff}, "first"))
	c.ask(r.addr, made, "0:"+made)
	learnt := string(packet(false, server(0), "then"))
	c.ask(r.addr, learnt, "0:"+learnt)
	if n := r.began(); n != 1 {
		t.Errorf("%d flows of one connection", n)
	}
	other := string(packet(false, server(2), "another connection"))
	c.ask(r.addr, other, "2:"+other)
	c.ask(r.addr, made, "0:"+made)
	c.ask(r.addr, learnt, "0:"+learnt)
	if n := r.began(); n != 2 {
		t.Errorf("%d flows of two connections", n)
	}
	r.wantNoDrops()
	r.finish()
}

// A server that takes no new connections still has those it has, from wherever they come; one in maintenance, or full, has not: they go by policy.
func TestServerLeaves(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(m *lb.Member)
		stays  bool
	}{
		{"drain", func(m *lb.Member) { m.State = lb.Drain }, true},
		{"weight 0", func(m *lb.Member) { m.Weight = 0 }, true},
		{"maint", func(m *lb.Member) { m.State = lb.Maint }, false},
		{"full", func(m *lb.Member) { m.MaxConnections = 1 }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := quicRig(t, rigOptions{}, answering(t, 2)...)
			b := string(packet(false, server(0), "x"))
			newEnd(t).ask(r.addr, b, "0:"+b)
			r.setCluster(r.nextCluster(func(i int, m *lb.Member) {
				if i == 0 {
					tc.change(m)
				}
			}))
			r.nameServers()
			c, name := newEnd(t), map[bool]string{true: "0:", false: "1:"}[tc.stays]
			c.ask(r.addr, b, name+b)
			if c.ask(r.addr, b, name+b); !tc.stays { // it is the client's first flow then
				made := string(packet(true, []byte{0xff, 0xff}, "another connection"))
				c.ask(r.addr, made, name+made)
			}
			if n := r.began(); n != 2 {
				t.Errorf("%d flows", n)
			}
			r.wantNoDrops()
			r.finish()
		})
	}
}

// A listener that drains sheds connections that come from a new port, too: whoever takes its place has the IDs.
func TestServerIDDraining(t *testing.T) {
	r := quicRig(t, rigOptions{}, answering(t, 2)...)
	c := newEnd(t)
	b := string(packet(false, server(1), "x"))
	c.ask(r.addr, b, "1:"+b)
	r.do(0, func(p *Proxy) { p.Unlisten(r.listener) })
	c.ask(r.addr, b, "1:"+b)
	newEnd(t).send(r.addr, []byte(b))
	r.wantDropped(l4.DropDraining, 1)
	r.finish()
}
