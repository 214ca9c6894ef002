package build

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
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

// plan returns what is to be watched of a cluster; what has not changed keeps its identity, so that the checks go on. old is the plan of the cluster of
// this name, was what it was made from; both nil when there is none.
func plan(c *config.Cluster, cluster *l4.Cluster, o lb.Options, members []lb.Member, old *monitor.Plan, was *config.Cluster) (*monitor.Plan, error) {
	p := &monitor.Plan{
		Cluster: cluster, Options: o, Members: members,
		Track: c.Health.Track, SlowStart: c.SlowStart, Close: c.Health.OnDown == config.Close,
	}
	switch {
	case c.Health.Type == config.HealthOff:
	case old != nil && old.Check != nil && reflect.DeepEqual(was.Health, c.Health):
		p.Check = old.Check
	default:
		check, err := check(&c.Health)
		if err != nil {
			return nil, fmt.Errorf("health: %w", err)
		}
		p.Check = check
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
	return p, nil
}

// check returns how the endpoints of a cluster are checked.
func check(h *config.Health) (*monitor.Check, error) {
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
		if o.TLS, err = clientTLS(&h.TLS); err != nil {
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

// clientTLS reads the files of a client's TLS.
func clientTLS(t *config.HealthTLS) (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: !t.Verify, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("cert: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
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
