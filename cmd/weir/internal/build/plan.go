package build

import (
	"fmt"
	"reflect"
	"time"

	"weir/config"
	"weir/l4"
	"weir/l4/access"
	"weir/l4/monitor"
	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// plan returns what is to be watched of a cluster, but for its check.
func plan(c *config.Cluster, cluster *l4.Cluster, o lb.Options, members []lb.Member) monitor.Plan {
	p := monitor.Plan{
		Cluster: cluster, Options: o, Members: members,
		Track: c.Health.Track, SlowStart: c.SlowStart, Close: c.Health.OnDown == config.Close,
	}
	if c.Outlier.On {
		p.Outlier = &outlier.Rules{
			Consecutive: c.Outlier.ConsecutiveFailures,
			Stdev:       c.Outlier.SuccessRateStdev,
			Interval:    c.Outlier.Interval,
			Ejection:    c.Outlier.Ejection,
			MaxEjection: c.Outlier.MaxEjection,
			MaxEjected:  c.Outlier.MaxEjected,
		}
	}
	return p
}

// checkOf returns how the endpoints of a cluster are to be checked, nil = not at all, and what that was made from. What has not changed keeps its
// identity, so that the checks go on. Files that were read before are looked at only if they are to be read again.
func checkOf(c *config.Cluster, was *watched, reread bool) (*monitor.Check, digest, error) {
	if c.Health.Type == config.HealthOff {
		return nil, digest{}, nil
	}
	same := was.plan.Check != nil && reflect.DeepEqual(was.config.Health, c.Health)
	if same && !(reread && c.Health.TLS.On) {
		return was.plan.Check, was.files, nil
	}
	var files tlsFiles
	if c.Health.TLS.On {
		var err error
		if files, err = readTLS(&c.Health.TLS); err != nil {
			return nil, digest{}, fmt.Errorf("tls: %w", err)
		}
	}
	sum := files.digest()
	if same && sum == was.files {
		return was.plan.Check, was.files, nil
	}
	made, err := check(&c.Health, &files)
	return made, sum, err
}

// check returns how the endpoints of a cluster are checked.
func check(h *config.Health, files *tlsFiles) (*monitor.Check, error) {
	kind, err := probe.ParseType(string(h.Type))
	if err != nil {
		return nil, err
	}
	o := probe.Options{
		Type: kind, Timeout: h.Timeout, Send: h.Send, Expect: h.Expect,
		Method: h.Method, Host: h.Host, Path: h.Path, ExpectBody: h.ExpectBody, Service: h.Service,
	}
	for _, s := range h.ExpectStatus {
		o.Status = append(o.Status, probe.StatusRange{From: s.From, To: s.To})
	}
	if h.TLS.On {
		if o.TLS, err = clientTLS(&h.TLS, files); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
	}
	c := &monitor.Check{
		Rules:   health.Rules{Interval: h.Interval, FastInterval: h.FastInterval, Rise: h.Rise, Fall: h.Fall},
		Address: h.Address, Port: h.Port,
	}
	c.Check, err = probe.New(o)
	return c, err
}

// overlay puts what is known of the endpoints over the members as they are configured.
func overlay(c *config.Cluster, endpoints []*l4.Endpoint, members []lb.Member) []lb.Member {
	now := time.Now()
	known := make([]lb.Member, len(members))
	for i, e := range endpoints {
		known[i] = members[i]
		condition := e.Condition()
		condition.Checked = c.Health.Type != config.HealthOff || c.Health.Track != ""
		condition.Ejected = condition.Ejected && c.Outlier.On
		monitor.Overlay(&known[i], &condition, c.SlowStart, now)
	}
	return known
}

// limits returns a cluster's circuit breaker.
func limits(l *config.Limits) l4.Limits {
	return l4.Limits{
		MaxConnections: l.MaxConnections, MaxPending: l.MaxPending, PendingTimeout: l.PendingTimeout,
		MaxRetries: l.MaxRetries, RetryBudget: l.RetryBudget,
	}
}

// admission returns who may come in, nil = all.
func admission(l *config.Listener) *access.Rules {
	r := &access.Rules{
		Filter:       access.NewFilter(l.Allow, l.Deny),
		Rate:         access.NewRate(l.Rate.Connections, l.Rate.Burst),
		PerSource:    access.NewRate(l.Rate.PerSource, l.Rate.PerSourceBurst),
		MaxPerSource: l.MaxConnectionsPerSource,
	}
	if !r.Any() {
		return nil
	}
	return r
}
