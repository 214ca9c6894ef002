package monitor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/l4"
	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
)

// waiting is far longer than anything takes that a test waits for.
const waiting = 20 * time.Second

// eventually waits for a condition, in real time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(waiting)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v still not: %s", waiting, what)
		}
	}
}

// tally counts lines of a log by their text.
type tally struct {
	slog.Handler
	mu sync.Mutex
	of map[string]int
}

func newTally() *tally {
	return &tally{Handler: slog.NewTextHandler(io.Discard, nil), of: map[string]int{}}
}

func (c *tally) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(r.Message, "lines ") {
		c.of[r.Message]++
		return nil
	}
	r.Attrs(func(a slog.Attr) bool { c.of["lost"] += int(a.Value.Int64()); return true })
	return nil
}

// endless is a check without a result: the test reports those.
type endless struct{}

func (endless) Run(ctx context.Context, _ netip.AddrPort) error {
	<-ctx.Done()
	return ctx.Err()
}

// All endpoints of a large cluster go down and come up again. Changes go together, so that no more than a share of the time goes into sets; the last set
// is right, and nothing is lost.
func TestStorm(t *testing.T) {
	for policy := lb.RoundRobin; policy <= lb.First; policy++ {
		t.Run(policy.String(), func(t *testing.T) {
			lines, told := newTally(), atomic.Int64{}
			m := New(Options{Log: slog.New(lines), Seed: 1, Down: func(*l4.Endpoint, bool) { told.Add(1) }})
			defer m.Close()
			all := endpoints(many, 80)
			p := newPlan(t, "web", all, lb.Options{Policy: policy})
			p.Check = &Check{Check: endless{}, Rules: health.Rules{Interval: time.Hour, Fall: 1, Rise: 1}}
			cost := buildCost(t, p)
			m.Follow([]Plan{*p})
			began := time.Now()
			sets := watchSets(p.Cluster)
			const rounds = 2
			for round := range rounds {
				result, want := error(nil), many
				if round%2 == 0 {
					result, want = errSick, 0
				}
				var loops sync.WaitGroup
				for k := range 4 {
					loops.Go(func() {
						for i := k; i < many; i += 4 {
							m.clusters["web"].entries[i].target.Report(result, 0)
						}
					})
				}
				loops.Wait()
				eventually(t, "the last set is right", func() bool { return p.Cluster.Set().InUse() == want })
			}
			published, took := sets(), time.Since(began)
			share := float64(published-2) * float64(cost) / float64(took)
			t.Logf("a build takes %v; %d sets in %v, %.1f %% of the time", cost.Round(10*time.Microsecond), published, took.Round(time.Millisecond), 100*share)
			if share > 2.0/publishShare {
				t.Error("too much of the time goes into sets")
			}
			for _, e := range all {
				if c := e.Condition(); c.Check != health.Up || c.WentDown != rounds/2 || c.CameUp < rounds/2-1 {
					t.Fatalf("%v: %+v", e.Address, c)
				}
			}
			m.Close()
			if n := told.Load(); n != rounds/2*many {
				t.Errorf("%d endpoints were told to be down, want %d", n, rounds/2*many)
			}
			if n := lines.of["endpoint down"] + lines.of["endpoint up"] + lines.of["lost"]; n < rounds*many-many || lines.of["cluster has no endpoint left"] != rounds/2 {
				t.Errorf("%v", lines.of)
			}
		})
	}
}

// buildCost is what a build takes that can share nothing with the one before it: the least of some.
func buildCost(t *testing.T, p *Plan) time.Duration {
	t.Helper()
	least := time.Hour
	members := append([]lb.Member(nil), p.Members...)
	for i := range 3 {
		members[i].Health = lb.Unhealthy
		began := time.Now()
		if _, err := p.Cluster.Set().Next(p.Options, members); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	return least
}

// watchSets returns who says how many sets have been seen since that somebody picks from: an empty one costs next to nothing.
func watchSets(c *l4.Cluster) (seen func() int) {
	stop, n := make(chan struct{}), make(chan int)
	go func() {
		tick := time.NewTicker(time.Millisecond / 2)
		defer tick.Stop()
		count, last := 0, c.Set()
		for {
			if set := c.Set(); set != last {
				last = set
				if set.InUse() > 0 {
					count++
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				n <- count
				return
			}
		}
	}()
	return func() int { close(stop); return <-n }
}

// A log that stands still stops nothing; what finds no room in the end is counted.
func TestLogStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines, downs := newTally(), 0
		lines.mu.Lock()
		blocked := make(chan struct{})
		m := New(Options{Log: slog.New(slow{lines, blocked}), Down: func(*l4.Endpoint, bool) { downs++ }})
		all := endpoints(2, 80)
		p := newPlan(t, "web", all, lb.Options{})
		p.Check = &Check{Check: endless{}, Rules: health.Rules{Interval: time.Hour, Fall: 1, Rise: 1}}
		m.Follow([]Plan{*p})
		pass(time.Minute)
		target := m.clusters["web"].entries[0].target
		const rounds = mostLines + 1000
		for range rounds {
			target.Report(errSick, 0)
			target.Report(nil, 0)
		}
		target.Report(errSick, 0)
		m.Follow([]Plan{*p})
		synctest.Wait()
		if p.Cluster.Set().Uses(0) || downs != rounds+1 {
			t.Errorf("%d downs", downs)
		}
		lines.mu.Unlock()
		close(blocked)
		m.Close()
		if said := lines.of["endpoint down"] + lines.of["endpoint up"]; lines.of["lost"] < 2000 || said+lines.of["lost"] != 2*rounds+1 {
			t.Errorf("%v", lines.of)
		}
	})
}

