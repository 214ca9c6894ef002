package e2e

import (
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// chaosReport is what the chaos test reads of /stats.
type chaosReport struct {
	Process struct {
		Connections connections
		Descriptors struct{ Open int }
		Resident    int `json:"resident_bytes"`
	}
	Listeners []listener
	Clusters  []struct {
		Name        string
		Connections connections
		InUse       int `json:"in_use"`
		Limits      struct{ Connections, Pending, Retrying int }
		Endpoints   []chaosEndpoint
	}
	Loops []struct{ Pipes int }
}

type chaosEndpoint struct {
	Address         string
	Connections     connections
	ConnectFailures map[string]int `json:"connect_failures"`
	Resets          int
	Check           struct {
		Downs int `json:"went_down"`
		Ups   int `json:"came_up"`
	}
	Outlier struct { // what was never ejected has none
		Ejected   bool
		Ejections int
	}
}

// counts are what weir counts of an endpoint that speaks against it, by cluster and backend.
type counts struct {
	before time.Duration // it was asked
	bad    map[string][]int
	total  map[string][]int // connections
	active map[string][]int
}

// report reads /stats. How long that takes says something of how busy this machine is.
func (c *chaos) report() *chaosReport {
	c.t.Helper()
	r, before := new(chaosReport), c.load.now()
	c.w.statsInto(r)
	c.noteLag(lag{span{before, c.load.now()}, c.load.now() - before})
	for _, l := range c.stutter.take() {
		c.noteLag(l)
	}
	return r
}

// noteLag notes that this machine was late, unless it is hardly worth it.
func (c *chaos) noteLag(l lag) {
	if l.by > 10*time.Millisecond {
		c.lags = append(c.lags, l)
	}
}

func (c *chaos) count() counts {
	c.t.Helper()
	n := counts{before: c.load.now(), bad: map[string][]int{}, total: map[string][]int{}, active: map[string][]int{}}
	for _, cluster := range c.report().Clusters {
		for i, e := range cluster.Endpoints {
			if e.Address != c.backends[i].addr {
				c.t.Fatalf("/stats has %s where %s should be", e.Address, c.backends[i].addr)
			}
			bad := e.Resets
			for _, n := range e.ConnectFailures {
				bad += n
			}
			n.bad[cluster.Name] = append(n.bad[cluster.Name], bad)
			n.total[cluster.Name] = append(n.total[cluster.Name], e.Connections.Total)
			n.active[cluster.Name] = append(n.active[cluster.Name], e.Connections.Active)
		}
	}
	return n
}

// poll notes of which endpoints weir has counted something bad since the last time.
func (c *chaos) poll() bool {
	c.t.Helper()
	n := c.count()
	for cluster, bad := range n.bad {
		for i := range bad {
			if more := bad[i] - c.counted.bad[cluster][i]; more != 0 {
				c.blames = append(c.blames, blame{cluster, i, more, span{c.counted.before, c.load.now()}})
			}
		}
	}
	c.counted = n
	return true
}

// rest waits until all sessions have ended, and holds weir's counters against each other and against the clients'.
func (c *chaos) rest() {
	c.t.Helper()
	var r *chaosReport
	eventually(c.t, "all sessions end", func() bool {
		r = c.report()
		return r.Process.Connections.Active == 0
	})
	c.poll()
	c.follow()
	for _, l := range r.Listeners {
		closed, bad := 0, 0
		for reason, n := range l.Closed {
			closed += n
			switch reason {
			case "downstream_closed", "downstream_reset", "idle_timeout":
			case "upstream_closed", "upstream_reset", "upstream_refused", "endpoint_down", "connect_refused", "connect_timeout":
				bad += n
			default:
				if n > 0 {
					c.complain(nil, "%d sessions of %s ended with %s", n, l.Name, reason)
				}
			}
		}
		if closed+l.Connections.Active != l.Connections.Total || l.Connections.Active != 0 {
			c.complain(nil, "%s had %d sessions, has %d, and ended %d: %v", l.Name, l.Connections.Total, l.Connections.Active, closed, l.Closed)
		}
		c.holdAgainst(&l, bad)
	}
	for _, cluster := range r.Clusters {
		if l := cluster.Limits; cluster.Connections.Active != 0 || l.Connections != 0 || l.Pending != 0 || l.Retrying != 0 || cluster.InUse != len(c.backends) {
			c.complain(nil, "%s at rest has %d connections, %+v, and %d endpoints in use", cluster.Name, cluster.Connections.Active, l, cluster.InUse)
		}
		sum := 0
		for i := range cluster.Endpoints {
			sum += cluster.Endpoints[i].Connections.Total
			c.restOf(cluster.Name, i, &cluster.Endpoints[i])
		}
		if sum != cluster.Connections.Total {
			c.complain(nil, "%s: %d connections, of its endpoints %d", cluster.Name, cluster.Connections.Total, sum)
		}
	}
}

// restOf holds what weir counts of an endpoint at rest against its log.
func (c *chaos) restOf(cluster string, i int, e *chaosEndpoint) {
	c.t.Helper()
	logged := c.logged(cluster, i)
	if e.Connections.Active != 0 || e.Outlier.Ejected ||
		e.Check.Downs != logged["down"] || e.Check.Ups != logged["up"] || e.Outlier.Ejections != logged["ejected"] || e.Check.Downs != e.Check.Ups {
		c.complain([]int{i}, "%s at rest: weir logged of backend %d %v, and counts %+v", cluster, i, logged, e)
	}
}

// holdAgainst holds a listener's counters against the clients'. bad are its sessions that ended badly.
func (c *chaos) holdAgainst(l *listener, bad int) {
	c.t.Helper()
	c.load.mu.Lock()
	defer c.load.mu.Unlock()
	if l.Name == streamCluster {
		c.failed += len(c.failures)
		if n := l.Connections.Total; n < c.connected || n > c.connected+c.dials {
			c.complain(nil, "weir had %d connections, the clients %d, and %d that they don't know of", n, c.connected, c.dials)
		}
		if c.failed > bad {
			c.complain(nil, "%d connections failed, of which weir knows %d: %v", c.failed, bad, l.Closed)
		}
		return
	}
	dropped := 0
	for reason, n := range l.Dropped {
		dropped += n
		if n > 0 && !slices.Contains([]string{"refused", "no_flow"}, reason) {
			c.complain(nil, "%d datagrams were dropped: %s", n, reason)
		}
	}
	if l.Connections.Total < c.flows { // those that rest for long are others
		c.complain(nil, "weir had %d flows, the clients %d", l.Connections.Total, c.flows)
	}
	if n := l.Datagrams.ToUpstream; n > c.datagrams || n+dropped < c.datagrams {
		c.complain(nil, "the clients sent %d datagrams, weir %d of them on, and dropped %v", c.datagrams, n, l.Dropped)
	}
}

// balance makes connections and flows, one after another: they come to all endpoints alike.
func (c *chaos) balance() {
	c.t.Helper()
	before := c.count()
	for i := range serial * len(c.backends) {
		stream, err := net.DialTimeout("tcp4", c.stream, patience)
		c.once(stream, err, fmt.Sprintf("get c %d\n", i))
		c.connected++
	}
	for i := range serial / 10 * len(c.backends) {
		packets, err := c.openFlow()
		c.once(packets, err, fmt.Sprintf("get f %d", i))
		c.flows++
		c.datagrams++
	}
	eventually(c.t, "all of it ends", func() bool { return c.report().Process.Connections.Active == 0 })
	after := c.count()
	for cluster, each := range map[string]int{streamCluster: serial, packetCluster: serial / 10} {
		for i := range c.backends {
			if n := after.total[cluster][i] - before.total[cluster][i]; math.Abs(float64(n-each)) > 1 {
				c.complain([]int{i}, "at rest backend %d in %s had %d of %d connections, want %d", i, cluster, n, each*len(c.backends), each)
			}
		}
	}
	c.poll()
}

// once asks and is answered.
func (c *chaos) once(conn net.Conn, err error, question string) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(question)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		c.t.Fatalf("at rest: %v", err)
	}
}

