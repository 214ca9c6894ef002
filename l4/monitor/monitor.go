package monitor

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"weir/l4"
	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// Options configure a Monitor. Log is required.
type Options struct {
	Log    *slog.Logger
	Seed   uint64
	Probes int // checks at once; 0 = 256

	// Down is told of an endpoint that its checks have taken down, and whether its sessions are to be closed: once for each time, as soon as no new ones
	// go there. It is called from the goroutine that publishes, with no lock held, and must not block, nor Close the Monitor; nil = nobody is told.
	Down func(e *l4.Endpoint, closeSessions bool)
}

// Plan is what is to be made of one cluster.
type Plan struct {
	Cluster *l4.Cluster
	Options lb.Options
	Members []lb.Member // as configured, without health; Members[i] is Cluster.Endpoints[i]

	Check     *Check         // nil = none; the same pointer for as long as it is the same
	Track     string         // the cluster whose checks hold for the endpoints of the same addresses here; "" = none
	Outlier   *outlier.Rules // nil = traffic ejects nobody
	SlowStart time.Duration  // how long one that came up takes to get its whole share; 0 = none
	Close     bool           // end the sessions of an endpoint that goes down
}

// Check is how a cluster's endpoints are checked.
type Check struct {
	Check   probe.Check
	Rules   health.Rules
	Address netip.Addr // that is asked instead of the endpoint's; invalid = the endpoint's
	Port    uint16     // that is asked instead of the endpoint's; 0 = the endpoint's
}

// at is where an endpoint is checked.
func (c *Check) at(e netip.AddrPort) netip.AddrPort {
	addr, port := e.Addr(), e.Port()
	if c.Address.IsValid() {
		addr = c.Address
	}
	if c.Port != 0 {
		port = c.Port
	}
	return netip.AddrPortFrom(addr, port)
}

// Monitor watches the endpoints of all clusters.
type Monitor struct {
	// Immutable.
	log    *slog.Logger
	probes *probe.Runner
	down   func(*l4.Endpoint, bool)
	start  time.Time
	wakes  chan struct{} // the publisher has something to look at; holds one
	says   chan struct{} // there are lines; holds one
	ctx    context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu         sync.Mutex
	rand       *lb.Rand
	clusters   map[string]*cluster
	unable     time.Time // when it was logged last that checks can't be made
	lastUnable time.Time // when a check could not be made last
	lines      []slog.Record
	unsaid     int // lines that found no room
}

// cluster is what is watched of one cluster.
type cluster struct {
	plan      Plan
	downs     []down   // that the set which is published doesn't know of
	entries   []*entry // entries[i] is plan.Members[i]
	records   []*outlier.Record
	changed   bool      // what is published isn't what is known
	notBefore time.Time // the next build, see publishShare
	judgeAt   time.Time // the next look at success rates; zero = never
	rampAt    time.Time // the next step of a slow start; zero = none is under way
	inUse     int       // of the last set that was published
	panics    bool
	everInUse bool
}

// entry is what is watched of one endpoint.
type entry struct {
	cluster   *cluster // nil = it isn't watched any more
	endpoint  *l4.Endpoint
	check     *Check
	target    *probe.Target // nil = it isn't checked itself
	machine   health.Machine
	record    outlier.Record
	condition l4.Condition
	fresh     bool     // came to a cluster that there was: it starts slowly when it is first used
	passed    int      // checks in a row since it was ejected
	doubted   bool     // its checks have ended an ejection that isn't forgotten yet
	trackers  []*entry // that take its results
	tracks    *entry
	trackless bool           // has nobody to track, which was logged
	counted   outlier.Sample // totals at the last look at success rates
}

// down is an endpoint that has gone down.
type down struct {
	endpoint *l4.Endpoint
	close    bool
}

// New starts a Monitor that watches nothing.
func New(o Options) *Monitor {
	m := &Monitor{
		log: o.Log, down: o.Down, start: time.Now(), probes: probe.NewRunner(probe.RunnerOptions{Most: o.Probes}),
		wakes: make(chan struct{}, 1), says: make(chan struct{}, 1), rand: lb.NewRand(o.Seed), clusters: map[string]*cluster{},
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.done.Go(m.run)
	m.done.Go(m.speak)
	return m
}

// Close ends all checks, and returns when nothing of it runs any more and all is logged.
func (m *Monitor) Close() {
	m.probes.Close()
	m.stop()
	m.done.Wait()
	m.sayAll()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.clusters {
		for _, e := range c.entries {
			m.forget(e)
		}
	}
	m.clusters = nil
}

// Stats returns what the checks do.
func (m *Monitor) Stats() probe.RunnerStats { return m.probes.Stats() }

// wake has the publisher look. It never blocks.
func (m *Monitor) wake() {
	select {
	case m.wakes <- struct{}{}:
	default:
	}
}

// since is a time on the scale of lb/outlier.
func (m *Monitor) since(t time.Time) int64 { return int64(t.Sub(m.start)) }
