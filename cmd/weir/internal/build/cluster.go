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

// watched is a cluster, and what is to be watched of it.
type watched struct {
	config *config.Cluster
	plan   monitor.Plan
	files  digest // that its check was made from
}

// watched returns what there is of a cluster; all zero when it isn't there.
func (r *Running) watched(name string) (w watched) {
	if i, ok := r.find(name); ok {
		w = watched{&r.Snapshot.Clusters[i], r.Plans[i], r.files[i]}
	}
	return w
}

// cluster returns the cluster that c describes: the present one when nothing changed, else its successor. renewed says that nothing but the files of its
// checks did.
func (r *Running) cluster(c *config.Cluster, reread bool) (next watched, renewed bool, err error) {
	was := r.watched(c.Name)
	check, files, err := checkOf(c, &was, reread)
	if err != nil {
		return next, false, fmt.Errorf("health: %w", err)
	}
	if was.config != nil && reflect.DeepEqual(was.config, c) {
		next = was
		next.config, next.plan.Check, next.files = c, check, files
		return next, check != was.plan.Check, nil
	}
	next = watched{config: c, files: files}
	next.plan, err = r.successor(c, was.plan.Cluster)
	next.plan.Check = check
	return next, false, err
}

// successor returns the plan of the cluster that c describes, but for its check; old is what there is of this name, nil = nothing.
func (r *Running) successor(c *config.Cluster, old *l4.Cluster) (p monitor.Plan, err error) {
	options, err := balancing(c, r.options.Seed)
	if err != nil {
		return p, err
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
			return p, fmt.Errorf("endpoint %s: %w", e.Address, err)
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
		return p, err
	}
	var next *l4.Cluster
	if old != nil {
		next = old.Next(endpoints, set)
	} else {
		next = l4.NewCluster(c.Name, endpoints, set, r.options.Loops)
	}
	next.HashOn, next.ConnectTimeout, next.Attempts = hashOn(c.HashOn), c.ConnectTimeout, max(1, c.ConnectAttempts)
	next.KeepFlows, next.Limits = c.Health.OnDown == config.Keep, limits(&c.Limits)
	return plan(c, next, options, members), nil
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
