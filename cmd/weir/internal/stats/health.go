package stats

import (
	"time"

	"weir/l4"
	"weir/l4/probe"
	"weir/lb/health"
)

// CheckReport is what the checks of an endpoint say, its own or those of the one that it tracks.
type CheckReport struct {
	State  string    `json:"state"`          // unknown, up or down
	Since  time.Time `json:"since,omitzero"` // of the last change of State
	Result string    `json:"result"`         // of the last check, for people; "" = it was well, or there was none yet
	At     time.Time `json:"at,omitzero"`    // of the last check
	Took   float64   `json:"took_seconds"`   // the last check
	Checks uint64    `json:"checks"`         // since the endpoint is known; 0 of one that tracks another
	Failed uint64    `json:"failed"`         // of these
	Downs  uint64    `json:"went_down"`      // times that State became down
	Ups    uint64    `json:"came_up"`        // times that it was down, and became up
}

// OutlierReport is how traffic has had an endpoint ejected.
type OutlierReport struct {
	Ejected   bool      `json:"ejected"`
	Why       string    `json:"why"`            // of the last ejection: consecutive_failures or success_rate
	Until     time.Time `json:"until,omitzero"` // when the present ejection ends
	Ejections uint64    `json:"ejections"`
}

// health fills in what checks and traffic have made of an endpoint.
func (r *EndpointReport) health(e *l4.Endpoint) {
	r.FailuresInARow = e.Conduct.Failures()
	c := e.Condition()
	if c.Checked {
		r.Check = &CheckReport{
			State: c.Check.String(), Since: c.Since, Result: c.Result, At: c.At, Took: c.Took.Seconds(),
			Checks: c.Checks, Failed: c.ChecksFailed, Downs: c.WentDown, Ups: c.CameUp,
		}
	}
	if c.Ejections > 0 {
		r.Outlier = &OutlierReport{Ejected: c.Ejected, Why: c.Why.String(), Until: c.Until, Ejections: c.Ejections}
	}
}

// Down reports whether the endpoint's checks say that it is.
func (e *EndpointReport) Down() bool { return e.Check != nil && e.Check.State == health.Down.String() }

// Ejected reports whether traffic has had the endpoint ejected, for now.
func (e *EndpointReport) Ejected() bool { return e.Outlier != nil && e.Outlier.Ejected }

// unchecked reports whether the endpoint waits for its first check.
func (e *EndpointReport) unchecked() bool {
	return e.Check != nil && e.Check.State == health.Unknown.String()
}

// sound reports whether nothing speaks against the endpoint: it's meant to take connections, and neither down nor ejected. One that is, and isn't in
// use, stands by.
func (e *EndpointReport) sound() bool { return e.Usable() && !e.Down() && !e.Ejected() }

// number counts the endpoints of which something is true.
func (c *ClusterReport) number(of func(e *EndpointReport) bool) (n int) {
	for i := range c.Endpoints {
		if of(&c.Endpoints[i]) {
			n++
		}
	}
	return n
}

// LimitsReport is a cluster's circuit breaker, and what is taken of it now, in the whole process. Of the limits, 0 is none, but no place for those that
// wait.
type LimitsReport struct {
	Connections    int64   `json:"connections"` // being connected or established
	MaxConnections int64   `json:"max_connections"`
	Pending        int64   `json:"pending"` // that wait for a place
	MaxPending     int64   `json:"max_pending"`
	Retrying       int64   `json:"retrying"` // connect attempts under way that aren't the first of their connection
	MaxRetries     int64   `json:"max_retries"`
	RetryBudget    float64 `json:"retry_budget"` // the same limit as a share of connections
}

// any reports whether something is limited.
func (l *LimitsReport) any() bool {
	return l.MaxConnections > 0 || l.MaxPending > 0 || l.MaxRetries > 0 || l.RetryBudget > 0
}

// clusterReading is the sum of a cluster's counters over all loops.
type clusterReading struct {
	counts
	retries, waited uint64
	connect, wait   l4.HistogramReading
}

func readCluster(c *l4.Cluster) (n clusterReading) {
	closed := new([l4.NumReasons]uint64)
	for i := range c.Loops {
		l := &c.Loops[i]
		closed[l4.NoEndpoint] += l.NoEndpoint.Load()
		closed[l4.EndpointsFull] += l.Full.Load()
		closed[l4.ClusterFull] += l.ClusterFull.Load()
		closed[l4.PendingFull] += l.PendingFull.Load()
		closed[l4.PendingTimeout] += l.PendingTimeout.Load()
		closed[l4.RetryLimit] += l.RetriesRefused.Load()
		n.retries += l.Retries.Load()
		n.waited += l.Waited.Load()
		n.connect.Add(&l.ConnectTime)
		n.wait.Add(&l.WaitTime)
	}
	n.closed = closed
	return n
}

