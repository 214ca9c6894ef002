package tcp

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/access"
	"weir/lb"
)

// Clients and endpoints of all kinds, over two loops, while listener, clusters, health, limits, who may come in and the stage of pressure change under
// them: at any time every session that was accepted is there or has ended for one reason, and at the end everything that sessions take was given back.
func TestChaos(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, seed) })
	}
}

// behave is one end of a session: it reads and writes and ends in one of the ways that there are, by chance.
func behave(c *net.TCPConn, rng *rand.Rand) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond)) // one that waits for a silent other goes
	buf := make([]byte, 64<<10)
	for range rng.IntN(6) {
		switch rng.IntN(7) {
		case 0:
			_ = c.SetLinger(0)
			return
		case 1:
			_ = c.CloseWrite()
		case 2:
			_, _ = c.Write(buf[:1+rng.IntN(100)])
		case 3:
			_, _ = c.Write(buf)
			_, _ = c.Write(buf)
			_, _ = c.Write(buf)
		case 4:
			_, _ = c.Read(buf[:1+rng.IntN(100)])
		case 5:
			_, _ = c.Read(buf)
		case 6:
			_ = sendUrgent(c, '!')
		}
	}
}

// chaosSources are where clients come from.
var chaosSources = []string{"127.0.0.1", "127.0.0.2", "127.1.0.3"}

func chaos(t *testing.T, seed uint64) {
	const workers, each = 16, 200
	refuses := refusing(t) // has a descriptor, too
	files := openFiles(t)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	draw := func() *rand.Rand { // a generator of one's own
		mu.Lock()
		defer mu.Unlock()
		return rand.New(rand.NewPCG(dice.Uint64(), 2))
	}
	var addrs []string
	var backends []*backend
	for range 3 {
		b := serve(t, func(c *net.TCPConn) { behave(c, draw()) })
		backends = append(backends, b)
		addrs = append(addrs, b.addr)
	}
	addrs = append(addrs, refuses)
	o := rigOptions{loops: 2, attempts: 2, timeout: 100 * time.Millisecond, max: 10}
	r := newRig(t, o, addrs...)

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // the operator
		defer close(stopped)
		rng := draw()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				r.change(rng)
			}
		}
	}()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			rng := draw()
			for range each {
				c, err := r.from(chaosSources[rng.IntN(len(chaosSources))])
				if err != nil {
					continue // reset before it knew
				}
				behave(c, rng)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-stopped
	for i := range r.loops {
		r.do(i, func(p *Proxy) { p.Drain(0) })
	}
	r.wantNothingLeft()
	r.wantAllGivenBack()
	for _, source := range chaosSources {
		if s := r.listener.Gate.Sources(); s != nil && s.Active(netip.MustParseAddr(source)) != 0 {
			t.Errorf("source %s has %d connections", source, s.Active(netip.MustParseAddr(source)))
		}
	}
	for i := range r.loops {
		r.do(i, func(p *Proxy) { p.loop.DropIdlePipes() })
		if n := r.loops[i].Stats().Pipes; n != 0 {
			t.Errorf("loop %d: %d pipes are lost", i, n)
		}
	}
	for _, b := range backends {
		_ = b.ln.Close()
	}
	// The two loops' own: an epoll, an eventfd, a timer and perhaps a ring each.
	r.eventually("no descriptor is lost", func() bool { return openFiles(t) <= files+8 })
	t.Logf("%d sessions:%s", r.listener.Loops[0].Sessions.Load()+r.listener.Loops[1].Sessions.Load(), r.reasons())
}

