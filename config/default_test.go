package config

import "testing"

// A default that is spelled out where it has no use is no mistake: a page that lists every key must be a configuration.
func TestSpelledOutDefaults(t *testing.T) {
	_, err := Parse([]Source{{Name: "weir.toml", Text: `
[listeners.web]
bind = "127.0.0.1:0"
cluster = "web"
udp = { responses = 0, max_flows = 65536, per_packet = false, quic = false, receive_buffer = 0, send_buffer = "0B" }
routes = [{ sni = [], cluster = "web" }]
[listeners.dns]
bind = "127.0.0.1:0"
cluster = "web"
protocol = "udp"
backlog = 0
max_connections = 0
idle_timeout = "1m"
half_close_timeout = "300s"
buffer = 65536
tcp = { fast_open = false, defer_accept = false, user_timeout = "0s", keepalive = "75s", congestion = "" }
routes = [{ sni = [], cluster = "web" }]
allow = []
deny = []
rate = { connections = "0/s", burst = 0, per_source = "0/s", per_source_burst = 0 }
max_connections_per_source = 0
[listeners.syslog]
bind = "127.0.0.1:0"
cluster = "web"
protocol = "udp"
udp.per_packet = true
rate = { connections = "", per_source = 0 }
[clusters.web]
policy = "round_robin"
hash_on = "source_ip"
hash_balance = 0.0
endpoints = [{ address = "127.0.0.1:1", server_id = "", priority = 0 }]
discover = { dns = "", refresh = "5s", max_refresh = "5m", mode = "all", servers = [], file = "" }
slow_start = "0s"
panic_threshold = 0.5
limits = { max_connections = 0, max_pending = 0, pending_timeout = "1s", max_retries = 0, retry_budget = 0.0 }
health.on_down = ""
[clusters.checked]
endpoints = ["127.0.0.1:1"]
[clusters.checked.health]
type = "tcp"
interval = "2s"
fast_interval = "500ms"
timeout = "1s"
rise = 2
fall = 3
port = 0
address = ""
track = ""
send = ""
expect = ""
method = "GET"
host = ""
path = "/healthz"
expect_status = ["200-299"]
expect_body = ""
service = ""
on_down = ""
[clusters.tracking]
endpoints = ["127.0.0.1:1"]
health = { track = "checked", interval = "2s", path = "/healthz" }
[clusters.file]
discover = { file = "web.json", refresh = "5s", max_refresh = "300s", mode = "all", servers = [] }
`}})
	if err != nil {
		t.Fatal(err)
	}
}
