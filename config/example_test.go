package config_test

import (
	"fmt"

	"weir/config"
)

func Example() {
	file := config.Source{Name: "weir.toml", Text: `
[listeners.web]
bind = ":8080"
cluster = "web"

[clusters.web]
endpoints = ["127.0.0.1:9000", { address = "127.0.0.1:9001", weight = 2 }]
`}
	running, err := config.Parse([]config.Source{file})
	if err != nil {
		fmt.Println(err)
		return
	}
	web := running.Listener("web")
	fmt.Println(web.Binds, web.Cluster, web.IdleTimeout)

	next, err := config.Parse([]config.Source{file, {Name: "--set #1", Kind: config.Set, Text: "listeners.web.idle_timeout=10m"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range config.Diff(running, next).ListenersChanged {
		fmt.Println(l.Name, l.Keys, l.Rebind)
	}
	// Output:
	// [[::]:8080] web 1h0m0s
	// web [idle_timeout] false
}

func ExampleErrors() {
	_, err := config.Parse([]config.Source{{Name: "weir.toml", Text: `
[listeners.web]
bind = "8080"
clutser = "web"

[clusters.web]
endpoints = ["127.0.0.1:9000"]
connect_timeout = 5
`}})
	fmt.Println(err)
	// Output:
	// weir.toml:2: listeners.web: a listener needs a cluster or routes
	// weir.toml:3: listeners.web.bind: want an address to bind, such as "0.0.0.0:8080", "[::1]:8080" or ":8080", got the string "8080", did you mean ":8080"?
	// weir.toml:4: listeners.web.clutser: unknown key, did you mean "cluster"?
	// weir.toml:8: clusters.web.connect_timeout: want a duration with its unit, such as "30s", got the integer 5, did you mean "5s"?
}
