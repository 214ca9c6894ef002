package l4

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/lb"
)

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

// Cluster is one state of one cluster: replaced whole when its configuration changes, and immutable but for its Set, which changes as endpoints go
// down and come back. Sessions keep the one they began with.
type Cluster struct {
	Name           string
	Endpoints      []*Endpoint // Endpoints[i] is member i of every Set
	HashOn         HashOn
	ConnectTimeout time.Duration // for each attempt
	Attempts       int           // connect attempts for a session, at least 1
	KeepFlows      bool          // a flow whose endpoint refuses its datagrams, or goes down, stays with it instead of moving to another
	Limits         Limits

	// What goes on when the cluster is replaced.
	Places *Places
	Loops  []ClusterCounters // by loop

	generation uint64 // how many there were before it
	set        atomic.Pointer[lb.Set]
}

// NewCluster returns a cluster in a process of so many loops, which connects once for a session and sets no limits. Endpoints[i] is member i of the set.
func NewCluster(name string, endpoints []*Endpoint, set *lb.Set, loops int) *Cluster {
	c := &Cluster{Name: name, Endpoints: endpoints, Attempts: 1, Places: new(Places), Loops: make([]ClusterCounters, loops)}
	c.begin(set)
	return c
}

// Next returns the successor of c, with other endpoints. What else it is to be the caller sets; until then it is as c.
func (c *Cluster) Next(endpoints []*Endpoint, set *lb.Set) *Cluster {
	next := &Cluster{
		Name: c.Name, Endpoints: endpoints, HashOn: c.HashOn, ConnectTimeout: c.ConnectTimeout, Attempts: c.Attempts, KeepFlows: c.KeepFlows,
		Limits: c.Limits, Places: c.Places, Loops: c.Loops, generation: c.generation + 1,
	}
	next.begin(set)
	return next
}

func (c *Cluster) begin(set *lb.Set) {
	for _, e := range c.Endpoints {
		if e.places == nil { // else it's in use, and of a cluster of the same name
			e.places = c.Places
		}
	}
	c.set.Store(set)
}

// Set returns the set that is picked from now.
func (c *Cluster) Set() *lb.Set { return c.set.Load() }

// Publish has all loops pick from another set of the same members, in the same order, from now on. Who waits for a place looks again, also who began to
// wait with a predecessor of c, whose limits and endpoints are then those of c.
func (c *Cluster) Publish(set *lb.Set) {
	c.set.Store(set)
	c.Places.publish(c)
}

// Latest returns the last successor of c that has published a set, c itself if none has. It's what everybody picks from: who waits for a place, so that
// none finds the cluster full that for another isn't; and who is on a loop that hasn't heard of the change yet, or tries another endpoint since, as the
// sets of c don't tell any more who goes down.
func (c *Cluster) Latest() *Cluster {
	if latest := c.Places.latest.Load(); latest != nil && latest.generation > c.generation {
		return latest
	}
	return c
}

// Verdict is how a Pick ended.
type Verdict uint8

// The verdicts.
const (
	Picked        Verdict = iota // a place was taken on the endpoint returned
	NoneUsable                   // no endpoint takes new connections
	EndpointsBusy                // all endpoints stand at their max_connections
	ClusterBusy                  // the cluster stands at its limits.max_connections
)

// Pick takes a place of the cluster and one on an endpoint, or neither; the endpoint's Release gives both back. It doesn't allocate or lock.
func (c *Cluster) Pick(r *lb.Request) (int, Verdict) {
	most := c.Limits.MaxConnections
	if !Below(c.Places.Active(), most) {
		return -1, ClusterBusy
	}
	i, v := c.pickEndpoint(r)
	if v != Picked {
		return i, v
	}
	if !take(&c.Places.active, 1, most) {
		c.Endpoints[i].Balance.Release()
		c.Places.freedOne() // for who has looked meanwhile
		return -1, ClusterBusy
	}
	return i, Picked
}

// PickToMove is Pick for a connection of the cluster that moves: it gives the places that it has back as soon as it has others, and is not to fail for
// a place that it has.
func (c *Cluster) PickToMove(r *lb.Request) (int, Verdict) {
	i, v := c.pickEndpoint(r)
	if v == Picked {
		c.Places.active.Add(1)
	}
	return i, v
}

// pickEndpoint takes a place on an endpoint alone.
func (c *Cluster) pickEndpoint(r *lb.Request) (int, Verdict) {
	switch i, v := c.Set().Pick(r); v {
	case lb.NoEndpoint:
		return -1, NoneUsable
	case lb.Full:
		return -1, EndpointsBusy
	default:
		return i, Picked
	}
}

// Take takes a place of the cluster and one on endpoint i, whatever its state, or neither: for what belongs to it already.
func (c *Cluster) Take(i int) bool {
	if !take(&c.Places.active, 1, c.Limits.MaxConnections) {
		return false
	}
	if !c.Set().Take(i) {
		c.Places.give()
		return false
	}
	return true
}
