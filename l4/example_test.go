package l4_test

import (
	"fmt"
	"net/netip"

	"weir/l4"
)

// A listener's routes lead a client to a cluster.
func Example() {
	inside, outside := &l4.Cluster{Name: "inside"}, &l4.Cluster{Name: "outside"}
	routes := l4.Routes{
		Routes: []l4.Route{{
			Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			Target:  l4.Target{Clusters: []*l4.Cluster{inside}},
		}},
		Default: l4.Target{Clusters: []*l4.Cluster{outside}},
	}
	fmt.Println(routes.Match(netip.MustParseAddr("10.1.2.3"), "").Name)
	fmt.Println(routes.Match(netip.MustParseAddr("192.0.2.1"), "").Name)
	// Output:
	// inside
	// outside
}
