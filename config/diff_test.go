package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	const base = `
[listeners.a]
bind = ["127.0.0.1:1", "127.0.0.1:2", "[::]:3"]
cluster = "c"
[[listeners.a.routes]]
source = ["10.0.0.0/8"]
cluster = "d"
[listeners.u]
bind = "127.0.0.1:4"
protocol = "udp"
cluster = "c"
[clusters.c]
endpoints = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]
[clusters.d]
endpoints = ["10.0.0.1:1"]
`
	addrs := func(all ...string) []netip.AddrPort {
		var list []netip.AddrPort
		for _, a := range all {
			list = append(list, netip.MustParseAddrPort(a))
		}
		return list
	}
	for _, c := range []struct {
		name string
		sets []string
		want Change
	}{
		{"nothing", nil, Change{}},
		{"a default written out", []string{"process.drain_timeout=30s", "listeners.a.buffer=65536", "clusters.c.policy=round_robin"}, Change{}},
		{"process", []string{"process.log_level=debug", "process.pin=true", "process.loops=2", "process.drain_timeout=1s"},
			Change{Restart: []string{"process.loops", "process.pin"}, Process: []string{"process.drain_timeout", "process.log_level"}}},
		{"admin", []string{"admin.read_only=true", "admin.listen="}, Change{Admin: []string{"admin.listen", "admin.read_only"}}},
		{"a listener in place", []string{"listeners.a.tcp.keepalive=1s", "listeners.a.idle_timeout=1m", "listeners.a.routes=[]"},
			Change{ListenersChanged: []ListenerChange{{Name: "a", Keys: []string{"idle_timeout", "routes", "tcp.keepalive"}}}}},
		{"another protocol", []string{"listeners.a.protocol=udp"}, Change{ListenersChanged: []ListenerChange{{Name: "a", Keys: []string{"idle_timeout", "protocol"}, Rebind: true,
			BindsAdded: addrs("127.0.0.1:1", "127.0.0.1:2", "[::]:3"), BindsRemoved: addrs("127.0.0.1:1", "127.0.0.1:2", "[::]:3")}}}},
		{"a UDP listener in place", []string{"listeners.u.udp.responses=1", "listeners.u.udp.max_flows=5", "listeners.u.udp.receive_buffer=1MiB", "listeners.u.idle_timeout=2m"},
			Change{ListenersChanged: []ListenerChange{{Name: "u", Keys: []string{"idle_timeout", "udp.max_flows", "udp.receive_buffer", "udp.responses"}}}}},
		{"a UDP listener's defaults written out", []string{"listeners.u.udp.max_flows=65536", "listeners.u.idle_timeout=1m", "listeners.u.udp.quic=false"}, Change{}},
		{"routes by server name", []string{"listeners.u.udp.quic=true", `listeners.u.routes=[{ sni = ["a.example.com"], cluster = "d" }]`},
			Change{ListenersChanged: []ListenerChange{{Name: "u", Keys: []string{"routes", "udp.quic"}}}}},
		{"health", []string{"clusters.c.health.on_down=keep"}, Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"health.on_down"}}}}},
		{"checks", []string{"clusters.c.health={}"}, Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"health.type"}}}}},
		{"checks with TLS", []string{`clusters.c.health={ type = "http", interval = "1s", tls = { ca = "ca.pem" } }`},
			Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"health.interval", "health.tls", "health.tls.ca", "health.type"}}}}},
		{"outliers", []string{"clusters.c.outlier={}", "clusters.d.outlier.consecutive_failures=2"}, Change{ClustersChanged: []ClusterChange{
			{Name: "c", Keys: []string{"outlier"}}, {Name: "d", Keys: []string{"outlier", "outlier.consecutive_failures"}}}}},
		{"limits", []string{"clusters.c.limits.max_pending=5", "clusters.c.panic_threshold=0", "clusters.c.slow_start=5s"},
			Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"limits.max_pending", "panic_threshold", "slow_start"}}}}},
		{"discovery instead of endpoints", []string{"clusters.d.endpoints=[]", "clusters.d.discover.dns=d.internal:1"},
			Change{ClustersChanged: []ClusterChange{{Name: "d", Keys: []string{"discover.dns", "endpoints"}, Removed: addrs("10.0.0.1:1")}}}},
		{"access", []string{`listeners.a.allow=["10.0.0.0/8"]`, "listeners.a.rate.per_source=5/s", "listeners.a.max_connections_per_source=2"},
			Change{ListenersChanged: []ListenerChange{{Name: "a", Keys: []string{"allow", "max_connections_per_source", "rate.per_source"}}}}},
		{"a server ID", []string{`clusters.d.endpoints=[{ address = "10.0.0.1:1", server_id = "0a" }]`},
			Change{ClustersChanged: []ClusterChange{{Name: "d", Keys: []string{"endpoints"}, Changed: []EndpointChange{{addrs("10.0.0.1:1")[0], []string{"server_id"}}}}}}},
		{"a listener's addresses", []string{`listeners.a.bind=["127.0.0.1:9", "[::]:3", "127.0.0.1:1"]`},
			Change{ListenersChanged: []ListenerChange{{Name: "a", Keys: []string{"bind"}, Rebind: true, BindsAdded: addrs("127.0.0.1:9"), BindsRemoved: addrs("127.0.0.1:2")}}}},
		{"the order of addresses", []string{`listeners.a.bind=["[::]:3", "127.0.0.1:2", "127.0.0.1:1"]`},
			Change{ListenersChanged: []ListenerChange{{Name: "a", Keys: []string{"bind"}}}}},
		{"a wildcard without IPv4", []string{"listeners.a.v6_only=true"},
			Change{ListenersChanged: []ListenerChange{{Name: "a", Keys: []string{"v6_only"}, Rebind: true, BindsAdded: addrs("[::]:3"), BindsRemoved: addrs("[::]:3")}}}},
		{"a listener and a cluster more", []string{`listeners.b={ bind = ":9", cluster = "b" }`, `clusters.b={ endpoints = ["10.0.0.1:1"] }`},
			Change{ListenersAdded: []string{"b"}, ClustersAdded: []string{"b"}}},
		{"a cluster in place", []string{"clusters.c.policy=p2c", "clusters.c.connect_attempts=1"},
			Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"connect_attempts", "policy"}}}}},
		{"endpoints", []string{`clusters.c.endpoints=["10.0.0.9:1", { address = "10.0.0.3:1", weight = 5, state = "drain" }, "10.0.0.1:1"]`},
			Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"endpoints"}, Added: addrs("10.0.0.9:1"), Removed: addrs("10.0.0.2:1"),
				Changed: []EndpointChange{{addrs("10.0.0.3:1")[0], []string{"state", "weight"}}}}}}},
		{"the order of endpoints", []string{`clusters.c.endpoints=["10.0.0.3:1", "10.0.0.2:1", "10.0.0.1:1"]`},
			Change{ClustersChanged: []ClusterChange{{Name: "c", Keys: []string{"endpoints"}}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Diff(parse(t, base), parse(t, base, c.sets...))
			emptied(&got)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n%+v, want\n%+v", got, c.want)
			}
			if got.Empty() != reflect.DeepEqual(c.want, Change{}) {
				t.Errorf("Empty is %t", got.Empty())
			}
		})
	}
	// What was added is removed on the way back.
	more := parse(t, base, `listeners.b={ bind = ":9", cluster = "b" }`, `clusters.b={ endpoints = ["10.0.0.1:1"] }`)
	back := Diff(more, parse(t, base))
	if want := (Change{ListenersRemoved: []string{"b"}, ClustersRemoved: []string{"b"}}); !reflect.DeepEqual(back, want) {
		t.Errorf("got %+v, want %+v", back, want)
	}
}

