package config

import (
	"net/netip"
	"time"
)

// Policy is how a cluster picks an endpoint.
type Policy string

// The policies. Only RingHash and Maglev look at HashOn and HashBalance.
const (
	RoundRobin       Policy = "round_robin"
	LeastConnections Policy = "least_connections"
	Random           Policy = "random"
	P2C              Policy = "p2c" // the less loaded of two at random
	RingHash         Policy = "ring_hash"
	Maglev           Policy = "maglev"
	First            Policy = "first" // the first that is available
)

// Hashes tells whether the policy looks at HashOn and HashBalance.
func (p Policy) Hashes() bool { return p == RingHash || p == Maglev }

// HashOn is what of a connection a hashing policy hashes.
type HashOn string

// The values of HashOn: the client's address, or its address and port.
const (
	SourceIP     HashOn = "source_ip"
	SourceIPPort HashOn = "source"
)

// State is what an endpoint is meant to do.
type State string

// The states of an endpoint: take connections, finish those it has, have none.
const (
	Ready State = "ready"
	Drain State = "drain"
	Maint State = "maint"
)

// OnDown is what becomes of the sessions and flows of an endpoint that goes down.
type OnDown string

// The values of OnDown. OnDownDefault is Close for UDP flows and Keep for TCP
// sessions.
const (
	OnDownDefault OnDown = ""
	Keep          OnDown = "keep"
	Close         OnDown = "close"
)

// Cluster is a set of endpoints that do the same: [clusters.NAME].
type Cluster struct {
	Name   string
	Policy Policy
	// HashOn is always set; only hashing policies look at it.
	HashOn HashOn
	// HashBalance bounds every endpoint's load to so many times the mean, 1 or
	// more; 0 does not.
	HashBalance float64
	// Endpoints is at least one, in the order given, with distinct addresses.
	Endpoints []Endpoint
	// ConnectTimeout bounds each attempt.
	ConnectTimeout time.Duration
	// ConnectAttempts is the most endpoints tried for one connection, 1 to 16.
	ConnectAttempts int
	Health          Health
}

// Health is what is made of endpoints that go down: clusters.NAME.health.
type Health struct {
	// OnDown says what becomes of a UDP flow whose endpoint refuses it (ICMP
	// port unreachable): Close moves it to another endpoint with its next
	// datagram, Keep leaves it. Nothing else takes an endpoint down yet.
	OnDown OnDown
}

// Endpoint is one upstream server of a cluster.
type Endpoint struct {
	Address netip.AddrPort
	// Weight is its share of the connections, up to 65535; 0 gets none.
	Weight uint32
	// MaxConnections bounds its connections; 0 does not.
	MaxConnections int64
	// Backup endpoints are used only when no other is available.
	Backup bool
	State  State
	// ServerID is its QUIC-LB server ID (draft-ietf-quic-load-balancers), in
	// plain text within the connection IDs it gives out: 1 to 15 bytes as
	// lower-case hex, the same number for all of a cluster; "" is none.
	ServerID string
}

const maxAttempts = 16

func clusterTable() table[Cluster] {
	return table[Cluster]{
		entries: []entry[Cluster]{
			key(oneOf(RoundRobin, LeastConnections, Random, P2C, RingHash, Maglev, First), func(c *Cluster) *Policy { return &c.Policy }, doc{
				name: "policy", def: string(RoundRobin), zeroIsDefault: true, example: `"least_connections"`,
				help: "How an endpoint is picked. p2c takes the less loaded of two at random; ring_hash and maglev keep a client on its endpoint."}),
			key(oneOf(SourceIP, SourceIPPort), func(c *Cluster) *HashOn { return &c.HashOn }, doc{
				name: "hash_on", def: string(SourceIP), zeroIsDefault: true, example: `"source"`,
				help: "What is hashed: the client's address, or its address and port (source). Only with ring_hash and maglev."}),
			key(ratio(1), func(c *Cluster) *float64 { return &c.HashBalance }, doc{
				name: "hash_balance", def: 0.0, example: "1.25",
				help: "Bounded load: 1.25 lets no endpoint have more than 125 % of the mean; 0 is no bound, else 1 or more. Only with ring_hash and maglev."}),
			key(endpoints(), func(c *Cluster) *[]Endpoint { return &c.Endpoints }, doc{
				name: "endpoints", example: `["10.0.0.1:8080", { address = "10.0.0.2:8080", weight = 2 }]`,
				help: "The servers: an address, or a table; also written [[clusters.NAME.endpoints]]. Required, each address once."}),
			key(duration(time.Millisecond, 0), func(c *Cluster) *time.Duration { return &c.ConnectTimeout }, doc{
				name: "connect_timeout", def: "2s", zeroIsDefault: true, example: `"500ms"`,
				help: "How long one attempt to connect may take, at least 1ms."}),
			key(integer[int](0, maxAttempts), func(c *Cluster) *int { return &c.ConnectAttempts }, doc{
				name: "connect_attempts", def: int64(3), zeroIsDefault: true, example: "1",
				help: "Most attempts to connect, 1 to 16, each on another endpoint while there is one."}),
			key(healthTable().kind(), func(c *Cluster) *Health { return &c.Health }, doc{
				name: "health", example: `{ on_down = "keep" }`,
				help: "What is made of endpoints that go down."}),
		},
		check: checkCluster,
	}
}

