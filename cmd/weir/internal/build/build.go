package build

import (
	"fmt"
	"net/netip"
	"slices"

	"weir/config"
	"weir/eventloop"
	"weir/l4"
	"weir/l4/monitor"
	"weir/l4/tcp"
	"weir/l4/udp"
)

// Options are what the configuration leaves to the process.
type Options struct {
	Loops int    // number of loops, at least 1; the same for all successors
	Seed  uint64 // where round robin starts, and the policies' random choices
}

// Running is one whole configuration in the form the loops run. It is immutable.
type Running struct {
	Snapshot  *config.Snapshot
	Listeners []*Listener    // by name
	Clusters  []*l4.Cluster  // by name
	Plans     []monitor.Plan // of the clusters, in their order

	options Options
}

// Listener is one listener: what sees it through all changes, and what it does now.
type Listener struct {
	Name    string
	State   *l4.Listener  // the same as long as there is a listener of this name and protocol
	TCP     *tcp.Settings // nil for UDP; the same pointer when nothing changed
	UDP     *udp.Settings // nil for TCP; the same pointer when nothing changed
	Sockets []Socket      // one for each address, in the configuration's order
	Config  *config.Listener
}

// Socket says what a listener's sockets of one address are to be like: of one of the two protocols, the other is zero.
type Socket struct {
	Addr   netip.AddrPort
	V6Only bool
	TCP    eventloop.ListenOptions
	UDP    eventloop.DatagramOptions
}

// Datagrams reports whether it is a UDP socket.
func (s *Socket) Datagrams() bool { return s.UDP.Addr.IsValid() }

// MaxConnections returns the most sessions or flows of the listener, 0 = no limit.
func (l *Listener) MaxConnections() int64 {
	if l.UDP != nil {
		return l.UDP.MaxFlows
	}
	return l.TCP.MaxConnections
}

// Same reports whether the listener does what old did, with the same clusters.
func (l *Listener) Same(old *Listener) bool { return l.TCP == old.TCP && l.UDP == old.UDP }

// AnyTCP reports whether there is a TCP listener.
func (r *Running) AnyTCP() bool {
	return slices.ContainsFunc(r.Listeners, func(l *Listener) bool { return l.TCP != nil })
}

// First returns what a process runs that begins with this configuration.
func First(s *config.Snapshot, o Options) (*Running, error) {
	return (&Running{Snapshot: new(config.Snapshot), options: o}).Next(s)
}

// Next returns what is to run instead of r. r stays as it is. An error names the listener or cluster; a Snapshot
// from config.Parse gives none.
func (r *Running) Next(s *config.Snapshot) (*Running, error) {
	next := &Running{Snapshot: s, options: r.options}
	for i := range s.Clusters {
		c, plan, err := r.cluster(&s.Clusters[i])
		if err != nil {
			return nil, fmt.Errorf("cluster %q: %w", s.Clusters[i].Name, err)
		}
		next.Clusters = append(next.Clusters, c)
		next.Plans = append(next.Plans, *plan)
	}
	for i := range s.Listeners {
		l, err := r.listener(next, &s.Listeners[i])
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", s.Listeners[i].Name, err)
		}
		next.Listeners = append(next.Listeners, l)
	}
	return next, nil
}

// Listener returns the listener of this name, nil when there is none.
func (r *Running) Listener(name string) *Listener {
	return byName(r.Listeners, name, func(l *Listener) string { return l.Name })
}

// Cluster returns the cluster of this name, nil when there is none.
func (r *Running) Cluster(name string) *l4.Cluster {
	return byName(r.Clusters, name, func(c *l4.Cluster) string { return c.Name })
}

// plan returns the plan of the cluster of this name, nil when there is none.
func (r *Running) plan(name string) *monitor.Plan {
	for i, c := range r.Clusters {
		if c.Name == name {
			return &r.Plans[i]
		}
	}
	return nil
}

func byName[T any](sorted []*T, name string, of func(*T) string) *T {
	i, ok := slices.BinarySearchFunc(sorted, name, func(v *T, name string) int {
		switch n := of(v); {
		case n < name:
			return -1
		case n > name:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return sorted[i]
}

// Leaving returns the endpoints whose sessions have to end when next takes the place of r: those that next doesn't
// have, and those that went to maintenance.
func (r *Running) Leaving(next *Running) []*l4.Endpoint {
	wanted := make(map[*l4.Endpoint]bool)
	for i, c := range next.Clusters {
		for j, e := range c.Endpoints {
			wanted[e] = next.Snapshot.Clusters[i].Endpoints[j].State != config.Maint
		}
	}
	var leaving []*l4.Endpoint
	for i, c := range r.Clusters {
		for j, e := range c.Endpoints {
			stays, there := wanted[e]
			was := r.Snapshot.Clusters[i].Endpoints[j].State
			if !there || !stays && was != config.Maint {
				leaving = append(leaving, e)
			}
		}
	}
	return leaving
}