// emptied makes slices of no length nil, for comparing.
func emptied(c *Change) {
	for i := range c.ListenersChanged {
		l := &c.ListenersChanged[i]
		l.BindsAdded, l.BindsRemoved = append([]netip.AddrPort(nil), l.BindsAdded...), append([]netip.AddrPort(nil), l.BindsRemoved...)
	}
}

// Every key of the schema is compared: a Snapshot with any one of them at its
// example differs from the defaults.
func TestDiffSeesEveryKey(t *testing.T) {
	for path, source := range examples(t) {
		base := []Source{{Name: "f", Text: valid}, {Name: "base", Kind: TOML, Text: wants(path) + found(path)}}
		plain, err := Parse(base)
		if err != nil {
			t.Errorf("%s: without it: %v", path, err)
			continue
		}
		s, err := Parse(append(base, source))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if c := Diff(plain, s); c.Empty() && !sameAsDefault[path] {
			t.Errorf("%s: no difference is seen", path)
		}
	}
}

// found is where the endpoints of a configuration come from that has a key.
func found(path string) string {
	switch {
	case path == "clusters.*.discover.file":
		return `clusters.web = { endpoints = [], discover.file = "old.json" }`
	case strings.HasPrefix(path, "clusters.*.discover"):
		return `clusters.web = { endpoints = [], discover.dns = "old.internal:1" }`
	}
	return `clusters.web.endpoints = [{ address = "10.0.0.2:8080" }]`
}
