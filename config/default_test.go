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
[clusters.web]
policy = "round_robin"
hash_on = "source_ip"
hash_balance = 0.0
endpoints = [{ address = "127.0.0.1:1", server_id = "" }]
health.on_down = ""
`}})
	if err != nil {
		t.Fatal(err)
	}
}