// slow stands still until go is closed.
type slow struct {
	*tally
	blocked chan struct{}
}

func (s slow) Handle(ctx context.Context, r slog.Record) error {
	<-s.blocked
	return s.tally.Handle(ctx, r)
}

// Ten thousand changes, with other plans between them, and checks that connect in earnest: in the end there are no more goroutines, descriptors and bytes
// than there were.
func TestLeaks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	connects, err := probe.New(probe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, routines := openFiles(t), runtime.NumGoroutine()
	m := New(Options{Log: slog.New(slog.DiscardHandler), Seed: 1})
	real := newPlan(t, "real", []*l4.Endpoint{l4.NewEndpoint(netip.MustParseAddrPort(listener.Addr().String()), 2)}, lb.Options{})
	real.Check = &Check{Check: connects, Rules: health.Rules{Interval: 2 * time.Millisecond}}
	all := endpoints(100, 80)
	p := newPlan(t, "web", all, lb.Options{})
	fates := [2]*Check{}
	for i := range fates {
		fates[i] = &Check{Check: endless{}, Rules: health.Rules{Interval: time.Hour, Fall: 1, Rise: 1}}
	}
	changes := func(n int) {
		for n > 0 {
			next := p.with(t, all)
			next.Check, next.Outlier, next.SlowStart = fates[n%2], outliers(), time.Second
			tracker := newPlan(t, "tracker", endpoints(10, 81), lb.Options{})
			tracker.Track, tracker.Outlier = "web", outliers()
			m.Follow([]Plan{*next, *real, *tracker})
			for i := range all {
				m.mu.Lock()
				e := m.clusters["web"].entries[i]
				target, down := e.target, e.machine.State() != health.Down
				m.mu.Unlock()
				if down {
					target.Report(errSick, 0)
				} else {
					target.Report(nil, 0)
				}
				all[i].Failed(0)
				n--
			}
			m.Follow([]Plan{*real})
			p = next.with(t, nil).with(t, all)
		}
	}
	heap := func() uint64 {
		m.Follow([]Plan{*real})
		for range 3 {
			runtime.GC()
		}
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	changes(1000)
	warm := heap()
	changes(10_000)
	if now := heap(); now > warm+1<<19 {
		t.Errorf("the heap has grown from %d to %d bytes", warm, now)
	}
	eventually(t, "connections are made", func() bool { return real.Cluster.Endpoints[0].Condition().Checks > 10 })
	if c := real.Cluster.Endpoints[0].Condition(); c.Check != health.Up || c.ChecksFailed != 0 {
		t.Errorf("%+v", c)
	}
	m.Close()
	eventually(t, "goroutines and descriptors are back", func() bool { return runtime.NumGoroutine() <= routines && openFiles(t) <= files+1 })
}

// openFiles returns how many descriptors the process has.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(list)
}

// BenchmarkPublish is what it costs to publish the set of a large cluster when an endpoint has changed.
func BenchmarkPublish(b *testing.B) {
	for policy := lb.RoundRobin; policy <= lb.First; policy++ {
		for _, n := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%v/%d", policy, n), func(b *testing.B) {
				m := New(Options{Log: slog.New(slog.DiscardHandler)})
				defer m.Close()
				all := endpoints(n, 80)
				p := newPlan(b, "web", all, lb.Options{Policy: policy})
				m.Follow([]Plan{*p})
				m.mu.Lock()
				c := m.clusters["web"]
				m.mu.Unlock()
				for i := 0; b.Loop(); i++ {
					m.mu.Lock()
					e := c.entries[i%n]
					e.condition.Ejected = !e.condition.Ejected
					next := c.begin(time.Now())
					m.mu.Unlock()
					m.build(&next)
				}
			})
		}
	}
}

// BenchmarkLook is what a look costs that finds nothing to do, at 10,000 endpoints that may be ejected: when all is well, and when all fail, so that there
// is no room for more ejections.
func BenchmarkLook(b *testing.B) {
	for _, failing := range []bool{false, true} {
		b.Run(fmt.Sprintf("failing=%v", failing), func(b *testing.B) {
			m := New(Options{Log: slog.New(slog.DiscardHandler)})
			defer m.Close()
			all := endpoints(10_000, 80)
			p := newPlan(b, "web", all, lb.Options{})
			p.Outlier = outliers()
			p.Outlier.MaxEjected = 0.1
			m.Follow([]Plan{*p})
			m.look(time.Now())
			for _, e := range all {
				for range 3 * 10 {
					if failing {
						e.Failed(0)
					}
				}
			}
			m.look(time.Now())
			for b.Loop() {
				m.look(time.Now())
			}
		})
	}
}
