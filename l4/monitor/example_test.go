package monitor_test

import (
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"weir/l4"
	"weir/l4/monitor"
	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
)

// A cluster of two endpoints, of which one isn't there.
func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()

	var endpoints []*l4.Endpoint
	var members []lb.Member
	for _, at := range []string{listener.Addr().String(), "127.0.0.1:1"} {
		e := l4.NewEndpoint(netip.MustParseAddrPort(at), 1)
		endpoints, members = append(endpoints, e), append(members, lb.Member{Endpoint: e.Balance, Weight: 1})
	}
	set, err := lb.NewSet(lb.Options{}, members)
	if err != nil {
		log.Fatal(err)
	}
	cluster := l4.NewCluster("web", endpoints, set, 1)

	check, err := probe.New(probe.Options{Type: probe.TCP})
	if err != nil {
		log.Fatal(err)
	}
	down := make(chan netip.AddrPort, 1)
	m := monitor.New(monitor.Options{
		Log:  slog.New(slog.DiscardHandler),
		Down: func(e *l4.Endpoint, closeSessions bool) { down <- e.Address },
	})
	m.Follow([]monitor.Plan{{
		Cluster: cluster,
		Members: members,
		Check:   &monitor.Check{Check: check, Rules: health.Rules{Interval: 2 * time.Second, Rise: 2, Fall: 3}},
	}})
	fmt.Println("down:", <-down)
	fmt.Println("picked from:", cluster.Set().Uses(0), cluster.Set().Uses(1))
	m.Close()
	// Output:
	// down: 127.0.0.1:1
	// picked from: true false
}
