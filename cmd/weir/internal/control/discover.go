package control

import (
	"context"
	"reflect"
	"slices"
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/config"
)

// firstAnswer is how long a configuration waits for the first answers about the clusters that are to be discovered. What is not known by then comes
// later.
const firstAnswer = 3 * time.Second

// firstWord is after how much of that the log says so.
const firstWord = 250 * time.Millisecond

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

// seek has the resolver look for what a configuration asks for. With the mutex held.
func (c *Control) seek(s *config.Snapshot) {
	c.sought = discovers(s)
	c.resolver.Set(c.sought)
}

// look is seek, and waits for the first answers. Without the mutex.
func (c *Control) look(ctx context.Context, s *config.Snapshot) error {
	c.mu.Lock()
	if c.draining {
		c.mu.Unlock()
		return ErrDraining
	}
	c.seek(s)
	c.mu.Unlock()
	if !c.first(ctx, firstWord) && ctx.Err() == nil {
		c.log.Info("waiting for the first answers of discovery", "at_most", firstAnswer)
		c.first(ctx, firstAnswer-firstWord)
	}
	return ctx.Err()
}

// first waits for the first answers, or failures, and reports whether all are there.
func (c *Control) first(ctx context.Context, most time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	c.resolver.First(ctx)
	return ctx.Err() == nil
}

// withFound returns the configuration with the endpoints that were discovered. A cluster about which nothing is known keeps those that it has, wherever
// they came from: whoever gives it another source wants it served until that one answers. With the mutex held.
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
		if found, ok := c.known(cluster); ok {
			cluster.Endpoints = found
		} else if old := c.running.Snapshot.Cluster(cluster.Name); old != nil {
			cluster.Endpoints = old.Endpoints
		}
	}
	return &whole
}

// known returns what the resolver has found for a cluster as it is configured, and not as a change would have it that waits for its first answers. With the
// mutex held.
func (c *Control) known(cluster *config.Cluster) ([]config.Endpoint, bool) {
	sought := c.sought[cluster.Name]
	if !sameOrigin(&sought, &cluster.Discover) {
		return nil, false
	}
	return c.resolver.Known(cluster.Name)
}

// warnUnknown names the clusters about which nothing is known. With the mutex held.
func (c *Control) warnUnknown() {
	for i := range c.configured.Clusters {
		cluster := &c.configured.Clusters[i]
		if !cluster.Discover.On() {
			continue
		}
		if _, ok := c.known(cluster); ok {
			continue
		}
		attrs := []any{"cluster", cluster.Name}
		if has := c.running.Snapshot.Cluster(cluster.Name); has != nil && len(has.Endpoints) > 0 {
			attrs = append(attrs, "keeping", len(has.Endpoints))
		}
		c.log.Warn("no endpoints discovered yet", attrs...)
	}
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
	c.take(s)
}

// catchUp tries again what could not be taken up, or only in part.
func (c *Control) catchUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.behind && !c.draining {
		c.take(c.withFound(c.configured))
	}
}

// take applies the present configuration with other endpoints. With the mutex held.
func (c *Control) take(s *config.Snapshot) {
	err := c.apply(s, false)
	c.behind = err != nil
	c.publish()
	why := reason(err)
	switch {
	case why == c.behindWhy:
	case why != "":
		c.log.Error("not all that was configured or discovered runs: trying again", "error", why)
	default:
		c.log.Info("all that was configured and discovered runs again")
	}
	c.behindWhy = why
}

// reason is an error's text, "" without one.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// discovery tells how the discovery of a cluster is doing, for the View.
func (c *Control) discovery(name string) (stats.Discovery, bool) {
	s, ok := c.resolver.Status(name)
	return stats.Discovery(s), ok
}
