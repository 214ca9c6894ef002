package l4

import (
	"net/netip"
	"testing"

	"weir/lb"
)

func prefixes(s ...string) (ps []netip.Prefix) {
	for _, p := range s {
		ps = append(ps, netip.MustParsePrefix(p))
	}
	return ps
}

func TestMatch(t *testing.T) {
	to := func(name string) Target { return Target{Clusters: []*Cluster{{Name: name}}} }
	r := Routes{
		Routes: []Route{
			{Sources: prefixes("10.1.0.0/16", "fd00::/8"), Target: to("inner")},
			{Sources: prefixes("10.0.0.0/8"), Target: to("outer")},
			{Sources: prefixes("192.0.2.0/24")}, // to nowhere, on purpose
			{Sources: prefixes("fe80::/10"), Target: to("link")},
		},
		Default: to("rest"),
	}
	for client, want := range map[string]string{
		"10.1.2.3": "inner", "fd12::1": "inner", "10.2.0.1": "outer", "192.0.2.7": "", "fe80::1%lo": "link",
		"198.51.100.1": "rest", "2001:db8::1": "rest",
	} {
		got := ""
		if c := r.Match(netip.MustParseAddr(client), ""); c != nil {
			got = c.Name
		}
		if got != want {
			t.Errorf("%s goes to %q, want %q", client, got, want)
		}
	}
	r.Routes = append(r.Routes, Route{Target: to("any")})
	if c := r.Match(netip.MustParseAddr("198.51.100.1"), ""); c == nil || c.Name != "any" {
		t.Errorf("a route without sources was passed over for %+v", c)
	}
	if c := new(Routes).Match(netip.MustParseAddr("10.0.0.1"), ""); c != nil {
		t.Errorf("no routes lead to %q", c.Name)
	}
}

func TestSplitTarget(t *testing.T) {
	split, err := lb.NewSplit([]uint32{9, 1})
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Clusters: []*Cluster{{Name: "most"}, {Name: "few"}}, Split: split}
	got := map[string]int{}
	for range 100 {
		got[target.Cluster().Name]++
	}
	if got["most"] != 90 || got["few"] != 10 {
		t.Fatalf("shares %v", got)
	}
}

func TestHashOn(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.1:1001")
	other := netip.MustParseAddrPort("192.0.2.2:1000")
	if HashSourceIP.Hash(a) != HashSourceIP.Hash(b) || HashSourceIP.Hash(a) == HashSourceIP.Hash(other) {
		t.Error("HashSourceIP is not of the address alone")
	}
	if HashSource.Hash(a) == HashSource.Hash(b) || HashSource.Hash(a) == HashSource.Hash(other) {
		t.Error("HashSource is not of address and port")
	}
}

func TestNewEndpoint(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:80", "[2001:db8::1]:443"} {
		at := netip.MustParseAddrPort(addr)
		e := NewEndpoint(at, 3)
		if e.Address != at || e.Balance.Address != at || e.Socket().AddrPort() != at || len(e.Loops) != 3 {
			t.Errorf("%s: %+v", addr, e)
		}
	}
}

func TestCloseReasons(t *testing.T) {
	seen := map[string]CloseReason{}
	for r := range NumReasons {
		name := r.String()
		if other, twice := seen[name]; twice || name == "" || name == "unknown" {
			t.Errorf("reason %d is %q, as is %d", r, name, other)
		}
		seen[name] = r
	}
	if NumReasons.String() != "unknown" {
		t.Errorf("a reason that there isn't is %q", NumReasons)
	}
	for r, want := range map[CloseReason]bool{
		DownstreamClosed: false, UpstreamRefused: false, DownstreamGone: false, ConnectRefused: true, ConnectTimeout: true,
		ConnectFailed: true, NoCluster: true, NoEndpoint: true, EndpointsFull: true, NoDescriptors: true, IdleTimeout: false, Internal: false,
	} {
		if r.Refusal() != want {
			t.Errorf("%v: Refusal is %v", r, !want)
		}
	}
}