// limits fills in the cluster's limits, and what came of them.
func (r *ClusterReport) limits(c *l4.Cluster, n *clusterReading) {
	of := &c.Limits
	r.Limits = LimitsReport{
		Connections: c.Places.Active(), MaxConnections: of.MaxConnections, Pending: c.Places.Waiting(), MaxPending: of.MaxPending,
		Retrying: c.Places.Retrying(), MaxRetries: of.MaxRetries, RetryBudget: of.RetryBudget,
	}
	r.NoEndpoint, r.Full, r.ClusterFull = n.closed[l4.NoEndpoint], n.closed[l4.EndpointsFull], n.closed[l4.ClusterFull]
	r.PendingFull, r.PendingTimeout, r.Waited = n.closed[l4.PendingFull], n.closed[l4.PendingTimeout], n.waited
	r.Retries, r.RetriesRefused = n.retries, n.closed[l4.RetryLimit]
	if n.wait.Count() > 0 {
		wait := newHistogram(n.wait)
		r.WaitTime = &wait
	}
}

// DiscoveryReport is how the discovery of a cluster's endpoints is doing.
type DiscoveryReport struct {
	Endpoints int       `json:"endpoints"`         // known
	Answered  time.Time `json:"answered,omitzero"` // when there was the last good answer; absent = never
	Next      time.Time `json:"next,omitzero"`     // look
	TTL       float64   `json:"ttl_seconds"`       // of the last answer
	Queries   uint64    `json:"queries"`
	Failures  uint64    `json:"failures"`
	LastError string    `json:"last_error,omitempty"` // of the last look; absent = it was well
}

func newDiscovery(d *Discovery) *DiscoveryReport {
	return &DiscoveryReport{
		Endpoints: d.Endpoints, Answered: d.Answered, Next: d.Next, TTL: d.TTL.Seconds(),
		Queries: d.Queries, Failures: d.Failures, LastError: d.LastError,
	}
}

// SourcesReport is what a listener remembers of its clients' addresses.
type SourcesReport struct {
	Remembered int    `json:"remembered"`
	Evicted    uint64 `json:"evicted"` // forgotten too early, for want of room: each had part of its rate left to wait for
}

// OverloadReport is how short the process runs of descriptors or memory.
type OverloadReport struct {
	Stage       string          `json:"stage"`       // calm, shorten, shed or refuse
	Descriptors float64         `json:"descriptors"` // share of them that is taken; 0 = there is no limit
	Memory      float64         `json:"memory"`      // share of the limit that is used; 0 = there is none
	MemoryUsed  uint64          `json:"memory_used_bytes"`
	MemoryLimit uint64          `json:"memory_limit_bytes"` // 0 = there is none
	Entered     OverloadEntered `json:"entered"`

	stage l4.Stage
}

// OverloadEntered are the times that a stage was entered from one below.
type OverloadEntered struct {
	Shorten uint64 `json:"shorten"`
	Shed    uint64 `json:"shed"`
	Refuse  uint64 `json:"refuse"`
}

func newOverload(p *Pressure) OverloadReport {
	return OverloadReport{
		Stage: p.Stage.String(), Descriptors: p.Descriptors, Memory: p.Memory, MemoryUsed: p.MemoryUsed, MemoryLimit: p.MemoryLimit,
		Entered: OverloadEntered{Shorten: p.Entered[l4.StageShorten], Shed: p.Entered[l4.StageShed], Refuse: p.Entered[l4.StageRefuse]},
		stage:   p.Stage,
	}
}

// ChecksReport is what all health checks together do.
type ChecksReport struct {
	Targets   int     `json:"targets"` // endpoints that are checked, once for each cluster
	Running   int     `json:"running"`
	Late      uint64  `json:"late"` // began more than a second after they were due
	Done      uint64  `json:"done"`
	PerSecond float64 `json:"per_second"` // done
	LateRate  float64 `json:"late_per_second"`
}

// checksKey is what the checks' rates are kept under.
type checksKey struct{}

func countChecks(s *probe.RunnerStats) counts { return counts{connections: s.Done, failed: s.Late} }

// asked fills in what is not read from counters of loops.
func (c *collector) asked(p *Process, v *View) {
	var pressure Pressure
	if v.Pressure != nil {
		pressure = v.Pressure()
	}
	p.Overload = newOverload(&pressure)
	if v.Checks != nil {
		s := v.Checks()
		rate := c.window.rate(c.now, checksKey{}, countChecks(&s))
		p.Checks = ChecksReport{Targets: s.Targets, Running: s.Running, Late: s.Late, Done: s.Done, PerSecond: rate.connections, LateRate: rate.failed}
	}
}
