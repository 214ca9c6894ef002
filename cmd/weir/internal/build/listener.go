package build

import (
	"fmt"
	"reflect"
	"slices"

	"weir/config"
	"weir/eventloop"
	"weir/l4"
	"weir/l4/tcp"
	"weir/lb"
)

// listener returns the listener that c describes, with the clusters of next.
func (r *Running) listener(next *Running, c *config.Listener) (*Listener, error) {
	old := r.Listener(c.Name)
	l := &Listener{Name: c.Name, Sockets: sockets(c), Config: c}
	if old != nil {
		l.TCP = old.TCP
	} else {
		l.TCP = tcp.NewListener(c.Name, r.options.Loops)
	}
	if old != nil && reflect.DeepEqual(old.Config, c) && r.sameClusters(next, c) {
		l.Settings = old.Settings
		return l, nil
	}
	l.Settings = &tcp.Settings{
		Buffer:           int(c.Buffer),
		IdleTimeout:      c.IdleTimeout,
		HalfCloseTimeout: c.HalfCloseTimeout,
		MaxDuration:      c.MaxDuration,
		MaxConnections:   c.MaxConnections,
		UserTimeout:      c.TCP.UserTimeout,
		Keepalive:        c.TCP.Keepalive,
	}
	for i := range c.Routes {
		target, err := route(old, next, i, &c.Routes[i])
		if err != nil {
			return nil, fmt.Errorf("route %d: %w", i+1, err)
		}
		l.Settings.Routes.Routes = append(l.Settings.Routes.Routes, l4.Route{Sources: c.Routes[i].Source, Target: target})
	}
	if c.Cluster != "" {
		cluster := next.Cluster(c.Cluster)
		if cluster == nil {
			return nil, fmt.Errorf("no cluster %q", c.Cluster)
		}
		l.Settings.Routes.Default.Clusters = []*l4.Cluster{cluster}
	}
	return l, nil
}

// sameClusters reports whether all clusters that the listener sends to are the same ones in r and next.
func (r *Running) sameClusters(next *Running, c *config.Listener) bool {
	same := func(name string) bool { return r.Cluster(name) == next.Cluster(name) }
	if !same(c.Cluster) {
		return false
	}
	for i := range c.Routes {
		if !same(c.Routes[i].Cluster) {
			return false
		}
		for _, share := range c.Routes[i].Split {
			if !same(share.Cluster) {
				return false
			}
		}
	}
	return true
}

// route returns the target of route number i; a split that has not changed goes on in its sequence.
func route(old *Listener, next *Running, i int, c *config.Route) (t l4.Target, err error) {
	names, weights := []string{c.Cluster}, []uint32(nil)
	if len(c.Split) > 0 {
		names = names[:0]
		for _, share := range c.Split {
			names = append(names, share.Cluster)
			weights = append(weights, share.Weight)
		}
	}
	for _, name := range names {
		cluster := next.Cluster(name)
		if cluster == nil {
			return t, fmt.Errorf("no cluster %q", name)
		}
		t.Clusters = append(t.Clusters, cluster)
	}
	switch {
	case len(weights) == 0:
	case old != nil && i < len(old.Config.Routes) && slices.Equal(old.Config.Routes[i].Split, c.Split):
		t.Split = old.Settings.Routes.Routes[i].Target.Split
	default:
		t.Split, err = lb.NewSplit(weights)
	}
	return t, err
}

// sockets returns what the listener's sockets are to be like.
func sockets(c *config.Listener) []eventloop.ListenOptions {
	all := make([]eventloop.ListenOptions, len(c.Binds))
	for i, addr := range c.Binds {
		all[i] = eventloop.ListenOptions{
			Addr:        addr,
			V6Only:      c.V6Only,
			Backlog:     c.Backlog,
			FastOpen:    c.TCP.FastOpen,
			DeferAccept: c.TCP.DeferAccept,
			UserTimeout: c.TCP.UserTimeout,
			Keepalive:   c.TCP.Keepalive,
			Congestion:  c.TCP.Congestion,
		}
	}
	return all
}
