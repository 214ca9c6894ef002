package config

import (
	"net/netip"
	"slices"
)

// Change is what differs between two Snapshots: what has to be done to a process
// that runs the old one to make it run the new one. Names, keys and addresses
// are sorted.
type Change struct {
	// Restart is the key paths whose new values only a new process takes up:
	// process.loops and process.pin.
	Restart []string
	// Process and Admin are the other keys that changed, by key path.
	Process, Admin []string

	ListenersAdded, ListenersRemoved []string
	ListenersChanged                 []ListenerChange
	ClustersAdded, ClustersRemoved   []string
	ClustersChanged                  []ClusterChange
}

// ListenerChange is what changed in a listener that both Snapshots have.
type ListenerChange struct {
	Name string
	// Keys is the keys that changed: "idle_timeout", "tcp.keepalive".
	Keys []string
	// Rebind says that sockets have to be closed or opened. All else changes
	// in place.
	Rebind bool
	// BindsAdded and BindsRemoved are those sockets. An address in both (when
	// v6_only or protocol changed) needs a new socket; any other of the
	// listener's keeps the one it has.
	BindsAdded, BindsRemoved []netip.AddrPort
}

// ClusterChange is what changed in a cluster that both Snapshots have.
type ClusterChange struct {
	Name string
	// Keys is the keys that changed, "endpoints" among them when only their
	// order did.
	Keys []string
	// Added, Removed and Changed are the endpoints by address.
	Added, Removed []netip.AddrPort
	Changed        []EndpointChange
}

// EndpointChange is what changed in an endpoint that both Snapshots have.
type EndpointChange struct {
	Address netip.AddrPort
	// Keys is the keys that changed: "weight", "state".
	Keys []string
}

// Empty tells whether the two Snapshots say the same.
func (c *Change) Empty() bool {
	return len(c.Restart)+len(c.Process)+len(c.Admin) == 0 &&
		len(c.ListenersAdded)+len(c.ListenersRemoved)+len(c.ListenersChanged) == 0 &&
		len(c.ClustersAdded)+len(c.ClustersRemoved)+len(c.ClustersChanged) == 0
}

// Diff compares two Snapshots. Listeners and clusters are matched by name,
// endpoints by address.
func Diff(old, new *Snapshot) Change {
	var c Change
	process, admin := processTable(), adminTable()
	for _, key := range process.changed(&old.Process, &new.Process) {
		if key == "loops" || key == "pin" {
			c.Restart = append(c.Restart, "process."+key)
		} else {
			c.Process = append(c.Process, "process."+key)
		}
	}
	for _, key := range admin.changed(&old.Admin, &new.Admin) {
		c.Admin = append(c.Admin, "admin."+key)
	}
	slices.Sort(c.Process)
	slices.Sort(c.Admin)

	listeners, clusters := listenerTable(), clusterTable()
	c.ListenersAdded, c.ListenersRemoved = match(old.Listeners, new.Listeners, listenerName, func(a, b *Listener) {
		if keys := listeners.changed(a, b); keys != nil {
			c.ListenersChanged = append(c.ListenersChanged, diffListener(a, b, keys))
		}
	})
	c.ClustersAdded, c.ClustersRemoved = match(old.Clusters, new.Clusters, clusterName, func(a, b *Cluster) {
		if keys := clusters.changed(a, b); keys != nil {
			c.ClustersChanged = append(c.ClustersChanged, diffCluster(a, b, keys))
		}
	})
	return c
}

func listenerName(l *Listener) string { return l.Name }
func clusterName(c *Cluster) string   { return c.Name }

// match goes through two slices sorted by name side by side.
func match[T any](old, new []T, name func(*T) string, both func(a, b *T)) (added, removed []string) {
	for len(old) > 0 || len(new) > 0 {
		switch {
		case len(old) == 0 || len(new) > 0 && name(&new[0]) < name(&old[0]):
			added = append(added, name(&new[0]))
			new = new[1:]
		case len(new) == 0 || name(&old[0]) < name(&new[0]):
			removed = append(removed, name(&old[0]))
			old = old[1:]
		default:
			both(&old[0], &new[0])
			old, new = old[1:], new[1:]
		}
	}
	return added, removed
}

func diffListener(a, b *Listener, keys []string) ListenerChange {
	slices.Sort(keys)
	c := ListenerChange{Name: b.Name, Keys: keys}
	c.BindsRemoved, c.BindsAdded = slices.Clone(a.Binds), slices.Clone(b.Binds)
	c.BindsRemoved = slices.DeleteFunc(c.BindsRemoved, func(addr netip.AddrPort) bool {
		i := slices.Index(c.BindsAdded, addr)
		if i < 0 || !sameSocket(a, b, addr.Addr()) {
			return false
		}
		c.BindsAdded = slices.Delete(c.BindsAdded, i, i+1)
		return true
	})
	slices.SortFunc(c.BindsAdded, netip.AddrPort.Compare)
	slices.SortFunc(c.BindsRemoved, netip.AddrPort.Compare)
	c.Rebind = len(c.BindsAdded)+len(c.BindsRemoved) > 0
	return c
}

// sameSocket tells whether a socket of the old listener on addr can serve the
// new one. IPV6_V6ONLY means something to the IPv6 wildcard alone, and cannot be
// changed once a socket is bound.
func sameSocket(a, b *Listener, addr netip.Addr) bool {
	return a.Protocol == b.Protocol && (a.V6Only == b.V6Only || addr != netip.IPv6Unspecified())
}

func diffCluster(a, b *Cluster, keys []string) ClusterChange {
	slices.Sort(keys)
	c := ClusterChange{Name: b.Name, Keys: keys}
	if !slices.Contains(keys, "endpoints") {
		return c
	}
	table := endpointTable()
	old := make(map[netip.AddrPort]*Endpoint, len(a.Endpoints))
	for i := range a.Endpoints {
		old[a.Endpoints[i].Address] = &a.Endpoints[i]
	}
	for i := range b.Endpoints {
		e := &b.Endpoints[i]
		before, ok := old[e.Address]
		if !ok {
			c.Added = append(c.Added, e.Address)
			continue
		}
		delete(old, e.Address)
		if keys := table.changed(before, e); keys != nil {
			slices.Sort(keys)
			c.Changed = append(c.Changed, EndpointChange{e.Address, keys})
		}
	}
	for address := range old {
		c.Removed = append(c.Removed, address)
	}
	slices.SortFunc(c.Added, netip.AddrPort.Compare)
	slices.SortFunc(c.Removed, netip.AddrPort.Compare)
	slices.SortFunc(c.Changed, func(x, y EndpointChange) int { return x.Address.Compare(y.Address) })
	return c
}
