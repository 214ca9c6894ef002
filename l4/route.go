package l4

import (
	"net/netip"
	"strings"

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
	SNI     []string       // the server name is one of these, in lower case, or ends like a "*.name"; empty = any, also none
	Target  Target
}

// Routes are a listener's routes in order, and where a connection goes that matches none.
type Routes struct {
	Routes  []Route
	Default Target
}

// Match returns the cluster for a client that asked for the server name sni ("" = none), nil when there is none. IPv4-mapped IPv6 addresses must
// come as IPv4, names in lower case.
func (r *Routes) Match(client netip.Addr, sni string) *Cluster {
	for i := range r.Routes {
		if r.Routes[i].matches(client) && r.Routes[i].serves(sni) {
			return r.Routes[i].Target.Cluster()
		}
	}
	return r.Default.Cluster()
}

// Named returns the cluster of this name that any of the routes sends to, nil when none does.
func (r *Routes) Named(name string) *Cluster {
	if c := r.Default.named(name); c != nil {
		return c
	}
	for i := range r.Routes {
		if c := r.Routes[i].Target.named(name); c != nil {
			return c
		}
	}
	return nil
}

func (t *Target) named(name string) *Cluster {
	for _, c := range t.Clusters {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// AskName reports whether it takes the server name to say where the client goes.
func (r *Routes) AskName(client netip.Addr) bool {
	for i := range r.Routes {
		if r.Routes[i].matches(client) {
			return len(r.Routes[i].SNI) > 0
		}
	}
	return false
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

func (r *Route) serves(sni string) bool {
	if len(r.SNI) == 0 {
		return true
	}
	for _, name := range r.SNI {
		suffix, wild := strings.CutPrefix(name, "*")
		if name == sni || wild && len(sni) > len(suffix) && strings.HasSuffix(sni, suffix) {
			return true
		}
	}
	return false
}
