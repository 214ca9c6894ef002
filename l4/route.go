package l4

import (
	"net/netip"

	"weir/lb"
)

// Target is where a route sends connections: a cluster, or shares of several. The zero Target is none.
type Target struct {
	Clusters []*Cluster
	Split    *lb.Split // with more than one cluster: picks the index
}

// Cluster returns the cluster for the next connection, nil for the zero Target.
func (t *Target) Cluster() *Cluster {
	switch {
	case len(t.Clusters) == 0:
		return nil
	case t.Split == nil:
		return t.Clusters[0]
	}
	return t.Clusters[t.Split.Next()]
}

// Route sends the connections that match it to its target.
type Route struct {
	Sources []netip.Prefix // the client's address is in one of these; empty = any
	Target  Target
}

// Routes are a listener's routes in order, and where a connection goes that matches none.
type Routes struct {
	Routes  []Route
	Default Target
}

// Match returns the cluster for a client, nil when there is none. IPv4-mapped IPv6 addresses must come as IPv4.
func (r *Routes) Match(client netip.Addr) *Cluster {
	for i := range r.Routes {
		if r.Routes[i].matches(client) {
			return r.Routes[i].Target.Cluster()
		}
	}
	return r.Default.Cluster()
}

func (r *Route) matches(client netip.Addr) bool {
	if len(r.Sources) == 0 {
		return true
	}
	client = client.WithZone("") // a prefix never contains an address with a zone
	for _, p := range r.Sources {
		if p.Contains(client) {
			return true
		}
	}
	return false
}
