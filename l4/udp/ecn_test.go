package udp

import (
	"fmt"
	"net/netip"
	"testing"
)

// The two bits of Explicit Congestion Notification go through, both ways and for each datagram, as TCP's peers and QUIC's need them; the DSCP of one
// network isn't another's business.
func TestECN(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		for _, way := range [][2]string{ // listener, endpoint; a client of each family writes to the wildcard of both
			{"127.0.0.1:0", "127.0.0.1:0"}, {"0.0.0.0:0", "127.0.0.1:0"}, {"[::1]:0", "[::1]:0"}, {"[::1]:0", "127.0.0.1:0"}, {"[::]:0", "[::1]:0"},
		} {
			t.Run(fmt.Sprint(way), func(t *testing.T) {
				if way[0][0] == '[' {
					needIPv6(t)
				}
				b := newEnd(t, way[1])
				o.listen.Addr = netip.MustParseAddrPort(way[0])
				r := newRig(t, o, b.at)
				clients := map[string]string{"127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1"}
				for bind, addr := range clients {
					listens := o.listen.Addr.Addr()
					if !listens.IsUnspecified() && listens.String() != addr || listens.Is4() && addr == "::1" {
						continue
					}
					sendECN(t, r, newEnd(t, bind), netip.AddrPortFrom(netip.MustParseAddr(addr), r.addr.Port()), b)
				}
				r.wantNoDrops()
				r.finish()
			})
		}
	})
}

func sendECN(t *testing.T, r *rig, c *end, to netip.AddrPort, b *end) {
	t.Helper()
	const dscp = 46 << 2
	classes := []int{0, 1, 2, 3, dscp | 1, dscp | 2, dscp, dscp | 3, 3, 3, 3, 1, 1, 0, 0, 2}
	check := func(e *end) (from netip.AddrPort) {
		t.Helper()
		for i, class := range classes {
			a := e.receive()
			if want := fmt.Sprintf("%02d", i); string(a.data) != want || a.class != class&3 {
				t.Fatalf("received %q with class %#x, want %q with %#x", a.data, a.class, want, class&3)
			}
			from = a.from
		}
		return from
	}
	var way netip.AddrPort
	for range 2 { // a flow that begins, and one that there is
		r.atOnce(func() {
			for i, class := range classes {
				c.sendClass(to, fmt.Appendf(nil, "%02d", i), class)
			}
		})
		way = check(b)
		r.atOnce(func() {
			for i, class := range classes {
				b.sendClass(way, fmt.Appendf(nil, "%02d", i), class)
			}
		})
		check(c)
	}
}
