package control

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/config"
)

// firstAnswer is how long a configuration waits for the first answers about the clusters that are to be discovered. What is not known by then comes
// later.
const firstAnswer = 3 * time.Second

// discovers returns what is to be discovered for a configuration, by cluster.
func discovers(s *config.Snapshot) map[string]config.Discover {
	all := map[string]config.Discover{}
	for i := range s.Clusters {
		if c := &s.Clusters[i]; c.Discover.On() {
			all[c.Name] = c.Discover
		}
	}
	return all
}

// look has the resolver look for what a configuration asks for, and waits for the first answers. Without the mutex.
func (c *Control) look(s *config.Snapshot) {
	wanted := discovers(s)
	c.resolver.Set(wanted)
	ctx, cancel := context.WithTimeout(context.Background(), firstAnswer)
	defer cancel()
	c.resolver.First(ctx)
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if _, ok := c.resolver.Known(name); !ok {
			c.log.Warn("no endpoints discovered yet", "cluster", name)
		}
	}
}

// withFound returns the configuration with the endpoints that were discovered. Those that run stay where the resolver has just begun anew with what they
// came from.
func (c *Control) withFound(s *config.Snapshot) *config.Snapshot {
	if len(discovers(s)) == 0 {
		return s
	}
	whole := *s
	whole.Clusters = slices.Clone(s.Clusters)
	for i := range whole.Clusters {
		cluster := &whole.Clusters[i]
		if !cluster.Discover.On() {
			continue
		}
		if found, ok := c.resolver.Known(cluster.Name); ok {
			cluster.Endpoints = found
		} else if old := c.running.Snapshot.Cluster(cluster.Name); old != nil && sameOrigin(&old.Discover, &cluster.Discover) {
			cluster.Endpoints = old.Endpoints
		}
	}
	return &whole
}

func sameOrigin(a, b *config.Discover) bool {
	return a.DNS == b.DNS && a.Mode == b.Mode && a.File == b.File
}

// found takes up the endpoints of a cluster that the resolver has found.
func (c *Control) found(name string, _ []config.Endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining || c.view.Load() == nil {
		return // the first configuration takes what is known by then
	}
	s := c.withFound(c.configured)
	if now, next := c.running.Snapshot.Cluster(name), s.Cluster(name); now == nil || next == nil || reflect.DeepEqual(now, next) {
		return
	}
	if err := c.apply(s); err != nil {
		c.log.Error("endpoints not taken up", "cluster", name, "error", err)
	}
	c.publish()
}

// discovery tells how the discovery of a cluster is doing, for the View.
func (c *Control) discovery(name string) (stats.Discovery, bool) {
	s, ok := c.resolver.Status(name)
	return stats.Discovery(s), ok
}