// change changes something that an operator can change.
func (r *rig) change(rng *rand.Rand) {
	set := *r.settings
	set.Buffer = 4 << 10 << rng.IntN(6)
	set.MaxConnections = int64(rng.IntN(8)) // 0: none
	set.HalfCloseTimeout = time.Duration(rng.IntN(3)) * 20 * time.Millisecond
	set.IdleTimeout = time.Duration(rng.IntN(3)) * 50 * time.Millisecond
	set.MaxDuration = time.Duration(rng.IntN(3)) * 80 * time.Millisecond
	members := make([]lb.Member, len(r.cluster.Endpoints))
	for i, e := range r.cluster.Endpoints {
		members[i] = lb.Member{
			Endpoint: e.Balance, Weight: uint32(rng.IntN(3)), MaxConnections: int64(rng.IntN(6)),
			Health: lb.Health(rng.IntN(6) / 2), Backup: rng.IntN(6) == 0,
		}
	}
	now := r.cluster.Latest()
	changed, err := now.Set().Next(lb.Options{Policy: lb.Policy(rng.IntN(7)), PanicThreshold: float64(rng.IntN(2)) / 2}, members)
	if err != nil {
		r.t.Error(err)
		return
	}
	next := now
	publishes := rng.IntN(3)
	if publishes > 0 {
		next = now.Next(now.Endpoints, changed)
		next.Attempts = 1 + rng.IntN(3)
		next.Limits = l4.Limits{
			MaxConnections: int64(rng.IntN(8)), MaxPending: int64(rng.IntN(8)), PendingTimeout: time.Duration(1+rng.IntN(50)) * time.Millisecond,
			MaxRetries: int64(rng.IntN(4)), RetryBudget: float64(rng.IntN(3)) / 2,
		}
	}
	if publishes > 1 { // else the listener has it first
		defer next.Publish(changed)
	} else {
		next.Publish(changed)
	}
	switch rng.IntN(6) {
	case 0:
		set.Access = &access.Rules{MaxPerSource: int64(1 + rng.IntN(5)), PerSource: access.NewRate(2000, 5)}
	case 1:
		set.Access = &access.Rules{Filter: access.NewFilter(nil, []netip.Prefix{netip.MustParsePrefix("127.1.0.0/16")}), Rate: access.NewRate(3000, 10)}
	}
	stage := l4.Stage(max(0, rng.IntN(12)-8))
	idle := rng.IntN(4) == 0 // as if all had rested for long
	if set.Routes.Default = (l4.Target{Clusters: []*l4.Cluster{next}}); rng.IntN(10) == 0 {
		set.Routes.Default = l4.Target{}
	}
	leaving := next.Endpoints[rng.IntN(len(next.Endpoints))]
	drains := rng.IntN(10)
	r.shared.SetMax(int64(4+rng.IntN(12)), 0, l4.SessionDescriptors)
	for i, loop := range r.loops {
		p := r.proxies[i]
		err := loop.Do(func() {
			p.Update(r.listener, &set)
			switch drains {
			case 0:
				p.DrainEndpoint(leaving, 5*time.Millisecond)
			case 1:
				p.DrainListener(r.listener, 5*time.Millisecond)
			case 2:
				p.pause(p.find(r.listener), forDescriptors)
			case 3:
				p.CloseEndpoint(leaving)
			}
			for i := range p.sessions.Cap() {
				if s := p.sessions.At(i); idle && s.state != ended {
					s.active -= int64(10 * time.Second)
				}
			}
			p.Overload(stage)
			if stage > l4.StageCalm {
				p.sweep()
			}
			var ended uint64
			for reason := range l4.NumReasons {
				ended += r.listener.Loops[i].Closed[reason].Load()
			}
			if began := r.listener.Loops[i].Sessions.Load(); began != ended+uint64(p.sessions.Len()) {
				r.t.Errorf("loop %d: %d accepted, %d ended, %d are there", i, began, ended, p.sessions.Len())
			}
		})
		if err != nil {
			r.t.Error(err)
		}
	}
}

// wantNothingLeft waits until no session is left, and checks that all they took was given back and all that began was counted to its end.
func (r *rig) wantNothingLeft() {
	r.t.Helper()
	r.eventually("no session is left", func() bool { return r.shared.Active() == 0 })
	for i, loop := range r.loops {
		r.eventually("no drain is under way", func() (over bool) {
			r.do(i, func(p *Proxy) {
				over = true
				for _, d := range p.drains {
					over = over && !d.running
				}
			})
			return over
		})
		p := r.proxies[i]
		if err := loop.Do(func() {
			if p.sessions.Len() != 0 || p.attempts.Len() != 0 {
				r.t.Errorf("loop %d: %d sessions and %d attempts are out", i, p.sessions.Len(), p.attempts.Len())
			}
			if p.limited != 0 {
				r.t.Errorf("loop %d: %d listeners wait for a place", i, p.limited)
			}
			for j, ln := range p.listening {
				if ln != nil {
					r.t.Errorf("loop %d: listener %d is kept: %+v", i, j, *ln)
				}
			}
		}); err != nil {
			r.t.Fatal(err)
		}
		c := &r.listener.Loops[i]
		var ended, timed uint64
		for reason := range l4.NumReasons {
			ended += c.Closed[reason].Load()
		}
		var durations l4.HistogramReading
		durations.Add(&c.Duration)
		timed = durations.Count()
		if n := c.Sessions.Load(); n != ended || n != timed || n != p.counters.Sessions.Load() || c.Active.Load() != 0 || p.counters.Active.Load() != 0 {
			r.t.Errorf("loop %d: %d accepted, %d ended, %d timed, %d active", i, n, ended, timed, c.Active.Load())
		}
	}
	if n := r.shared.Waiters(); n != 0 {
		r.t.Errorf("%d loops wait for a place", n)
	}
	if n := r.listener.Active(); n != 0 {
		r.t.Errorf("the listener has %d sessions", n)
	}
	for _, e := range r.cluster.Endpoints {
		if n := e.Balance.Active(); n != 0 {
			r.t.Errorf("endpoint %s has %d sessions", e.Address, n)
		}
	}
}
