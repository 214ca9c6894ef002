package lb_test

import (
	"fmt"
	"net/netip"

	"weir/lb"
)

func Example() {
	endpoint := func(address string) *lb.Endpoint {
		return lb.NewEndpoint(netip.MustParseAddrPort(address))
	}
	members := []lb.Member{
		{Endpoint: endpoint("10.0.0.1:8080"), Weight: 2},
		{Endpoint: endpoint("10.0.0.2:8080"), Weight: 1, MaxConnections: 1},
		{Endpoint: endpoint("10.0.0.3:8080"), Weight: 1, State: lb.Drain},
	}
	set, err := lb.NewSet(lb.Options{Policy: lb.RoundRobin}, members)
	if err != nil {
		fmt.Println(err)
		return
	}
	// One request and one generator per loop, used for all its connections.
	request := lb.Request{Rand: lb.NewRand(1)}
	for range 4 {
		i, verdict := set.Pick(&request)
		if verdict != lb.Picked {
			fmt.Println(verdict)
			return
		}
		fmt.Println(set.Member(i).Endpoint.Address)
	}
	// When a connection ends, its place is given back.
	members[1].Endpoint.Release()
	fmt.Println(members[0].Endpoint.Active(), members[1].Endpoint.Active())
	// Output:
	// 10.0.0.1:8080
	// 10.0.0.2:8080
	// 10.0.0.1:8080
	// 10.0.0.1:8080
	// 3 0
}

// A connection that couldn't be made is tried on another endpoint.
func ExampleTried() {
	set, err := lb.NewSet(lb.Options{Policy: lb.RingHash}, []lb.Member{
		{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("10.0.0.1:8080")), Weight: 1},
		{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("10.0.0.2:8080")), Weight: 1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := netip.MustParseAddr("192.0.2.7")
	request := lb.Request{Hash: lb.HashAddr(client)}
	first, _ := set.Pick(&request)
	set.Member(first).Endpoint.Release() // it refused
	request.Tried.Add(first)
	second, _ := set.Pick(&request)
	fmt.Println(first != second)
	// Output: true
}
