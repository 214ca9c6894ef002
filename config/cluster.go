package config

import (
	"reflect"
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

// Cluster is a set of endpoints that do the same: [clusters.NAME].
type Cluster struct {
	Name   string
	Policy Policy
	// HashOn is always set; only hashing policies look at it.
	HashOn HashOn
	// HashBalance bounds every endpoint's load to so many times the mean, 1 or
	// more; 0 does not.
	HashBalance float64
	// Endpoints is in the order given, with distinct addresses: at least one, or
	// none where Discover finds them.
	Endpoints []Endpoint
	Discover  Discover
	// ConnectTimeout bounds each attempt.
	ConnectTimeout time.Duration
	// ConnectAttempts is the most endpoints tried for one connection, 1 to 16.
	ConnectAttempts int
	// SlowStart is how long an endpoint that comes up takes to reach its weight;
	// 0 gives it at once.
	SlowStart time.Duration
	// PanicThreshold is the share of healthy endpoints below which all are used,
	// healthy or not, 0 to 1; 0 never does.
	PanicThreshold float64
	Health         Health
	Outlier        Outlier
	Limits         Limits
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
				help: "The servers: an address, or a table; also written [[clusters.NAME.endpoints]]. Each address once. A cluster has this or discover."}),
			key(discoverTable().kind(), func(c *Cluster) *Discover { return &c.Discover }, doc{
				name: "discover", example: `{ dns = "web.internal:8080" }`,
				help: "Where endpoints are found instead: in DNS, or in a file that is watched."}),
			key(duration(time.Millisecond, 0), func(c *Cluster) *time.Duration { return &c.ConnectTimeout }, doc{
				name: "connect_timeout", def: "2s", zeroIsDefault: true, example: `"500ms"`,
				help: "How long one attempt to connect may take, at least 1ms."}),
			key(integer[int](0, maxAttempts), func(c *Cluster) *int { return &c.ConnectAttempts }, doc{
				name: "connect_attempts", def: int64(3), zeroIsDefault: true, example: "1",
				help: "Most attempts to connect, 1 to 16, each on another endpoint while there is one."}),
			key(duration(time.Millisecond, maxDuration), func(c *Cluster) *time.Duration { return &c.SlowStart }, doc{
				name: "slow_start", def: "0s", example: `"30s"`,
				help: `How long an endpoint that comes up takes to reach its full weight, rising from little; "0s" gives it at once.`}),
			key(number(0, 1, 0.5), func(c *Cluster) *float64 { return &c.PanicThreshold }, doc{
				name: "panic_threshold", def: 0.5, example: "0.3",
				help: "When the healthy endpoints, backups and lower priorities included, are a smaller share than this of the first priority's number, all of that priority are used, healthy or not: 0 to 1; 0 is never."}),
			key(healthTable().kind(), func(c *Cluster) *Health { return &c.Health }, doc{
				name: "health", example: `{ type = "http", path = "/healthz" }`,
				help: "Health checks, and what is made of endpoints that go down. With any key but on_down, or with none, the endpoints are checked; without the table, or with on_down alone, they are not."}),
			key(outlierTable().optional(), func(c *Cluster) *Outlier { return &c.Outlier }, doc{
				name: "outlier", example: "{ consecutive_failures = 3 }",
				help: "Ejects for a while the endpoints that fail real traffic. The table is enough, with or without keys."}),
			key(limitsTable().kind(), func(c *Cluster) *Limits { return &c.Limits }, doc{
				name: "limits", example: "{ max_connections = 10000 }",
				help: "Circuit breaker: what the cluster takes at most, counted for the whole process."}),
		},
		check: checkCluster,
	}
}

func checkCluster(r *reader, at *keyPath, n *node, c *Cluster) {
	checkSource(r, at, n, c)
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
	checkEndpoints(r, at.key("endpoints"), n.child("endpoints"), c.Endpoints)
	c.Outlier.On = n.child("outlier") != nil
	checkHealth(r, at.key("health"), n.child("health"), &c.Health)
}

// checkSource finds clusters that do not say, or say twice, where their
// endpoints are. An empty list is none, so that an override can make room for
// discover.
func checkSource(r *reader, at *keyPath, n *node, c *Cluster) {
	endpoints, discover := n.child("endpoints"), n.child("discover")
	listed := endpoints != nil && (endpoints.list == nil || len(endpoints.list) > 0)
	found := discover != nil && (discover.table == nil || given(discover.child("dns")) || given(discover.child("file")))
	plain := discoverTable().defaults()
	switch {
	case listed && found:
		r.say(at.key("discover"), discover, "a cluster has endpoints or discover, not both")
	case found:
	case discover != nil && (!listed || !reflect.DeepEqual(c.Discover, plain)):
		r.missing(at.key("discover"), discover, `needs dns or file, such as dns = "web.internal:8080"`)
	case endpoints == nil:
		r.missing(at, n, `a cluster needs endpoints, such as endpoints = ["10.0.0.1:8080"], or discover, such as discover = { dns = "web.internal:8080" }`)
	case !listed:
		r.missing(at.key("endpoints"), endpoints, "a cluster needs at least one endpoint, or discover")
	}
}
