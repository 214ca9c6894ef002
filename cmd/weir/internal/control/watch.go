package control

import (
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/config"
	"weir/l4"
)

// watchEvery is how often the Control looks for what loops can't log themselves.
const watchEvery = time.Second

// pauses are a listener's accept pauses so far.
type pauses struct{ files, limit uint64 }

func pausesOf(l *stats.Listener) (p pauses) {
	for i := range l.State.Loops {
		p.files += l.State.Loops[i].PausesFiles.Load()
		p.limit += l.State.Loops[i].PausesLimit.Load()
	}
	return p
}

// watch logs accept pauses, at most one line per listener and second, and refusals, and tries again what failed, until the loops stop.
func (c *Control) watch() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	seen, refused := map[*l4.Listener]pauses{}, refusals{}
	for {
		select {
		case <-c.quit:
			return
		case <-ticker.C:
			seen = c.logPauses(seen)
			refused = c.logRefusals(c.View(), refused, time.Now())
			c.catchUp()
		}
	}
}

// logPauses logs what came to seen since, and returns what has been seen now.
func (c *Control) logPauses(seen map[*l4.Listener]pauses) map[*l4.Listener]pauses {
	v := c.View()
	now := make(map[*l4.Listener]pauses, len(v.Listeners))
	for i := range v.Listeners {
		l := &v.Listeners[i]
		p := pausesOf(l)
		now[l.State] = p
		was := seen[l.State]
		files, limit := p.files-was.files, p.limit-was.limit
		if files > 0 {
			c.log.Warn("accepting paused: no descriptors", "listener", l.Name, "pauses", files+limit,
				"sessions", c.shared.Active(), "descriptors", c.files.limit)
		} else if stage := c.measured().Stage; limit > 0 && stage >= l4.StageRefuse {
			c.log.Warn("accepting paused: overload", "listener", l.Name, "pauses", limit, "stage", stage.String(), "sessions", l.State.Active())
		} else if limit > 0 {
			c.log.Warn("accepting paused: max_connections reached", "listener", l.Name, "pauses", limit,
				"sessions", l.State.Active(), "listener_max", l.MaxConnections,
				"process_sessions", c.shared.Active(), "process_max", c.shared.Max())
		}
	}
	return now
}

// logListeners logs where listeners listen; names nil = all.
func (c *Control) logListeners(names map[string]bool) {
	for _, l := range c.running.Listeners {
		if names != nil && !names[l.Name] {
			continue
		}
		for _, at := range c.bound[l.Name] {
			attrs := []any{"listener", l.Name, "address", at.String()}
			if l.Config.Cluster != "" {
				attrs = append(attrs, "cluster", l.Config.Cluster)
			}
			if n := len(l.Config.Routes); n > 0 {
				attrs = append(attrs, "routes", n)
			}
			c.log.Info("listening", attrs...)
		}
	}
}

// logChange logs what a change did.
func (c *Control) logChange(change *config.Change) {
	for _, key := range change.Restart {
		c.log.Warn("this change needs a restart", "key", key)
	}
	var attrs []any
	add := func(key string, names []string) {
		if len(names) > 0 {
			attrs = append(attrs, key, names)
		}
	}
	var listeners, clusters []string
	relisten := map[string]bool{}
	for _, name := range change.ListenersAdded {
		relisten[name] = true
	}
	for _, l := range change.ListenersChanged {
		listeners = append(listeners, l.Name)
		relisten[l.Name] = l.Rebind
	}
	for _, cl := range change.ClustersChanged {
		clusters = append(clusters, cl.Name)
	}
	add("process", change.Process)
	add("admin", change.Admin)
	add("listeners_added", change.ListenersAdded)
	add("listeners_removed", change.ListenersRemoved)
	add("listeners_changed", listeners)
	add("clusters_added", change.ClustersAdded)
	add("clusters_removed", change.ClustersRemoved)
	add("clusters_changed", clusters)
	add("tls_files_changed", c.running.Renewed)
	if len(attrs) == 0 && len(change.Restart) == 0 {
		c.log.Info("configuration read again, nothing changed")
		return
	}
	c.logListeners(relisten)
	c.log.Info("configuration applied", attrs...)
}