func healthTable() table[Health] {
	return table[Health]{entries: []entry[Health]{
		key(oneOf(Keep, Close), func(h *Health) *OnDown { return &h.OnDown }, doc{
			name: "on_down", def: "", example: `"keep"`,
			help: `What becomes of the UDP flows of an endpoint that refuses them (ICMP port unreachable): close moves a flow to another endpoint with its next datagram, keep leaves it where it is; "" is close. TCP sessions are kept. Health checks will go by this key as well, once there are some.`}),
	}}
}

func endpointTable() table[Endpoint] {
	return table[Endpoint]{
		entries: []entry[Endpoint]{
			key(endpointAddress(), func(e *Endpoint) *netip.AddrPort { return &e.Address }, doc{
				name: "address", example: `"10.0.0.2:8080"`,
				help: "IP address and port. Required."}),
			key(integer[uint32](0, maxWeight), func(e *Endpoint) *uint32 { return &e.Weight }, doc{
				name: "weight", def: int64(1), example: "2",
				help: "Share of the connections, 0 to 65535; 0 gets none."}),
			key(integer[int64](0, maxCount), func(e *Endpoint) *int64 { return &e.MaxConnections }, doc{
				name: "max_connections", def: int64(0), example: "500",
				help: "Most connections, or UDP flows, at once; 0 is no limit."}),
			key(boolean(), func(e *Endpoint) *bool { return &e.Backup }, doc{
				name: "backup", def: false, example: "true",
				help: "Use it only when no other endpoint is available."}),
			key(oneOf(Ready, Drain, Maint), func(e *Endpoint) *State { return &e.State }, doc{
				name: "state", def: string(Ready), zeroIsDefault: true, example: `"drain"`,
				help: "ready takes connections, drain finishes those it has, maint has none."}),
			key(serverID(), func(e *Endpoint) *string { return &e.ServerID }, doc{
				name: "server_id", def: "", example: `"0a1b"`,
				help: "QUIC-LB server ID, 1 to 15 bytes, that the endpoint puts into its connection IDs in plain text (draft-ietf-quic-load-balancers); for listeners with udp.quic. In a cluster all are of one length and each is there once."}),
		},
	}
}

// endpoints is a list of tables, or of addresses that stand for a table with
// nothing else.
func endpoints() kind[[]Endpoint] {
	t, address := endpointTable(), endpointAddress()
	k := t.kind()
	k.read = func(r *reader, at *keyPath, n *node) (Endpoint, bool) {
		if n.table != nil {
			if n.child("address") == nil {
				r.missing(at, n, `an endpoint needs an address, such as address = "10.0.0.1:8080"`)
			}
			return t.read(r, at, n)
		}
		if _, ok := n.text(); !ok {
			r.want(at, n, `an address such as "10.0.0.1:8080", or a table with one`)
			return Endpoint{}, false
		}
		e, _ := t.read(r, at, &node{at: n.at, table: map[string]*node{}})
		var ok bool
		e.Address, ok = address.read(r, at, n)
		return e, ok
	}
	l := listOf(k, `a list such as ["10.0.0.1:8080"]`)
	l.name = "list of addresses and tables"
	return l
}

func checkCluster(r *reader, at *keyPath, n *node, c *Cluster) {
	if list := n.child("endpoints"); list == nil {
		r.missing(at, n, `a cluster needs endpoints, such as endpoints = ["10.0.0.1:8080"]`)
	} else if list.list != nil && len(list.list) == 0 {
		r.say(at.key("endpoints"), list, "a cluster needs at least one endpoint")
	}
	if !c.Policy.Hashes() {
		const only = "only %s and %s hash, and the policy is %s"
		// A default that is spelled out says nothing wrong.
		if on := n.child("hash_on"); on != nil && c.HashOn != SourceIP {
			r.say(at.key("hash_on"), on, only, RingHash, Maglev, c.Policy)
		}
		if c.HashBalance != 0 {
			r.say(at.key("hash_balance"), n.child("hash_balance"), only, RingHash, Maglev, c.Policy)
		}
	}
	seen := make(map[netip.AddrPort]int, len(c.Endpoints))
	for i, e := range c.Endpoints {
		if !e.Address.IsValid() {
			continue
		}
		first, twice := seen[e.Address]
		if !twice {
			seen[e.Address] = i
			continue
		}
		here, where := n.child("endpoints").element(i), at.key("endpoints").element(i)
		if a := here.child("address"); a != nil {
			here, where = a, where.key("address")
		}
		r.say(where, here, "%s is endpoints[%d] already", e.Address, first)
	}
	checkServerIDs(r, at, n, c)
}
