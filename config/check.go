package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// checkReferences finds every cluster that is named and does not exist.
func (r *reader) checkReferences(root *node, s *Snapshot) {
	names := make([]string, len(s.Clusters))
	known := make(map[string]bool, len(s.Clusters))
	for i := range s.Clusters {
		names[i] = s.Clusters[i].Name
		known[names[i]] = true
	}
	refer := func(at *keyPath, n *node, name string) {
		if name == "" || known[name] {
			return
		}
		i := r.say(at, n, "there is no cluster %q", clip(name, shown))
		i.word, i.among = name, names
	}
	var top *keyPath
	for i := range s.Listeners {
		l := &s.Listeners[i]
		at, n := top.key("listeners").key(l.Name), root.child("listeners").child(l.Name)
		refer(at.key("cluster"), n.child("cluster"), l.Cluster)
		for j := range l.Routes {
			at, n := at.key("routes").element(j), n.child("routes").element(j)
			refer(at.key("cluster"), n.child("cluster"), l.Routes[j].Cluster)
			for _, share := range l.Routes[j].Split {
				refer(at.key("split").key(share.Cluster), n.child("split").child(share.Cluster), share.Cluster)
			}
		}
	}
	for i := range s.Clusters {
		c := &s.Clusters[i]
		at, n := top.key("clusters").key(c.Name).key("health"), root.child("clusters").child(c.Name).child("health")
		refer(at.key("track"), n.child("track"), c.Health.Track)
	}
}

// claim is one address that something of the configuration wants to bind.
type claim struct {
	netip.AddrPort
	protocol Protocol
	v6Only   bool
	at       *keyPath
	n        *node // where an issue is placed
}

// ground is what two claims have to share to be in each other's way: TCP and UDP
// have ports of their own.
type ground struct {
	protocol Protocol
	port     uint16
}

// port is the claims on one ground so far: the first on each address, the first
// on any address of a family, and the wildcards.
type port struct {
	exact                 map[netip.Addr]*claim
	first4, first6        *claim
	any4, any6, anyFamily *claim
}

// checkBinds finds addresses that are bound twice, or by a wildcard as well. The
// kernel would let SO_REUSEPORT sockets of one user share an address, and
// spread connections and datagrams over listeners that have nothing to do with
// each other. Port 0 is a port of its own each time.
func (r *reader) checkBinds(root *node, s *Snapshot) {
	ports := make(map[ground]*port)
	for _, c := range claims(root, s) {
		on := ground{c.protocol, c.Port()}
		p := ports[on]
		if p == nil {
			p = &port{exact: make(map[netip.Addr]*claim)}
			ports[on] = p
		}
		other := p.overlap(c)
		switch {
		case other == nil:
			p.take(c)
		case other.Addr() == c.Addr():
			r.say(c.at, c.n, "%s is bound by %s already%s", c, other.at, r.where(other.n))
		default:
			r.say(c.at, c.n, "%s overlaps %s, which %s binds%s", c, other, other.at, r.where(other.n))
		}
	}
}

// where is the place of n in brackets, for an error that stands elsewhere.
func (r *reader) where(n *node) string {
	switch {
	case n.at.source < 0:
		return " (the default)"
	case n.at.line == 0:
		return " (" + r.sources[n.at.source].Name + ")"
	}
	return fmt.Sprintf(" (%s:%d)", r.sources[n.at.source].Name, n.at.line)
}

// claims is every address to bind, in the order of the sources; what has no
// place in them (the admin side's default) comes first.
func claims(root *node, s *Snapshot) []*claim {
	var all []*claim
	var top *keyPath
	add := func(a netip.AddrPort, p Protocol, v6Only bool, at *keyPath, n *node) {
		if a.IsValid() && a.Port() != 0 {
			all = append(all, &claim{a, p, v6Only, at, n})
		}
	}
	if a, ok := parseAddress(s.Admin.Listen); ok {
		n := root.child("admin").child("listen")
		if n == nil {
			n = &node{at: position{source: -1}}
		}
		add(a, ProtocolTCP, false, top.key("admin").key("listen"), n)
	}
	for i := range s.Listeners {
		l := &s.Listeners[i]
		n := root.child("listeners").child(l.Name)
		if l.misread(n) {
			continue
		}
		at, bind := top.key("listeners").key(l.Name).key("bind"), n.child("bind")
		for j, a := range l.Binds {
			where := at
			if bind.list != nil {
				where = at.element(j)
			}
			add(a, l.Protocol, l.V6Only, where, bind.element(j))
		}
	}
	slices.SortStableFunc(all, func(a, b *claim) int { return a.n.at.compare(b.n.at) })
	return all
}

// overlap is an earlier claim that c cannot stand beside; nil when there is none.
func (p *port) overlap(c *claim) *claim {
	if other := p.exact[c.Addr()]; other != nil {
		return other
	}
	switch {
	case c.Addr() == netip.IPv4Unspecified():
		return cmp.Or(p.anyFamily, p.first4)
	case c.Addr() == netip.IPv6Unspecified() && c.v6Only:
		return cmp.Or(p.anyFamily, p.first6)
	case c.Addr() == netip.IPv6Unspecified():
		return cmp.Or(p.anyFamily, p.first4, p.first6)
	case c.Addr().Is4():
		return cmp.Or(p.anyFamily, p.any4)
	}
	return cmp.Or(p.anyFamily, p.any6)
}

func (p *port) take(c *claim) {
	p.exact[c.Addr()] = c
	four, six := c.Addr().Is4(), !c.Addr().Is4()
	switch {
	case c.Addr() == netip.IPv4Unspecified():
		p.any4 = c
	case c.Addr() == netip.IPv6Unspecified() && c.v6Only:
		p.any6 = c
	case c.Addr() == netip.IPv6Unspecified():
		p.anyFamily, four = c, true
	}
	if four {
		p.first4 = cmp.Or(p.first4, c)
	}
	if six {
		p.first6 = cmp.Or(p.first6, c)
	}
}
