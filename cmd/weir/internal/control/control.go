package control

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weir/cmd/weir/internal/admin"
	"weir/cmd/weir/internal/build"
	"weir/cmd/weir/internal/resolve"
	"weir/cmd/weir/internal/stats"
	"weir/config"
	"weir/eventloop"
	"weir/l4"
	"weir/l4/monitor"
	"weir/l4/tcp"
	"weir/l4/udp"
)

// Options configure a Control. Snapshot and Log are required.
type Options struct {
	Snapshot *config.Snapshot
	Log      *slog.Logger
	Version  string // of weir, for the administrative side
	Seed     uint64 // of the balancing policies; 0 = drawn from crypto/rand
}

// Control is a running weir. Its methods may be called from anywhere but from a loop.
type Control struct {
	// Immutable after New.
	log      *slog.Logger
	version  string
	loops    []stats.Loop
	shared   *l4.Shared
	started  time.Time
	files    files
	failed   chan error
	ran      bool
	monitor  *monitor.Monitor
	resolver *resolve.Resolver
	overload overload
	quit     chan struct{}  // closed when it begins to stop
	watchers sync.WaitGroup // those that look at the loops until then
	done     chan struct{}  // closed when the loops have stopped

	view atomic.Pointer[stats.View]

	changing sync.Mutex // held for the whole of Apply, before mu

	mu         sync.Mutex
	configured *config.Snapshot           // what was applied last; running has the endpoints that were discovered as well
	sought     map[string]config.Discover // what the resolver looks for: of the configuration that is being applied, from its first moment on
	behind     bool                       // running isn't what it is to be: watch tries again
	behindWhy  string                     // which was logged
	mostUnmet  int64                      // the process.max_connections for which there are too few descriptors, which was logged; 0 = there are enough
	running    *build.Running
	sockets    sockets
	// drained are the UDP ports that listeners have given up, and until when flows may keep them.
	drained  map[uint16]time.Time
	bound    map[string][]netip.AddrPort // by listener: where it listens in fact
	buffers  map[string]buffers          // by UDP listener
	admin    *admin.Server
	reloads  stats.Reloads
	draining bool
}

// ErrDraining says that a change came after the end had begun.
var ErrDraining = errors.New("weir is shutting down")

// New starts the loops and applies the first configuration. On an error nothing runs. The error is that of ctx if it ends before discovery has had its
// first answers, for which New waits three seconds at most.
func New(ctx context.Context, o Options) (*Control, error) {
	c, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	c.watchers.Go(c.watch)
	c.watchers.Go(c.watchOverload)
	return c, nil
}

// begin is New without what goes on looking.
func begin(ctx context.Context, o Options) (*Control, error) {
	if o.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		o.Seed = binary.NativeEndian.Uint64(b[:])
	}
	cpus, quota, err := processors()
	if err != nil {
		return nil, err
	}
	n := loopCount(o.Snapshot.Process.Loops, cpus, quota)
	running, err := build.First(new(config.Snapshot), build.Options{Loops: n, Seed: o.Seed})
	if err != nil {
		return nil, err
	}
	c := &Control{
		log: o.Log, version: o.Version, started: time.Now(), files: raiseFiles(), shared: l4.NewShared(n, 0),
		failed: make(chan error, n), quit: make(chan struct{}), done: make(chan struct{}),
		configured: new(config.Snapshot), running: running,
		sockets: sockets{}, drained: map[uint16]time.Time{}, bound: map[string][]netip.AddrPort{},
	}
	setMaxProcs(n)
	c.overload.memory = findMemory(os.DirFS("/"))
	c.overload.setMemoryLimit(c.overload.memory.limit())
	c.monitor = monitor.New(monitor.Options{Log: o.Log, Seed: o.Seed, Probes: c.files.probes(), Down: c.endpointDown})
	c.resolver = resolve.New(resolve.Options{Log: o.Log, Seed: o.Seed, Found: c.found})
	for i := range n {
		if err := c.addLoop(i, n, cpus, o); err != nil {
			c.stop()
			return nil, fmt.Errorf("loop %d: %w", i, err)
		}
	}
	c.files.measure()
	c.ran = true
	for i := range c.loops {
		go c.run(i)
	}
	if err := c.change(ctx, o.Snapshot); err != nil {
		c.stop()
		return nil, err
	}
	c.weigh(c.pressure())
	return c, nil
}

