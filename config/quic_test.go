package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestServerNames(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Join([]string{label, label, label, strings.Repeat("b", 61)}, ".") // 253 bytes
	for name, want := range map[string]bool{
		"a": true, "localhost": true, "A.example.COM": true, "1and1.example.com": true, "3.example.com": true, "a--b.example.com": true, "xn--mnchen-3ya.example": true,
		"*.a": true, "*.b.example.com": true, label + ".com": true, long: true, "*." + long[2:]: true,
		"": false, "*": false, "*.": false, ".": false, "a.": false, ".a": false, "a..b": false, "a.*": false, "*.*.a": false, "a*.b": false, "-a": false, "a-": false, "a.-b": false,
		"a_b": false, "a b": false, "a\n": false, "é": false, "\u212a.example.com": false, "a" + label: false, long + "b": false, "*." + long: false,
		"10.0.0.1": false, "1": false, "::1": false, "[::1]": false, "a:1": false,
	} {
		route := fmt.Sprintf("[[listeners.web.routes]]\nsni = [%q]\ncluster = \"web\"\n", name)
		s, err := Parse([]Source{{Name: "f", Text: valid + route}, {Kind: TOML, Text: `listeners.web = { protocol = "udp", udp.quic = true }`}})
		if (err == nil) != want {
			t.Errorf("%q: got %v, want it taken: %t", name, err, want)
		}
		if err == nil && s.Listeners[0].Routes[0].SNI[0] != strings.ToLower(name) {
			t.Errorf("%q became %q", name, s.Listeners[0].Routes[0].SNI[0])
		}
	}
}

func TestServerIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"": true, "00": true, "0A1b": true, strings.Repeat("ff", 15): true,
		"0": false, "0a1": false, "0g": false, "0x0a": false, " 0a": false, strings.Repeat("ff", 16): false, strings.Repeat("é", 15): false,
	} {
		s, err := Parse([]Source{{Name: "f", Text: valid}, {Kind: TOML, Text: fmt.Sprintf("clusters.web.endpoints = [\"10.0.0.1:1\", { address = \"10.0.0.2:1\", server_id = %q }]", id)}})
		if (err == nil) != want {
			t.Errorf("%q: got %v, want it taken: %t", id, err, want)
		}
		if err == nil && s.Clusters[0].Endpoints[1].ServerID != strings.ToLower(id) {
			t.Errorf("%q became %q", id, s.Clusters[0].Endpoints[1].ServerID)
		}
	}
}
