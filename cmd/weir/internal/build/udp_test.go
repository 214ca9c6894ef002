package build_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"weir/cmd/weir/internal/build"
	"weir/config"
	"weir/eventloop"
	"weir/l4/flow"
)

const datagrams = `
[listeners.dns]
protocol = "udp"
bind = ["[::]:53", "127.0.0.1:54"]
v6_only = true
cluster = "dns"
idle_timeout = "5s"
max_duration = "2m"
udp = { responses = 1, max_flows = 77, receive_buffer = "1MiB", send_buffer = "2MiB" }
[clusters.dns]
endpoints = ["10.0.0.1:53", "10.0.0.2:53"]
health.on_down = "keep"
`

func TestUDPOptionsArriveWhole(t *testing.T) {
	r := first(t, datagrams)
	l := r.Listener("dns")
	if l.TCP != nil || r.AnyTCP() || l.MaxConnections() != 77 || l.State.Name != "dns" || len(l.State.Loops) != 2 {
		t.Errorf("listener: %+v", l)
	}
	s := l.UDP
	if want := (flow.Rules{Idle: 5 * time.Second, MaxDuration: 2 * time.Minute, Responses: 1}); s.Rules != want {
		t.Errorf("rules: %+v, want %+v", s.Rules, want)
	}
	if s.MaxFlows != 77 || s.PerPacket || s.QUIC || s.Servers != nil || s.DontFragment || s.Receive != 1<<20 || s.Send != 2<<20 {
		t.Errorf("settings: %+v", s)
	}
	if c := r.Cluster("dns"); !c.KeepFlows || s.Routes.Default.Clusters[0] != c {
		t.Errorf("cluster: %+v", c)
	}
	for i, addr := range []string{"[::]:53", "127.0.0.1:54"} {
		at := netip.MustParseAddrPort(addr)
		want := build.Socket{Addr: at, V6Only: true, UDP: eventloop.DatagramOptions{Addr: at, V6Only: true, Receive: 1 << 20, Send: 2 << 20}}
		if got := l.Sockets[i]; got != want || !got.Datagrams() {
			t.Errorf("socket %d: %+v, want %+v", i, got, want)
		}
	}
}

