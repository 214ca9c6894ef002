package udp

import (
	"fmt"
	"net/netip"
	"testing"

	"weir/l4"
	"weir/lb"
)

// endpointOf asks and returns the number of the endpoint that answered.
func endpointOf(c *end, to netip.AddrPort) string {
	c.t.Helper()
	c.send(to, []byte("x"))
	a := c.receive()
	return string(a.data[:1])
}

// Flows are spread by the cluster's policy, and for those that hash by what is to be hashed: an address's flows stay together, or are spread by
// their ports.
func TestPolicies(t *testing.T) {
	const flows = 30
	for _, tc := range []struct {
		name   string
		policy lb.Policy
		hashOn l4.HashOn
		spread bool
	}{
		{"round robin", lb.RoundRobin, 0, true},
		{"least connections", lb.LeastConnections, 0, true},
		{"maglev by address", lb.Maglev, l4.HashSourceIP, false},
		{"maglev by address and port", lb.Maglev, l4.HashSource, true},
		{"ring by address", lb.RingHash, l4.HashSourceIP, false},
		{"ring by address and port", lb.RingHash, l4.HashSource, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, rigOptions{loops: 2, policy: tc.policy, hashOn: tc.hashOn}, answering(t, 3)...)
			seen := map[string]int{}
			for range flows {
				c := newEnd(t)
				where := endpointOf(c, r.addr)
				seen[where]++
				if again := endpointOf(c, r.addr); again != where {
					t.Errorf("a flow went from %s to %s", where, again)
				}
			}
			if tc.spread != (len(seen) == 3) || !tc.spread && len(seen) != 1 {
				t.Errorf("flows by endpoint: %v", seen)
			}
			if tc.hashOn == l4.HashSource { // the same address and port, the same endpoint, also in another flow
				c := newEnd(t)
				where := endpointOf(c, r.addr)
				r.doAll(func(_ int, p *Proxy) { p.DrainListener(r.listener, 0) })
				r.eventually("the flow ended", func() bool { return r.shared.Active() == 0 })
				if again := endpointOf(c, r.addr); again != where {
					t.Errorf("a client went from %s to %s", where, again)
				}
			}
			r.wantNoDrops()
			r.finish()
		})
	}
}

// The first route that has the client's address says where it goes; IPv4 clients of an IPv6 socket are IPv4.
func TestRoutes(t *testing.T) {
	for _, bind := range []string{"0.0.0.0:0", "[::]:0"} {
		if bind == "[::]:0" {
			needIPv6(t)
		}
		addrs := answering(t, 3)
		var clusters []*l4.Cluster
		for i, at := range addrs {
			clusters = append(clusters, newCluster(t, fmt.Sprint(i), rigOptions{}, at))
		}
		o := rigOptions{noCluster: true}
		o.listen.Addr = netip.MustParseAddrPort(bind)
		o.settings.Routes.Routes = []l4.Route{
			{Sources: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Target: l4.Target{Clusters: clusters[:1]}},
			{Sources: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24"), netip.MustParsePrefix("::1/128")}, Target: l4.Target{Clusters: clusters[1:2]}},
		}
		r := newRig(t, o)
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.addr.Port())
		for from, want := range map[string]string{"127.0.0.2:0": "0", "127.0.0.3:0": "1"} {
			if got := endpointOf(newEnd(t, from), to); got != want {
				t.Errorf("%s: a client from %s went to %s", bind, from, got)
			}
		}
		newEnd(t, "127.1.0.1:0").send(to, []byte("x"))
		r.wantDropped(l4.DropNoCluster, 1)
		if bind == "[::]:0" {
			if got := endpointOf(newEnd(t, "[::1]:0"), netip.AddrPortFrom(netip.IPv6Loopback(), r.addr.Port())); got != "1" {
				t.Errorf("a client from ::1 went to %s", got)
			}
		}
		r.finish()
	}
}

// A listener whose routes change keeps its flows where they are; new ones go by the new routes.
func TestRoutesChange(t *testing.T) {
	r := newRig(t, rigOptions{}, answering(t, 1)...)
	other := newCluster(t, "other", rigOptions{}, serve(t, named("o")).at)
	old := newEnd(t)
	endpointOf(old, r.addr)
	r.update(func(s *Settings) { s.Routes.Default = l4.Target{Clusters: []*l4.Cluster{other}} })
	if got := endpointOf(old, r.addr); got != "0" {
		t.Errorf("the flow went to %s", got)
	}
	if got := endpointOf(newEnd(t), r.addr); got != "o" {
		t.Errorf("a new flow went to %s", got)
	}
	r.wantNoDrops()
	r.finish()
}
