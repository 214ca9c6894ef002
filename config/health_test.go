package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// With any key but on_down, or none, there are checks; with track they are another's.
func TestWhatAsksForChecks(t *testing.T) {
	for text, want := range map[string]HealthType{
		"":                              HealthOff,
		`health.on_down = "close"`:      HealthOff,
		"health = {}":                   HealthTCP,
		`health.type = ""`:              HealthTCP,
		`health.type = "udp"`:           HealthUDP,
		"health.rise = 2":               HealthTCP,
		`health.track = ""`:             HealthTCP,
		`health.track = "other"`:        HealthOff,
		"health.tls = {}":               HealthTCP,
		"[clusters.c.health]":           HealthTCP,
		"[clusters.c.health.tls]":       HealthTCP,
		`health = { on_down = "keep" }`: HealthOff,
	} {
		s := parse(t, "[clusters.other]\nendpoints = [\"127.0.0.1:2\"]\nhealth = {}\n[clusters.c]\nendpoints = [\"127.0.0.1:1\"]\n"+text)
		if got := s.Cluster("c").Health; got.Type != want || got.TLS.On != strings.Contains(text, "tls") {
			t.Errorf("%s: got %+v, want type %q", text, got, want)
		}
	}
}

func TestEveryHealthKey(t *testing.T) {
	s := parse(t, `
[clusters.http]
endpoints = ["127.0.0.1:1"]
[clusters.http.health]
type = "http"
interval = "5s"
fast_interval = "1s"
timeout = "10s"
rise = 1
fall = 100
port = 8081
address = "::ffff:10.0.0.9"
method = "POST"
host = "web.internal:80"
path = "/ready?full=1&x=%20"
expect_status = [200, "301", "400-499"]
expect_body = "~^ok"
tls = { server_name = "web.internal", ca = "ca.pem", cert = "a.pem", key = "a.key", verify = false }
on_down = "close"
[clusters.grpc]
endpoints = ["127.0.0.1:1"]
health = { type = "grpc", service = "shop.Cart", host = "cart", interval = "100ms", tls = {} }
[clusters.tcp]
endpoints = ["127.0.0.1:1"]
health = { send = "PING\r\n", expect = '\x2bPONG\r\n', address = "fe80::1%eth0" }
[clusters.udp]
endpoints = ["127.0.0.1:1"]
health = { type = "udp", send = '\0\xff\\', expect = '~^\x00', expect_status = "200-299" }
[clusters.tracking]
endpoints = ["127.0.0.1:1"]
health = { track = "http", on_down = "keep" }
`)
	plain := healthTable().defaults()
	plain.Type = HealthOff
	with := func(change func(h *Health)) Health {
		h := plain
		change(&h)
		return h
	}
	for name, want := range map[string]Health{
		"http": {
			Type: HealthHTTP, Interval: 5 * time.Second, FastInterval: time.Second, Timeout: 10 * time.Second, Rise: 1, Fall: 100, Port: 8081,
			Address: netip.MustParseAddr("10.0.0.9"), Method: "POST", Host: "web.internal:80", Path: "/ready?full=1&x=%20",
			ExpectStatus: []StatusRange{{200, 200}, {301, 301}, {400, 499}}, ExpectBody: "~^ok",
			TLS: HealthTLS{true, "web.internal", "ca.pem", "a.pem", "a.key", false}, OnDown: Close,
		},
		"grpc": with(func(h *Health) {
			h.Type, h.Service, h.Host, h.TLS.On = HealthGRPC, "shop.Cart", "cart", true
			h.Interval, h.FastInterval = 100*time.Millisecond, 100*time.Millisecond // the default would be longer than interval
		}),
		"tcp": with(func(h *Health) {
			h.Type, h.Send, h.Expect, h.Address = HealthTCP, "PING\r\n", "+PONG\r\n", netip.MustParseAddr("fe80::1%eth0")
		}),
		"udp":      with(func(h *Health) { h.Type, h.Send, h.Expect = HealthUDP, "\x00\xff\\", `~^\x00` }),
		"tracking": with(func(h *Health) { h.Track, h.OnDown = "http", Keep }),
	} {
		if got := s.Cluster(name).Health; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, want\n%+v", name, got, want)
		}
	}
}

func TestEscapes(t *testing.T) {
	for text, want := range map[string]string{
		``: "", `abc`: "abc", `\r\n\t\0\\`: "\r\n\t\x00\\", `\x00\xfF\x7e`: "\x00\xff~", `\\x41`: `\x41`, "é\r\n": "é\r\n", `\012`: "\x0012",
	} {
		if got, bad := unescaped(text); got != want || bad != "" {
			t.Errorf("%q became %q, %q; want %q", text, got, bad, want)
		}
	}
	for text, want := range map[string]string{
		`\`: `a lone \ at the end`, `a\\\`: `a lone \ at the end`, `\q`: `\q`, `\é`: `\é`, `\x`: `\x without two hex digits`, `\x4`: `\x without two hex digits`,
		`\x+1`: `\x without two hex digits`, "\\\n": `\\n`, "\\\xff": `\` + "\uFFFD", `\u0041`: `\u`,
	} {
		if _, bad := unescaped(text); bad != want {
			t.Errorf("%q: got %q, want %q", text, bad, want)
		}
	}
}

// A default gives way to what is said beside it.
func TestDurationsInOrder(t *testing.T) {
	c := parse(t, `
[clusters.c]
discover = { dns = "web.internal:80", refresh = "1h" }
outlier.ejection = "1h"
health.interval = "20ms"
`).Clusters[0]
	if c.Discover.MaxRefresh != time.Hour || c.Outlier.MaxEjection != time.Hour || c.Health.FastInterval != 20*time.Millisecond {
		t.Errorf("got %+v, want defaults that fit", c)
	}
}

// Nothing follows from a duration that could not be read.
func TestMisreadDurations(t *testing.T) {
	for _, text := range []string{
		`health = { interval = "fast", fast_interval = "5s" }`,
		`health = { interval = "1s", fast_interval = "slow" }`,
		`outlier = { ejection = 10, max_ejection = "1s" }`,
		`outlier = { ejection = "10m", max_ejection = false }`,
	} {
		_, err := Parse([]Source{{Name: "f", Text: "[clusters.c]\nendpoints = [\"127.0.0.1:1\"]\n" + text}})
		if all, ok := err.(Errors); !ok || len(all) != 1 {
			t.Errorf("%s: got\n%v, want one error", text, err)
		}
	}
}

// What another source may have said is not called missing, nor wrong for want of it.
func TestHealthOfAnUnreadSource(t *testing.T) {
	_, err := Parse([]Source{
		{Name: "a.toml", Text: "[clusters.c]\nhealth = { path = \"/ready\", tls = { cert = \"a.pem\" }, track = \"gone\" }\n[clusters.d]\nhealth.path = \"/\"\ndiscover.refresh = \"1s\"\n"},
		{Name: "b.toml", Text: "clusters = \n"},
	})
	all, ok := err.(Errors)
	if !ok {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Source != "b.toml" && e.Key != "clusters.c.health.path" && e.Key != "clusters.c.health.tls" {
			t.Errorf("got %v", e)
		}
	}
}
