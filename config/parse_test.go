package config

import "testing"

func TestSmoke(t *testing.T) {
	s, err := Parse([]Source{{Name: "weir.toml", Text: `
[process]
loops = 2
[listeners.web]
bind = [":8080", "0.0.0.0:81"]
clutser = "web"
cluster = "wbe"
idle_timeout = 30
buffer = "64k"
[[listeners.web.routes]]
source = ["10.0.0.1/8"]
split = { web = 0, x = 0 }
[clusters.web]
policy = "round-robin"
hash_balance = 0.5
endpoints = [
  "127.0.0.1:1",
  { address = "127.0.0.1:1", weight = 70000 },
  { adress = "127.0.0.1:2" },
]
`}, {Name: "--set #1", Text: "admin.listen=0.0.0.0:81", Kind: Set}})
	t.Logf("%+v\n%v", s, err)
	s, err = Parse([]Source{{Name: "weir.toml", Text: "[listeners.web]\nbind=':8080'\ncluster='web'\n[clusters.web]\nendpoints=['127.0.0.1:1']"}})
	t.Logf("%+v\n%v", s, err)
}