// What isn't configured: buffers with room for bursts for the listener's sockets, the kernel's for those to endpoints.
func TestUDPDefaults(t *testing.T) {
	const text = `
listeners.plain = { protocol = "udp", bind = "127.0.0.1:1", cluster = "c" }
listeners.syslog = { protocol = "udp", bind = "127.0.0.1:2", cluster = "c", udp = { per_packet = true } }
listeners.quic = { protocol = "udp", bind = "127.0.0.1:3", cluster = "c", udp = { quic = true } }
clusters.c.endpoints = ["10.0.0.1:1"]
`
	r := first(t, text)
	for _, c := range []struct {
		name  string
		flags [4]bool // per packet, QUIC, don't fragment, no offload
	}{
		{"plain", [4]bool{}},
		{"syslog", [4]bool{0: true, 3: true}},
		{"quic", [4]bool{1: true, 2: true}},
	} {
		l := r.Listener(c.name)
		s, o := l.UDP, l.Sockets[0].UDP
		if got := [4]bool{s.PerPacket, s.QUIC, s.DontFragment, o.NoOffload}; got != c.flags || o.DontFragment != s.DontFragment {
			t.Errorf("%s: %v, want %v; socket %+v", c.name, got, c.flags, o)
		}
		if s.Receive != 0 || s.Send != 0 || o.Receive != 4<<20 || o.Send != 4<<20 {
			t.Errorf("%s: buffers %d and %d to endpoints, %d and %d of the listener", c.name, s.Receive, s.Send, o.Receive, o.Send)
		}
		if want := (flow.Rules{Idle: time.Minute}); s.Rules != want || s.MaxFlows != 65536 || s.Servers != nil {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
	if r.Cluster("c").KeepFlows {
		t.Error("flows are kept where the configuration doesn't say so")
	}
}

func TestUDPIdentity(t *testing.T) {
	a := first(t, datagrams)
	b := next(t, a, datagrams)
	if was, is := a.Listener("dns"), b.Listener("dns"); was.State != is.State || was.UDP != is.UDP || !is.Same(was) {
		t.Error("nothing changed, and the listener is another one")
	}
	other := parse(t, datagrams)
	other.Listener("dns").UDP.MaxFlows = 78
	c, err := b.Next(other)
	if err != nil {
		t.Fatal(err)
	}
	if was, is := b.Listener("dns"), c.Listener("dns"); was.State != is.State || was.UDP == is.UDP || is.Same(was) || is.MaxConnections() != 78 || was.MaxConnections() != 77 {
		t.Errorf("settings: %+v", is.UDP)
	}
	moved := parse(t, datagrams)
	moved.Cluster("dns").Endpoints[1].Weight = 3
	d, err := b.Next(moved)
	if err != nil {
		t.Fatal(err)
	}
	if was, is := b.Listener("dns"), d.Listener("dns"); is.Same(was) || is.UDP.Routes.Default.Clusters[0] != d.Cluster("dns") {
		t.Error("the listener still sends to the old cluster")
	}
}

// A listener of the other protocol is another one, though it has the name.
func TestProtocolIsIdentity(t *testing.T) {
	const text = `
listeners.l = { protocol = %q, bind = "127.0.0.1:1", routes = [{ split = { c = 1, d = 2 } }] }
clusters = { c.endpoints = ["10.0.0.1:1"], d.endpoints = ["10.0.0.2:1"] }
`
	a := first(t, fmt.Sprintf(text, "tcp"))
	b := next(t, a, fmt.Sprintf(text, "udp"))
	c := next(t, b, fmt.Sprintf(text, "tcp"))
	for _, step := range [][2]*build.Running{{a, b}, {b, c}, {a, c}} {
		was, is := step[0].Listener("l"), step[1].Listener("l")
		if was.State == is.State || is.Same(was) {
			t.Errorf("%s became %s and is the same listener", was.Config.Protocol, is.Config.Protocol)
		}
	}
	if l := b.Listener("l"); l.TCP != nil || l.UDP == nil || !l.Sockets[0].Datagrams() || b.AnyTCP() {
		t.Errorf("listener: %+v", l)
	}
	if l := c.Listener("l"); l.TCP == nil || l.UDP != nil || l.Sockets[0].Datagrams() || !c.AnyTCP() {
		t.Errorf("listener: %+v", l)
	}
	if a.Cluster("c") != c.Cluster("c") {
		t.Error("the cluster is another one")
	}
}

const quicRoutes = `
[listeners.q]
protocol = "udp"
bind = "127.0.0.1:443"
cluster = "rest"
udp = { quic = true }
[[listeners.q.routes]]
source = ["10.0.0.0/8"]
sni = ["a.example", "*.b.example"]
cluster = "named"
[[listeners.q.routes]]
split = { named = 1, third = 1 }
[clusters.rest]
endpoints = [{ address = "10.0.0.1:443", server_id = "0a0b" }, "10.0.0.2:443"]
[clusters.named]
endpoints = [{ address = "10.0.1.1:443", server_id = "0c0d" }, { address = "10.0.1.2:443", server_id = "0e0f" }]
[clusters.third]
endpoints = [{ address = "10.0.2.1:443", server_id = "ffff", weight = %d }]
[clusters.unused]
endpoints = [{ address = "10.0.3.1:443", server_id = "1111" }]
`

// Server IDs lead to the endpoints of all clusters that the listener sends to, and server names are part of routes.
func TestQUIC(t *testing.T) {
	r := first(t, fmt.Sprintf(quicRoutes, 1))
	s := r.Listener("q").UDP
	if s.Servers == nil || s.Servers.Size != 2 || len(s.Servers.ByID) != 4 {
		t.Fatalf("servers: %+v", s.Servers)
	}
	for id, want := range map[string]struct {
		cluster string
		member  int
	}{"\x0a\x0b": {"rest", 0}, "\x0c\x0d": {"named", 0}, "\x0e\x0f": {"named", 1}, "\xff\xff": {"third", 0}} {
		if got := s.Servers.ByID[id]; got == nil || got.Cluster != r.Cluster(want.cluster) || got.Member != want.member {
			t.Errorf("server %x: %+v, want member %d of %s", id, got, want.member, want.cluster)
		}
	}
	if got := s.Routes.Routes[0]; !slices.Equal(got.SNI, []string{"a.example", "*.b.example"}) || len(got.Sources) != 1 || got.Target.Clusters[0].Name != "named" {
		t.Errorf("route: %+v", got)
	}
	inside, outside := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("192.0.2.1")
	if !s.Routes.AskName(inside) || s.Routes.AskName(outside) {
		t.Error("the name has to be known for clients of the first route, and of no other")
	}
	for i, sni := range []string{"a.example", "x.b.example"} {
		if got := s.Routes.Match(inside, sni); got != r.Cluster("named") {
			t.Errorf("name %d leads to %v", i, got)
		}
	}
	if got := r.Listener("q").Sockets[0].UDP; !got.DontFragment {
		t.Errorf("socket: %+v", got)
	}
}

// Servers are those of the clusters that there are now, and a split goes on in its sequence.
func TestQUICFollowsItsClusters(t *testing.T) {
	a := first(t, fmt.Sprintf(quicRoutes, 1))
	b := next(t, a, fmt.Sprintf(quicRoutes, 2))
	was, is := a.Listener("q"), b.Listener("q")
	if is.Same(was) || was.State != is.State {
		t.Fatal("want other settings of the same listener")
	}
	if got := is.UDP.Servers.ByID["\xff\xff"].Cluster; got != b.Cluster("third") || got == a.Cluster("third") {
		t.Error("a server ID leads to the old cluster")
	}
	if was.UDP.Routes.Routes[1].Target.Split != is.UDP.Routes.Routes[1].Target.Split {
		t.Error("the split began anew")
	}
	s := parse(t, fmt.Sprintf(quicRoutes, 1))
	s.Cluster("third").Endpoints[0].ServerID = "xx"
	if _, err := build.First(s, build.Options{Loops: 1}); err == nil || err.Error() != `listener "q": cluster "third": endpoint 10.0.2.1:443: server ID: encoding/hex: invalid byte: U+0078 'x'` {
		t.Errorf("error: %v", err)
	}
}

// An endpoint that leaves, or goes to maintenance, is left by flows as by sessions.
func TestUDPLeaving(t *testing.T) {
	a := first(t, datagrams)
	s := parse(t, datagrams)
	s.Cluster("dns").Endpoints[0].State = config.Maint
	b, err := a.Next(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Leaving(b); len(got) != 1 || got[0] != a.Cluster("dns").Endpoints[0] {
		t.Errorf("leaving: %v", got)
	}
}
