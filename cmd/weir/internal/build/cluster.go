package build

import (
	"fmt"
	"net/netip"
	"reflect"

	"weir/config"
	"weir/l4"
	"weir/l4/monitor"
	"weir/lb"
)

// cluster returns the cluster that c describes, and what is to be watched of it: the present one when nothing changed, else its successor.
func (r *Running) cluster(c *config.Cluster) (*l4.Cluster, *monitor.Plan, error) {
	old, was, oldPlan := r.Cluster(c.Name), r.Snapshot.Cluster(c.Name), r.plan(c.Name)
	if old != nil && reflect.DeepEqual(was, c) {
		return old, oldPlan, nil
	}
	options, err := balancing(c, r.options.Seed)
	if err != nil {
		return nil, nil, err
	}
	known := make(map[netip.AddrPort]*l4.Endpoint)
	if old != nil {
		for _, e := range old.Endpoints {
			known[e.Address] = e
		}
	}
	endpoints := make([]*l4.Endpoint, len(c.Endpoints))
	members := make([]lb.Member, len(c.Endpoints))
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		endpoint := known[e.Address]
		if endpoint == nil {
			endpoint = l4.NewEndpoint(e.Address, r.options.Loops)
		}
		state, err := lb.ParseState(string(e.State))
		if err != nil {
			return nil, nil, fmt.Errorf("endpoint %s: %w", e.Address, err)
		}
		endpoints[i] = endpoint
		members[i] = lb.Member{
			Endpoint: endpoint.Balance, Weight: e.Weight, MaxConnections: e.MaxConnections, Priority: uint16(e.Priority), Backup: e.Backup, State: state,
		}
	}
	var set *lb.Set
	if known := overlay(c, endpoints, members); old != nil {
		set, err = old.Set().Next(options, known)
	} else {
		set, err = lb.NewSet(options, known)
	}
	if err != nil {
		return nil, nil, err
	}
	var next *l4.Cluster
	if old != nil {
		next = old.Next(endpoints, set)
	} else {
		next = l4.NewCluster(c.Name, endpoints, set, r.options.Loops)
	}
	next.HashOn, next.ConnectTimeout, next.Attempts = hashOn(c.HashOn), c.ConnectTimeout, max(1, c.ConnectAttempts)
	next.KeepFlows, next.Limits = c.Health.OnDown == config.Keep, limits(&c.Limits)
	watch, err := plan(c, next, options, members, oldPlan, was)
	return next, watch, err
}

func balancing(c *config.Cluster, seed uint64) (lb.Options, error) {
	policy, err := lb.ParsePolicy(string(c.Policy))
	return lb.Options{Policy: policy, HashBalance: c.HashBalance, PanicThreshold: c.PanicThreshold, Seed: seed}, err
}

func hashOn(h config.HashOn) l4.HashOn {
	if h == config.SourceIPPort {
		return l4.HashSource
	}
	return l4.HashSourceIP
}