func (c *Control) addLoop(i, n int, cpus []int, o Options) error {
	loop, err := eventloop.New(eventloop.Options{
		Pin: o.Snapshot.Process.Pin, CPU: cpus[i%len(cpus)], MaxPipes: c.files.pipes(n),
		Clock: func() int64 { return int64(time.Since(c.started)) }, // one for all loops: what limits rates is shared
	})
	if err != nil {
		return err
	}
	seed := o.Seed + uint64(i)
	c.loops = append(c.loops, stats.Loop{
		Loop: loop,
		TCP:  tcp.New(tcp.Options{Loop: loop, ID: i, Shared: c.shared, Seed: seed}),
		UDP:  udp.New(udp.Options{Loop: loop, ID: i, Shared: c.shared, Seed: seed}),
	})
	return nil
}

func (c *Control) run(i int) {
	if err := c.loops[i].Loop.Run(); err != nil {
		c.failed <- fmt.Errorf("loop %d: %w", i, err)
	}
}

// Failed tells that a loop has ended by itself. The process should end then.
func (c *Control) Failed() <-chan error { return c.failed }

// View returns the present picture of what runs.
func (c *Control) View() *stats.View { return c.view.Load() }

// Snapshot returns the configuration that was applied last. Endpoints that were discovered aren't in it; the View has them.
func (c *Control) Snapshot() *config.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.configured
}

// publish makes a new View. With the mutex held.
func (c *Control) publish() {
	v := &stats.View{
		Started: c.started, Loops: c.loops, Shared: c.shared, Clusters: c.running.Clusters,
		Draining: c.draining, Reloads: c.reloads,
		Checks: c.monitor.Stats, Pressure: c.measured, Discovery: c.discovery,
	}
	for _, l := range c.running.Listeners {
		b := c.buffers[l.Name]
		v.Listeners = append(v.Listeners, stats.Listener{
			Name: l.Name, Protocol: string(l.Config.Protocol), Binds: c.bound[l.Name], MaxConnections: l.MaxConnections(), State: l.State,
			ReceiveBuffer: b.receive.given, SendBuffer: b.send.given,
		})
	}
	c.view.Store(v)
}

// drainPoll is how often Shutdown looks whether the last session has ended.
const drainPoll = 10 * time.Millisecond

// Shutdown stops accepting, ends the sessions gradually over the configuration's drain_timeout, and stops the loops. When ctx ends
// first, the sessions that are left end at once. From its call on, the View says Draining and Apply refuses.
func (c *Control) Shutdown(ctx context.Context) {
	c.mu.Lock()
	if c.draining {
		c.mu.Unlock()
		<-c.done
		return
	}
	c.draining = true
	over := c.running.Snapshot.Process.DrainTimeout
	c.publish()
	c.mu.Unlock()

	c.log.Info("draining", "sessions", c.shared.Active(), "over", over)
	c.drain(over)
	ticker := time.NewTicker(drainPoll)
	defer ticker.Stop()
	for c.shared.Active() > 0 && ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	if left := c.shared.Active(); left > 0 {
		c.log.Warn("ending the sessions that are left", "sessions", left)
		c.drain(0)
	}
	c.stop()
}

func (c *Control) drain(over time.Duration) {
	for _, l := range c.loops {
		_ = l.Loop.Do(func() { // a loop that has stopped has no sessions
			l.TCP.Drain(over)
			l.UDP.Drain(over)
		})
	}
}

// endpointDown has the loops know of an endpoint that has gone down.
func (c *Control) endpointDown(e *l4.Endpoint, closeSessions bool) {
	for i := range c.loops {
		l := &c.loops[i]
		_ = l.Loop.Post(func() { // a loop that has stopped has no sessions
			l.UDP.LeaveEndpoint(e)
			if closeSessions {
				l.TCP.CloseEndpoint(e)
			}
		})
	}
}

// stop ends all there is, whatever New has come to: what looks after the endpoints and the loops first, since it posts to them, the administrative side
// last. Without the mutex.
func (c *Control) stop() {
	c.mu.Lock()
	c.draining = true // nothing is taken up any more
	c.mu.Unlock()
	close(c.quit)
	c.resolver.Close()
	c.monitor.Close()
	c.watchers.Wait()
	for _, l := range c.loops {
		l.Loop.Stop()
	}
	for _, l := range c.loops {
		if c.ran {
			<-l.Loop.Stopped()
		}
		l.Loop.Destroy()
	}
	close(c.done)
	if c.admin != nil {
		c.closeAdmin(c.admin)
	}
}
