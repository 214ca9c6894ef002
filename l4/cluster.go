package l4

import (
	"net/netip"
	"time"

	"weir/eventloop"
	"weir/lb"
)

// Endpoint is one address of one cluster as layer 4 sees it. It lives as long as a session or a cluster refers to it and
// survives changes of its cluster: its counters and the balancer's view of it go on.
type Endpoint struct {
	Address netip.AddrPort
	Balance *lb.Endpoint
	Loops   []EndpointCounters // by loop
	socket  eventloop.Sockaddr
}

// NewEndpoint returns an endpoint without sessions, for a process of so many loops.
func NewEndpoint(addr netip.AddrPort, loops int) *Endpoint {
	return &Endpoint{
		Address: addr, Balance: lb.NewEndpoint(addr),
		Loops: make([]EndpointCounters, loops), socket: eventloop.NewSockaddr(addr),
	}
}

// Socket returns the address in the kernel's form.
func (e *Endpoint) Socket() *eventloop.Sockaddr { return &e.socket }

// HashOn is what of a client the hashing policies hash.
type HashOn uint8

// The choices at layer 4.
const (
	HashSourceIP HashOn = iota // the address
	HashSource                 // address and port
)

// Hash returns the key of a client for the hashing policies.
func (h HashOn) Hash(client netip.AddrPort) uint64 {
	if h == HashSource {
		return lb.HashAddrPort(client)
	}
	return lb.HashAddr(client.Addr())
}

// Cluster is one state of one cluster: immutable, replaced whole when the configuration changes. Sessions keep the one they began with.
type Cluster struct {
	Name           string
	Set            *lb.Set
	Endpoints      []*Endpoint // Endpoints[i] is Set.Member(i)
	HashOn         HashOn
	ConnectTimeout time.Duration     // for each attempt
	Attempts       int               // connect attempts for a session, at least 1
	KeepFlows      bool              // a flow whose endpoint refuses its datagrams stays with it, instead of moving to another
	Loops          []ClusterCounters // by loop; goes on when the cluster is replaced
}
