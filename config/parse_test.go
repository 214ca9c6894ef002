package config

import (
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// valid is the least that listens and forwards.
const valid = `
[listeners.web]
bind = "127.0.0.1:8080"
cluster = "web"
[clusters.web]
endpoints = ["127.0.0.1:9000"]
`

// parse parses what has to be right.
func parse(t *testing.T, text string, sets ...string) *Snapshot {
	t.Helper()
	sources := []Source{{Name: "weir.toml", Text: text}}
	for _, s := range sets {
		sources = append(sources, Source{Name: "--set", Kind: Set, Text: s})
	}
	s, err := Parse(sources)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func defaults() *Snapshot {
	return &Snapshot{
		Process: Process{DrainTimeout: 30 * time.Second, LogLevel: slog.LevelInfo, LogFormat: "text"},
		Admin:   Admin{Listen: "127.0.0.1:9901"},
		Listeners: []Listener{{
			Name: "web", Binds: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")}, Protocol: ProtocolTCP, Cluster: "web",
			IdleTimeout: time.Hour, HalfCloseTimeout: 5 * time.Minute, Buffer: 65536, Balance: BalanceKernel,
			TCP: TCP{Keepalive: 75 * time.Second}, UDP: UDP{MaxFlows: 65536},
		}},
		Clusters: []Cluster{{
			Name: "web", Policy: RoundRobin, HashOn: SourceIP, ConnectTimeout: 2 * time.Second, ConnectAttempts: 3,
			Endpoints: []Endpoint{{Address: netip.MustParseAddrPort("127.0.0.1:9000"), Weight: 1, State: Ready}},
			Discover:  Discover{Refresh: 5 * time.Second, MaxRefresh: 5 * time.Minute, Mode: DiscoverAll}, PanicThreshold: 0.5,
			Health: Health{
				Interval: 2 * time.Second, FastInterval: 500 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 3,
				Method: "GET", Path: "/healthz", ExpectStatus: []StatusRange{{200, 299}}, TLS: HealthTLS{Verify: true},
			},
			Outlier: Outlier{ConsecutiveFailures: 5, SuccessRateStdev: 1.9, Interval: 10 * time.Second, Ejection: 30 * time.Second, MaxEjection: 5 * time.Minute, MaxEjected: 0.1},
			Limits:  Limits{PendingTimeout: time.Second},
		}},
	}
}

func TestDefaults(t *testing.T) {
	if got, want := parse(t, valid), defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	want := defaults()
	want.Listeners, want.Clusters = nil, nil
	got, err := Parse(nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("no sources: got\n%+v, %v, want\n%+v", got, err, want)
	}
}

// Zero and empty mean the default, or what the key's help says.
func TestZeroValues(t *testing.T) {
	want := defaults()
	want.Process.DrainTimeout = 0
	want.Admin.Listen = ""
	want.Listeners[0].IdleTimeout, want.Listeners[0].HalfCloseTimeout, want.Listeners[0].TCP.Keepalive = 0, 0, 0
	web := &want.Clusters[0]
	web.Endpoints[0].Weight = 0
	web.PanicThreshold = 0
	web.Outlier.On, web.Outlier.ConsecutiveFailures, web.Outlier.SuccessRateStdev, web.Outlier.MaxEjected = true, 0, 0, 0
	web.Health.Type, web.Health.TLS = HealthTCP, HealthTLS{On: true}
	got := parse(t, `
[process]
loops = 0
drain_timeout = "0s"
log_level = ""
log_format = ""
[admin]
listen = ""
[listeners.web]
bind = "127.0.0.1:8080"
cluster = "web"
protocol = ""
idle_timeout = "0s"
half_close_timeout = "0s"
buffer = 0
balance = ""
routes = []
tcp.keepalive = "0s"
allow = []
deny = []
rate = { connections = "", burst = 0, per_source = 0, per_source_burst = 0 }
max_connections_per_source = 0
udp = { responses = 0, max_flows = 0, receive_buffer = 0, send_buffer = "0" }
[clusters.web]
policy = ""
hash_on = ""
hash_balance = 0
connect_timeout = "0s"
connect_attempts = 0
endpoints = [{ address = "127.0.0.1:9000", weight = 0, state = "", server_id = "", priority = 0 }]
slow_start = "0s"
panic_threshold = 0
discover = { dns = "", refresh = "0s", max_refresh = "0s", mode = "", servers = [], file = "" }
limits = { max_connections = 0, max_pending = 0, pending_timeout = "0s", max_retries = 0, retry_budget = 0 }
[clusters.web.outlier]
consecutive_failures = 0
success_rate_stdev = 0
interval = "0s"
ejection = "0s"
max_ejection = "0s"
max_ejected = 0
[clusters.web.health]
type = ""
interval = "0s"
fast_interval = "0s"
timeout = "0s"
rise = 0
fall = 0
port = 0
address = ""
track = ""
send = ""
expect = ""
method = ""
host = ""
path = ""
expect_status = []
expect_body = ""
service = ""
tls = { server_name = "", ca = "", cert = "", key = "", verify = false }
on_down = ""
`)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

// The keys of the language that are built, each with another value than its default.
func TestEveryKey(t *testing.T) {
	got := parse(t, `
[process]
loops = 2
pin = true
max_connections = 1000
drain_timeout = "1m"
log_level = "debug"
log_format = "json"

[admin]
listen = ":9901"
token_file = "token"
read_only = true

[listeners.web]
bind = ["0.0.0.0:443", "[::]:443"]
v6_only = true
protocol = "tcp"
cluster = "web"
backlog = 10
max_connections = 20
idle_timeout = "30m"
max_duration = "24h"
half_close_timeout = "1m30s"
buffer = "1MiB"
balance = "kernel"
allow = ["10.0.0.0/8", "::ffff:192.0.2.1"]
deny = ["10.9.0.0/16"]
rate = { connections = "1000/s", burst = 2000, per_source = "90/m", per_source_burst = 5 }
max_connections_per_source = 50
tcp = { fast_open = true, defer_accept = true, user_timeout = "30s", keepalive = "60s", congestion = "bbr" }

[[listeners.web.routes]]
source = ["10.0.0.0/8", "192.0.2.1", "::ffff:172.16.0.0/108", "2001:db8::/32"]
cluster = "db"
[[listeners.web.routes]]
split = { web = 90, db = 10 }

[listeners.quic]
bind = "0.0.0.0:443"
protocol = "udp"
cluster = "web"
udp = { max_flows = 1000, quic = true, receive_buffer = "256MiB", send_buffer = "4KiB" }
[[listeners.quic.routes]]
sni = ["db.example.com", "*.Internal.example.com"]
source = ["10.0.0.0/8"]
cluster = "db"

[listeners.dns]
bind = ":53"
protocol = "udp"
cluster = "db"
max_duration = "1h"
udp = { responses = 1 }

[listeners.syslog]
bind = ":514"
protocol = "udp"
cluster = "db"
idle_timeout = "2m"
udp = { per_packet = true }

[clusters.web]
policy = "maglev"
hash_on = "source"
hash_balance = 1.25
connect_timeout = "100ms"
connect_attempts = 16
endpoints = [
  "10.0.0.1:8080",
  { address = "[fe80::1%eth0]:8080", weight = 2, max_connections = 500, backup = true, state = "drain", server_id = "0A1b", priority = 7 },
]
[clusters.web.health]
on_down = "keep"
[[clusters.db.endpoints]]
address = "10.0.0.1:5432"
state = "maint"
[clusters.db.health]
on_down = "close"
[[clusters.db.endpoints]]
address = "[::ffff:10.0.0.2]:5432"
weight = 65535
`)
	addr, prefix := netip.MustParseAddrPort, netip.MustParsePrefix
	plain := defaults().Clusters[0]
	on := func(down OnDown) Health {
		h := plain.Health
		h.OnDown = down
		return h
	}
	// What a UDP listener has of the keys that it doesn't look at.
	udp := Listener{Protocol: ProtocolUDP, IdleTimeout: time.Minute, HalfCloseTimeout: 5 * time.Minute, Buffer: 65536, Balance: "kernel", TCP: TCP{Keepalive: 75 * time.Second}}
	dns, quic, syslog := udp, udp, udp
	dns.Name, dns.Binds, dns.Cluster, dns.MaxDuration, dns.UDP = "dns", []netip.AddrPort{addr("[::]:53")}, "db", time.Hour, UDP{Responses: 1, MaxFlows: 65536}
	quic.Name, quic.Binds, quic.Cluster, quic.UDP = "quic", []netip.AddrPort{addr("0.0.0.0:443")}, "web", UDP{0, 1000, false, true, 256 << 20, 4 << 10}
	quic.Routes = []Route{{SNI: []string{"db.example.com", "*.internal.example.com"}, Source: []netip.Prefix{prefix("10.0.0.0/8")}, Cluster: "db"}}
	syslog.Name, syslog.Binds, syslog.Cluster, syslog.IdleTimeout, syslog.UDP = "syslog", []netip.AddrPort{addr("[::]:514")}, "db", 2*time.Minute, UDP{MaxFlows: 65536, PerPacket: true}
	want := &Snapshot{
		Process: Process{2, true, 1000, time.Minute, slog.LevelDebug, "json"},
		Admin:   Admin{"[::]:9901", "token", true},
		Listeners: []Listener{dns, quic, syslog, {
			Name: "web", Binds: []netip.AddrPort{addr("0.0.0.0:443"), addr("[::]:443")}, V6Only: true, Protocol: "tcp", Cluster: "web",
			Routes: []Route{
				{Source: []netip.Prefix{prefix("10.0.0.0/8"), prefix("192.0.2.1/32"), prefix("172.16.0.0/12"), prefix("2001:db8::/32")}, Cluster: "db"},
				{Split: []Share{{"db", 10}, {"web", 90}}},
			},
			Backlog: 10, MaxConnections: 20, IdleTimeout: 30 * time.Minute, MaxDuration: 24 * time.Hour, HalfCloseTimeout: 90 * time.Second,
			Buffer: 1 << 20, Balance: "kernel", Allow: []netip.Prefix{prefix("10.0.0.0/8"), prefix("192.0.2.1/32")}, Deny: []netip.Prefix{prefix("10.9.0.0/16")},
			Rate: Rate{1000, 1.5, 2000, 5}, MaxConnectionsPerSource: 50, TCP: TCP{true, true, 30 * time.Second, time.Minute, "bbr"}, UDP: UDP{MaxFlows: 65536},
		}},
		Clusters: []Cluster{
			{Name: "db", Policy: "round_robin", HashOn: "source_ip", ConnectTimeout: 2 * time.Second, ConnectAttempts: 3, Endpoints: []Endpoint{
				{addr("10.0.0.1:5432"), 1, 0, false, "maint", "", 0}, {addr("10.0.0.2:5432"), 65535, 0, false, "ready", "", 0}}, Health: on(Close), Discover: plain.Discover, PanicThreshold: 0.5, Outlier: plain.Outlier, Limits: plain.Limits},
			{Name: "web", Policy: "maglev", HashOn: "source", HashBalance: 1.25, ConnectTimeout: 100 * time.Millisecond, ConnectAttempts: 16, Endpoints: []Endpoint{
				{addr("10.0.0.1:8080"), 1, 0, false, "ready", "", 0}, {addr("[fe80::1%eth0]:8080"), 2, 500, true, "drain", "0a1b", 7}}, Health: on(Keep), Discover: plain.Discover, PanicThreshold: 0.5, Outlier: plain.Outlier, Limits: plain.Limits},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if got.Cluster("db") != &got.Clusters[0] || got.Cluster("d") != nil || got.Listener("web") != &got.Listeners[3] || got.Listener("x") != nil {
		t.Error("Cluster and Listener do not find by name")
	}
}

func TestMerge(t *testing.T) {
	base := `
[process]
loops = 1
pin = true
[listeners.web]
bind = ["127.0.0.1:1", "127.0.0.1:2"]
cluster = "web"
tcp = { keepalive = "10s", congestion = "bbr" }
[clusters.web]
endpoints = ["127.0.0.1:9000", "127.0.0.1:9001"]
`
	s, err := Parse([]Source{
		{Name: "f", Text: base},
		{Name: "--set #1", Kind: Set, Text: "process.loops=2"},
		{Name: "--config-toml #1", Kind: TOML, Text: "process.loops = 3\nlisteners.web = { bind = \"127.0.0.1:3\", tcp = { keepalive = \"20s\" } }"},
		{Name: "--set #2", Kind: Set, Text: "process.loops=4"},
		{Name: "--set #3", Kind: Set, Text: `clusters.web.endpoints=["127.0.0.1:9002"]`},
		{Name: "--set #4", Kind: Set, Text: `clusters."a b"={ endpoints = ["127.0.0.1:1"] }`},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := s.Listener("web")
	if s.Process.Loops != 4 || !s.Process.Pin {
		t.Errorf("process: got %+v, want the last loops and the first pin", s.Process)
	}
	if len(web.Binds) != 1 || web.Binds[0].Port() != 3 || web.Cluster != "web" {
		t.Errorf("a list is not replaced whole: %+v", web)
	}
	if web.TCP.Keepalive != 20*time.Second || web.TCP.Congestion != "bbr" {
		t.Errorf("a table is not merged by key: %+v", web.TCP)
	}
	if e := s.Cluster("web").Endpoints; len(e) != 1 || e[0].Address.Port() != 9002 {
		t.Errorf("endpoints: got %+v, want those of --set alone", e)
	}
	if s.Cluster("a b") == nil {
		t.Error("a cluster of --set alone is not there")
	}
}

// An address alone is an endpoint with every default.
func TestEndpointForms(t *testing.T) {
	alone := parse(t, "[clusters.c]\nendpoints = [\"127.0.0.1:1\"]")
	inline := parse(t, "[clusters.c]\nendpoints = [{ address = \"127.0.0.1:1\" }]")
	tables := parse(t, "[[clusters.c.endpoints]]\naddress = \"127.0.0.1:1\"")
	if !reflect.DeepEqual(alone, inline) || !reflect.DeepEqual(alone, tables) {
		t.Errorf("got\n%+v,\n%+v,\n%+v", alone, inline, tables)
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"bind", "cluster", "idle_timeout", "max_connections", "tcp"}
	for word, want := range map[string]string{
		"clutser": "cluster", "clusters": "cluster", "idletimeout": "idle_timeout", "bnid": "bind", "maxconn": "", "tpc": "tcp",
		"x": "", "udp": "", "listen": "", "Bind": "bind", strings.Repeat("a", 1000): "",
	} {
		if got, _ := nearest(word, keys); got != want {
			t.Errorf("nearest to %.20q is %q, want %q", word, got, want)
		}
	}
}
