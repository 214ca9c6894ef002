package udp

import (
	"net/netip"
	"testing"

	"weir/eventloop"
)

// A listener on a wildcard answers from the address that the client wrote to, and what one client writes to two addresses is two flows.
func TestWildcard(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		for _, tc := range []struct {
			bind    string
			clients map[string][]string // by where they are: what they write to
		}{
			{"0.0.0.0:0", map[string][]string{"127.0.0.1:0": {"127.0.0.1", "127.0.0.2", "127.1.2.3"}}},
			{"[::]:0", map[string][]string{"127.0.0.1:0": {"127.0.0.1", "127.0.0.2"}, "0.0.0.0:0": {"127.0.0.3"}, "[::1]:0": {"::1"}}},
		} {
			t.Run(tc.bind, func(t *testing.T) {
				if tc.bind == "[::]:0" {
					needIPv6(t)
				}
				b := newEnd(t)
				o.listen.Addr = netip.MustParseAddrPort(tc.bind)
				r := newRig(t, o, b.at)
				flows := 0
				ways := map[netip.AddrPort]bool{}
				for bind, addrs := range tc.clients {
					c := newEnd(t, bind)
					for range 3 {
						for _, addr := range addrs {
							to := netip.AddrPortFrom(netip.MustParseAddr(addr), r.addr.Port())
							c.send(to, []byte("to "+addr))
							way := b.want("to " + addr)
							ways[way] = true
							b.send(way, []byte("from "+addr))
							if from := c.want("from " + addr); from != to {
								t.Errorf("asked %v, was answered by %v", to, from)
							}
							b.sendSuper(way, make([]byte, 2500), 1000)
							for got := 0; got < 2500; {
								a := c.receive()
								if a.from != to {
									t.Errorf("asked %v, was answered by %v", to, a.from)
								}
								got += len(a.data)
							}
						}
					}
					flows += len(addrs)
				}
				if n := r.began(); n != uint64(flows) || len(ways) != flows {
					t.Errorf("%d flows, and the endpoint saw %d, want %d", n, len(ways), flows)
				}
				r.wantNoDrops()
				r.finish()
			})
		}
	})
}

// The addresses are the flows', also where one burst of one client goes to both.
func TestWildcardInterleaved(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{listen: eventloop.DatagramOptions{Addr: netip.MustParseAddrPort("0.0.0.0:0")}}, b.at)
	c := newEnd(t)
	addrs := []string{"127.0.0.1", "127.0.0.2"}
	const n = 40
	r.atOnce(func() {
		for i := range n {
			c.send(netip.AddrPortFrom(netip.MustParseAddr(addrs[i%2]), r.addr.Port()), []byte(addrs[i%2]))
		}
	})
	for range n {
		if a := c.receive(); string(a.data) != a.from.Addr().String() {
			t.Fatalf("asked %s, was answered by %v", a.data, a.from)
		}
	}
	r.wantNoDrops()
	r.finish()
}
