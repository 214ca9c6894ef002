package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDiscover(t *testing.T) {
	s := parse(t, `
[clusters.a]
discover = { dns = "web.internal:8080", refresh = "100ms", max_refresh = "1m", mode = "first", servers = ["10.0.0.53", "10.0.0.54:5353", "fd00::53", "[fd00::53]:54", "::ffff:10.0.0.55"] }
[clusters.b]
endpoints = []
discover = { dns = "_http._tcp.web.internal", mode = "srv" }
[clusters.c]
discover.file = "web.json"
[clusters.d]
endpoints = ["127.0.0.1:1"]
`)
	addr := netip.MustParseAddrPort
	for name, want := range map[string]Discover{
		"a": {"web.internal:8080", 100 * time.Millisecond, time.Minute, DiscoverFirst,
			[]netip.AddrPort{addr("10.0.0.53:53"), addr("10.0.0.54:5353"), addr("[fd00::53]:53"), addr("[fd00::53]:54"), addr("10.0.0.55:53")}, ""},
		"b": {"_http._tcp.web.internal", 5 * time.Second, 5 * time.Minute, DiscoverSRV, nil, ""},
		"c": {"", 5 * time.Second, 5 * time.Minute, DiscoverAll, nil, "web.json"},
		"d": {"", 5 * time.Second, 5 * time.Minute, DiscoverAll, nil, ""},
	} {
		c := s.Cluster(name)
		if !reflect.DeepEqual(c.Discover, want) || c.Discover.On() != (len(c.Endpoints) == 0) {
			t.Errorf("%s: got %+v, want %+v", name, c.Discover, want)
		}
	}
}

func TestDiscoveredNames(t *testing.T) {
	long := strings.Repeat("a", maxLabel)
	for text, want := range map[string]bool{
		"web:1": true, "localhost:80": true, "web.internal.:80": true, "my_web.internal:80": true, "1.web:65535": true, "3com.com:80": true, long + ":1": true,
		strings.Repeat(long+".", 3) + strings.Repeat("a", 61) + ":65535": true,
		strings.Repeat(long+".", 3) + strings.Repeat("a", 62) + ":65535": false,
		long + "a:1": false, ":80": false, ".:80": false, "web..:80": false, "web:": false, "web:+1": false, "web:65536": false, "web": false, "we b:1": false,
		"a-.b:1": false, "1.2.3.4:5": false, "1.2.3.4.:5": false, "::1": false, "[::1]:80": false, "fe80::1%eth0": false, "web:80:90": false, "*.web:80": false,
	} {
		_, err := Parse([]Source{{Name: "f", Text: "[clusters.c]\ndiscover.dns = " + literal(text)}})
		if (err == nil) != want {
			t.Errorf("%q: got %v, want it taken: %t", text, err, want)
		}
	}
}
