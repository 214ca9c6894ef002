package build

import (
	"fmt"
	"net/netip"
	"reflect"

	"weir/config"
	"weir/l4"
	"weir/lb"
)

// cluster returns the cluster that c describes: the present one when nothing changed, else its successor.
func (r *Running) cluster(c *config.Cluster) (*l4.Cluster, error) {
	old := r.Cluster(c.Name)
	if old != nil && reflect.DeepEqual(r.Snapshot.Cluster(c.Name), c) {
		return old, nil
	}
	options, err := balancing(c, r.options.Seed)
	if err != nil {
		return nil, err
	}
	next := &l4.Cluster{
		Name:           c.Name,
		HashOn:         hashOn(c.HashOn),
		ConnectTimeout: c.ConnectTimeout,
		Attempts:       max(1, c.ConnectAttempts),
		KeepFlows:      c.Health.OnDown == config.Keep,
	}
	known := make(map[netip.AddrPort]*l4.Endpoint)
	if old != nil {
		next.Loops = old.Loops
		for _, e := range old.Endpoints {
			known[e.Address] = e
		}
	} else {
		next.Loops = make([]l4.ClusterCounters, r.options.Loops)
	}
	members := make([]lb.Member, len(c.Endpoints))
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		endpoint := known[e.Address]
		if endpoint == nil {
			endpoint = l4.NewEndpoint(e.Address, r.options.Loops)
		}
		state, err := lb.ParseState(string(e.State))
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.Address, err)
		}
		next.Endpoints = append(next.Endpoints, endpoint)
		members[i] = lb.Member{
			Endpoint: endpoint.Balance, Weight: e.Weight, MaxConnections: e.MaxConnections, Backup: e.Backup, State: state,
		}
	}
	if old != nil {
		next.Set, err = old.Set.Next(options, members)
	} else {
		next.Set, err = lb.NewSet(options, members)
	}
	return next, err
}

func balancing(c *config.Cluster, seed uint64) (lb.Options, error) {
	policy, err := lb.ParsePolicy(string(c.Policy))
	return lb.Options{Policy: policy, HashBalance: c.HashBalance, Seed: seed}, err
}

func hashOn(h config.HashOn) l4.HashOn {
	if h == config.SourceIPPort {
		return l4.HashSource
	}
	return l4.HashSourceIP
}
