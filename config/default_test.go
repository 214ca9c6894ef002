package config

import "testing"

// A default that is spelled out where it has no use is no mistake: a page that lists every key must be a configuration.
func TestSpelledOutDefaults(t *testing.T) {
	_, err := Parse([]Source{{Name: "weir.toml", Text: `
[listeners.web]
bind = "127.0.0.1:0"
cluster = "web"
[clusters.web]
policy = "round_robin"
hash_on = "source_ip"
hash_balance = 0.0
endpoints = ["127.0.0.1:1"]
`}})
	if err != nil {
		t.Fatal(err)
	}
}