// resources are what weir has at rest.
type resources struct {
	descriptors int
	pipes       int // of the loops' pools
	resident    int // bytes
}

func (r resources) String() string {
	return fmt.Sprintf("weir has %d descriptors, %d pipes among them, and %d KiB resident", r.descriptors, r.pipes, r.resident>>10)
}

func (c *chaos) resources() resources {
	c.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.w.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	report := c.report()
	r := resources{descriptors: len(entries), resident: report.Process.Resident}
	for _, l := range report.Loops {
		r.pipes += l.Pipes
	}
	return r
}

// leaks waits until weir has no more descriptors than before, but for its pools'.
func (c *chaos) leaks(before resources) (after resources) {
	c.t.Helper()
	eventually(c.t, "weir has closed its descriptors", func() bool {
		after = c.resources()
		return after.descriptors-2*after.pipes <= before.descriptors-2*before.pipes
	})
	return after
}

// checkLog looks for what must not be in weir's log at all.
func (c *chaos) checkLog() {
	c.t.Helper()
	for line := range strings.Lines(c.w.out.String()) {
		for _, bad := range []string{"level=ERROR", "DATA RACE", "panic", "fatal error", "goroutine "} {
			if strings.Contains(line, bad) {
				c.complain(nil, "weir says %s", line)
			}
		}
	}
}

// stutter measures by how much this process's timers are late.
type stutter struct {
	mu   sync.Mutex
	lags []lag
}

func newStutter(t *testing.T, start time.Time) *stutter {
	s, stop, done := new(stutter), make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	const every = 5 * time.Millisecond
	go func() {
		defer close(done)
		timer := time.NewTimer(every)
		for before := time.Since(start); ; {
			select {
			case <-stop:
				return
			case <-timer.C:
			}
			now := time.Since(start)
			if by := now - before - every; by > every {
				s.mu.Lock()
				s.lags = append(s.lags, lag{span{before, now}, by})
				s.mu.Unlock()
			}
			before = now
			timer.Reset(every)
		}
	}()
	return s
}

func (s *stutter) take() []lag {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lags
	s.lags = nil
	return l
}
