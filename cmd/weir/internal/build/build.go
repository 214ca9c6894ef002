package build

import (
	"cmp"
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
	Renewed   []string       // clusters configured as before, whose health.tls files Reload has found to be others

	options Options
	files   []digest // that the Plans' checks were made from, in the same order
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
// from config.Parse gives none, unless a file of health.tls can't be had. Those that have been read before aren't read again.
func (r *Running) Next(s *config.Snapshot) (*Running, error) { return r.next(s, false) }

// Reload is Next, and reads the files of health.tls again: where they are others than they were, the checks are.
func (r *Running) Reload(s *config.Snapshot) (*Running, error) { return r.next(s, true) }

func (r *Running) next(s *config.Snapshot, reread bool) (*Running, error) {
	next := &Running{
		Snapshot: s, options: r.options,
		Clusters: make([]*l4.Cluster, 0, len(s.Clusters)), Plans: make([]monitor.Plan, 0, len(s.Clusters)), files: make([]digest, 0, len(s.Clusters)),
	}
	for i := range s.Clusters {
		c := &s.Clusters[i]
		w, renewed, err := r.cluster(c, reread)
		if err != nil {
			return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
		}
		next.Clusters = append(next.Clusters, w.plan.Cluster)
		next.Plans = append(next.Plans, w.plan)
		next.files = append(next.files, w.files)
		if renewed {
			next.Renewed = append(next.Renewed, c.Name)
		}
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
	i, ok := slices.BinarySearchFunc(r.Listeners, name, func(l *Listener, name string) int { return cmp.Compare(l.Name, name) })
	if !ok {
		return nil
	}
	return r.Listeners[i]
}

// Cluster returns the cluster of this name, nil when there is none.
func (r *Running) Cluster(name string) *l4.Cluster {
	if i, ok := r.find(name); ok {
		return r.Clusters[i]
	}
	return nil
}

// find returns the place of a cluster in Clusters, and in what goes with them.
func (r *Running) find(name string) (int, bool) {
	return slices.BinarySearchFunc(r.Clusters, name, func(c *l4.Cluster, name string) int { return cmp.Compare(c.Name, name) })
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
