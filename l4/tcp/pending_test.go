package tcp

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l4"
	"weir/lb"
)

// gauge counts how many there are at once, and the most that there were.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) up() {
	for n := g.now.Add(1); ; {
		if old := g.most.Load(); n <= old || g.most.CompareAndSwap(old, n) {
			return
		}
	}
}

// counting is an endpoint that answers four bytes with the same, and counts in the gauges. Before the client can know, and its place be free, it counts down.
func counting(t testing.TB, gauges ...*gauge) *backend {
	t.Helper()
	return serve(t, func(c *net.TCPConn) {
		for _, g := range gauges {
			g.up()
		}
		var b [4]byte
		n, _ := io.ReadFull(c, b[:])
		for _, g := range gauges {
			g.now.Add(-1)
		}
		_, _ = c.Write(b[:n])
	})
}

// ask is a whole session with a counting endpoint.
func (r *rig) ask() error {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	var b [4]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	if string(b[:]) != "ping" {
		return fmt.Errorf("read %q", b)
	}
	return nil
}

// crowd has so many clients ask so often each, and returns how many were refused.
func (r *rig) crowd(clients, rounds int) (refused int64) {
	var n atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range rounds {
				if r.ask() != nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return n.Load()
}

// sum adds a counter of the cluster over the loops.
func (r *rig) sum(of func(*l4.ClusterCounters) *atomic.Uint64) (n uint64) {
	for i := range r.cluster.Loops {
		n += of(&r.cluster.Loops[i]).Load()
	}
	return n
}

// wantAllGivenBack waits until nothing is taken any more.
func (r *rig) wantAllGivenBack() {
	r.t.Helper()
	p := r.cluster.Places
	for _, n := range []struct {
		of  string
		get func() int64
	}{
		{"the process", r.shared.Active}, {"the listener", r.listener.Active}, {"the cluster", p.Active}, {"the queue", p.Waiting}, {"the retries", p.Retrying},
		{"the endpoints", func() (n int64) {
			for _, e := range r.cluster.Endpoints {
				n += e.Balance.Active()
			}
			return n
		}},
	} {
		r.eventually("nothing is taken of "+n.of, func() bool { return n.get() == 0 })
	}
	for i := range r.loops {
		r.do(i, func(p *Proxy) {
			if p.sessions.Len() != 0 || p.attempts.Len() != 0 || p.sources.Len() != 0 {
				r.t.Errorf("loop %d: %d sessions, %d attempts and %d sources are out", i, p.sessions.Len(), p.attempts.Len(), p.sources.Len())
			}
		})
	}
}

// watch samples a number until the test's end and fails when it was above the most.
func watch(t *testing.T, what string, most int64, get func() int64) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				if n := get(); n > most {
					t.Errorf("%s: %d, at most %d", what, n, most)
					return
				}
			}
		}
	}()
	return func() { close(end); <-ended }
}

// Limits of endpoints and clusters are exact over all loops: neither the endpoints nor the counters ever see more. Who finds no place waits, and all are
// served; with room for a few in the queue, some are refused, and the rest is served.
func TestLimitsExact(t *testing.T) {
	for _, tc := range []struct {
		name           string
		loops          int
		each, of       int64 // places of an endpoint, of the cluster
		pending        int64
		clients, times int
	}{
		{"endpoints", 3, 2, 0, 1000, 40, 12},
		{"cluster", 3, 0, 3, 1000, 40, 12},
		{"both", 4, 2, 3, 1000, 40, 12},
		{"one", 2, 1, 1, 1000, 20, 12},
		{"short queue", 3, 2, 3, 4, 40, 25},
		{"no queue", 3, 2, 3, 0, 40, 25},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var all gauge
			one, two := new(gauge), new(gauge)
			o := rigOptions{loops: tc.loops, members: []lb.Member{{Weight: 1, MaxConnections: tc.each}, {Weight: 1, MaxConnections: tc.each}}}
			o.limits = l4.Limits{MaxConnections: tc.of, MaxPending: tc.pending, PendingTimeout: 10 * time.Minute}
			r := newRig(t, o, counting(t, one, &all).addr, counting(t, two, &all).addr)
			most := tc.of
			if most == 0 {
				most = 2 * tc.each
			}
			places := r.cluster.Places
			stops := []func(){watch(t, "active", most, places.Active), watch(t, "waiting", tc.pending, places.Waiting)}
			for _, e := range r.cluster.Endpoints {
				if tc.each > 0 {
					stops = append(stops, watch(t, "on an endpoint", tc.each, e.Balance.Active))
				}
			}
			refused := r.crowd(tc.clients, tc.times)
			for _, stop := range stops {
				stop()
			}
			if all.most.Load() > most || tc.each > 0 && max(one.most.Load(), two.most.Load()) > tc.each {
				t.Errorf("the endpoints have seen %d and %d, %d together", one.most.Load(), two.most.Load(), all.most.Load())
			}
			r.wantAllGivenBack()
			var counted uint64
			switch full := r.closed(l4.EndpointsFull) + r.closed(l4.ClusterFull); {
			case tc.pending == 0:
				counted = r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.Full }) + r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.ClusterFull })
				if counted != full {
					t.Errorf("%d counted, and closed%s", counted, r.reasons())
				}
			default:
				counted = r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.PendingFull })
				if full != 0 || counted != r.closed(l4.PendingFull) {
					t.Errorf("%d counted, and closed%s", counted, r.reasons())
				}
			}
			if counted != uint64(refused) || tc.pending >= int64(tc.clients) && refused != 0 {
				t.Errorf("%d were refused, %d counted: %s", refused, counted, r.reasons())
			}
			if tc.pending > 0 && r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.Waited }) == 0 {
				t.Error("nobody has waited")
			}
		})
	}
}

// Thousands of sessions through a place or a few, over several loops: none is forgotten.
func TestPendingSoak(t *testing.T) {
	rounds := 120
	if testing.Short() {
		rounds = 20
	}
	for _, places := range []int64{1, 2, 3} {
		t.Run(fmt.Sprint(places), func(t *testing.T) {
			o := rigOptions{loops: 3, limits: l4.Limits{MaxConnections: places, MaxPending: 1000, PendingTimeout: time.Hour}}
			b := counting(t)
			r := newRig(t, o, b.addr, counting(t).addr)
			if n := r.crowd(15, rounds); n != 0 {
				t.Errorf("%d were not served: %s", n, r.reasons())
			}
			r.wantAllGivenBack()
		})
	}
}

// ordered is an endpoint that says in which order it was asked, by what clients send: four digits.
type ordered struct {
	*backend
	mu   sync.Mutex
	seen []int
}

func newOrdered(t testing.TB) *ordered {
	o := new(ordered)
	o.backend = serve(t, func(c *net.TCPConn) {
		var b [4]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return
		}
		n, _ := strconv.Atoi(string(b[:]))
		o.mu.Lock()
		o.seen = append(o.seen, n)
		o.mu.Unlock()
		_, _ = c.Write(b[:])
		_, _ = c.Read(b[:]) // until the client goes
	})
	return o
}

func (o *ordered) order() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

// holder connects and gets a place.
func (r *rig) holder(n int) *net.TCPConn {
	r.t.Helper()
	c := r.dial()
	mustWrite(r.t, c, fmt.Sprintf("%04d", n))
	mustRead(r.t, c, fmt.Sprintf("%04d", n))
	return c
}

// queue connects and waits for a place, as one of so many.
func (r *rig) queue(n int, of int64) *net.TCPConn {
	r.t.Helper()
	c := r.dial()
	mustWrite(r.t, c, fmt.Sprintf("%04d", n))
	r.eventually(fmt.Sprintf("%d wait", of), func() bool { return r.cluster.Places.Waiting() == of })
	return c
}

// onePlace is a cluster of one place and room to wait.
func onePlace(loops int) rigOptions {
	return rigOptions{loops: loops, limits: l4.Limits{MaxConnections: 1, MaxPending: 1000, PendingTimeout: time.Hour}}
}

// Places go to who has waited longest, over all loops. One that goes away while it waits is passed over.
func TestPendingOrder(t *testing.T) {
	const crowd = 40
	b := newOrdered(t)
	r := newRig(t, onePlace(4), b.addr)
	first := r.holder(0)
	want := []int{0}
	var clients []*net.TCPConn
	for n := range crowd {
		clients = append(clients, r.queue(n+1, int64(n+1)))
	}
	left := int64(crowd)
	for n, c := range clients {
		if n%5 == 2 { // from the middle, and the last but one
			reset(t, c)
			left--
			r.eventually("it has left", func() bool { return r.cluster.Places.Waiting() == left })
			continue
		}
		want = append(want, n+1)
	}
	reset(t, first)
	for n, c := range clients {
		if n%5 != 2 {
			mustRead(t, c, fmt.Sprintf("%04d", n+1))
			reset(t, c)
		}
	}
	if got := b.order(); !slices.Equal(got, want) {
		t.Errorf("served in the order %v, want %v", got, want)
	}
	r.wantAllGivenBack()
	var waits l4.HistogramReading
	for i := range r.cluster.Loops {
		waits.Add(&r.cluster.Loops[i].WaitTime)
	}
	if n := r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.Waited }); n != crowd || waits.Count() != uint64(left) {
		t.Errorf("%d have waited, %d got a place, want %d and %d", n, waits.Count(), crowd, left)
	}
}

// block stops a loop until it is let go.
func (r *rig) block(loop int) (letGo func()) {
	r.t.Helper()
	in, out := make(chan struct{}), make(chan struct{})
	if err := r.loops[loop].Post(func() { close(in); <-out }); err != nil {
		r.t.Fatal(err)
	}
	<-in
	var once sync.Once
	letGo = func() { once.Do(func() { close(out) }) }
	r.t.Cleanup(letGo)
	return letGo
}

// on connects until the connection is one of the loop's; those of others are reset.
func (r *rig) on(loop int, n int) *net.TCPConn {
	r.t.Helper()
	for range 200 {
		before := r.accepted()
		c := r.dial()
		mustWrite(r.t, c, fmt.Sprintf("%04d", n))
		var after []uint64
		r.eventually("it is accepted", func() bool { after = r.accepted(); return !slices.Equal(before, after) })
		if after[loop] != before[loop] {
			return c
		}
		active := r.shared.Active()
		reset(r.t, c)
		r.eventually("it has gone", func() bool { return r.shared.Active() < active })
	}
	r.t.Fatal("no connection comes to the loop")
	return nil
}

func (r *rig) accepted() (n []uint64) {
	for i := range r.listener.Loops {
		n = append(n, r.listener.Loops[i].Sessions.Load())
	}
	return n
}

// While one has been woken and its loop hasn't come to it yet, a newcomer on another loop finds a free place, and leaves it to the other.
func TestNewcomersQueue(t *testing.T) {
	b := newOrdered(t)
	r := newRig(t, onePlace(2), b.addr)
	holder := r.on(1, 1)
	mustRead(t, holder, "0001")
	waiter := r.on(0, 2)
	r.eventually("it waits", func() bool { return r.cluster.Places.Waiting() == 1 })
	letGo := r.block(0)
	reset(t, holder)
	r.eventually("the place is free", func() bool { return r.cluster.Places.Active() == 0 })
	var newcomer *net.TCPConn // on the loop that isn't blocked: the other doesn't accept
	for was := r.accepted()[1]; r.accepted()[1] == was; {
		newcomer = r.dial()
		mustWrite(t, newcomer, "0003")
		before := r.accepted()[1]
		for range 20 {
			r.do(1, func(*Proxy) {})
			if r.accepted()[1] != before {
				break
			}
		}
	}
	r.eventually("the newcomer waits as well", func() bool { return r.cluster.Places.Waiting() == 2 })
	if n := r.cluster.Places.Active(); n != 0 {
		t.Fatalf("%d have a place", n)
	}
	letGo()
	mustRead(t, waiter, "0002")
	reset(t, waiter)
	mustRead(t, newcomer, "0003")
	if got := b.order(); !slices.Equal(got[len(got)-2:], []int{2, 3}) {
		t.Errorf("served in the order %v", got)
	}
}

// One that was woken and goes before it has its place passes its turn on.
func TestTurnIsPassedOn(t *testing.T) {
	b := newOrdered(t)
	r := newRig(t, onePlace(2), b.addr)
	for range 10 {
		holder := r.on(1, 1)
		mustRead(t, holder, "0001")
		woken := r.on(0, 2)
		r.eventually("it waits", func() bool { return r.cluster.Places.Waiting() == 1 })
		next := r.on(1, 3)
		r.eventually("both wait", func() bool { return r.cluster.Places.Waiting() == 2 })
		letGo := r.block(0)
		reset(t, holder)
		r.eventually("the place is free", func() bool { return r.cluster.Places.Active() == 0 })
		reset(t, woken)
		letGo()
		mustRead(t, next, "0003")
		reset(t, next)
		r.eventually("all have gone", func() bool { return r.shared.Active() == 0 })
	}
	r.wantAllGivenBack()
}

// The ends of those that wait, or may not.
func TestPendingEnds(t *testing.T) {
	b := newOrdered(t)
	t.Run("timeout", func(t *testing.T) {
		o := onePlace(2)
		o.limits.PendingTimeout = 30 * time.Millisecond
		r := newRig(t, o, b.addr)
		holder := r.holder(1)
		for range 5 {
			r.mustBeCut(10 * time.Second)
		}
		r.eventually("all were counted", func() bool { return r.closed(l4.PendingTimeout) == 5 })
		if n := r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.PendingTimeout }); n != 5 {
			t.Errorf("the cluster counts %d", n)
		}
		mustWrite(t, holder, "x") // it isn't touched
		reset(t, holder)
		r.wantAllGivenBack()
	})
	t.Run("full queue", func(t *testing.T) {
		o := onePlace(2)
		o.limits.MaxPending = 2
		r := newRig(t, o, b.addr)
		holder := r.holder(1)
		second, third := r.queue(2, 1), r.queue(3, 2)
		r.mustBeCut(10 * time.Second)
		r.eventually("it is counted", func() bool { return r.closed(l4.PendingFull) == 1 })
		reset(t, holder)
		mustRead(t, second, "0002")
		reset(t, second)
		mustRead(t, third, "0003")
	})
	t.Run("no endpoint left", func(t *testing.T) {
		r := newRig(t, onePlace(2), b.addr)
		holder := r.holder(1)
		var waiting []*net.TCPConn
		for n := range 6 {
			waiting = append(waiting, r.queue(2, int64(n+1)))
		}
		r.health(lb.Unhealthy)
		reset(t, holder)
		for _, c := range waiting {
			mustReset(t, c)
		}
		r.eventually("they are counted", func() bool { return r.closed(l4.NoEndpoint) == 6 })
		r.wantAllGivenBack()
	})
	t.Run("drain", func(t *testing.T) {
		for _, over := range []time.Duration{0, 50 * time.Millisecond} {
			r := newRig(t, onePlace(3), b.addr)
			r.holder(1)
			var waiting []*net.TCPConn
			for n := range 9 {
				waiting = append(waiting, r.queue(2, int64(n+1)))
			}
			for i := range r.loops {
				r.do(i, func(p *Proxy) { p.Drain(over) })
			}
			for _, c := range waiting {
				_, _ = readToEnd(c) // reset, or served when the holder went first and then ended at rest
			}
			r.wantNothingLeft()
			r.wantAllGivenBack()
		}
	})
}

// health publishes a set of the cluster with other health of its endpoints.
func (r *rig) health(of ...lb.Health) {
	r.t.Helper()
	r.publish(func(i int, m *lb.Member) { m.Health = of[i] })
}

func (r *rig) publish(change func(int, *lb.Member)) {
	r.t.Helper()
	was := r.cluster.Set()
	members := make([]lb.Member, was.Len())
	for i := range members {
		members[i] = was.Member(i)
		change(i, &members[i])
	}
	set, err := was.Next(lb.Options{}, members)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cluster.Publish(set)
}

// Who waits goes on when there comes to be room: an endpoint comes up, its limit is raised, or the cluster is replaced by one with higher limits. For the
// last it takes the successor's first set, not the listener's new settings: also sessions of a listener that has gone use the room.
func TestRoomForWaiting(t *testing.T) {
	const crowd = 20
	for _, tc := range []struct {
		name  string
		widen func(*rig)
	}{
		{"an endpoint comes up", func(r *rig) { r.health(lb.Healthy, lb.Healthy) }},
		{"more connections to an endpoint", func(r *rig) { r.publish(func(_ int, m *lb.Member) { m.MaxConnections = 1000 }) }},
		{"a successor with more room", func(r *rig) {
			// Of other endpoints, in another order.
			var members []lb.Member
			endpoints := []*l4.Endpoint{r.cluster.Endpoints[1], r.cluster.Endpoints[0]}
			for _, e := range endpoints {
				members = append(members, lb.Member{Endpoint: e.Balance, Weight: 1})
			}
			set, err := r.cluster.Set().Next(lb.Options{}, members)
			if err != nil {
				r.t.Fatal(err)
			}
			next := r.cluster.Next(endpoints, set)
			next.Limits.MaxPending = 0
			next.Publish(set)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := rigOptions{loops: 3, limits: l4.Limits{MaxPending: 1000, PendingTimeout: time.Hour}}
			o.members = []lb.Member{{Weight: 1, MaxConnections: 1}, {Weight: 1, MaxConnections: 1000, Health: lb.Unhealthy}}
			r := newRig(t, o, newOrdered(t).addr, newOrdered(t).addr)
			holder := r.holder(1)
			var waiting []*net.TCPConn
			for n := range crowd {
				waiting = append(waiting, r.queue(2, int64(n+1)))
			}
			tc.widen(r)
			for _, c := range waiting {
				mustRead(t, c, "0002")
			}
			if n := r.cluster.Places.Active(); n != crowd+1 {
				t.Errorf("%d have a place", n)
			}
			mustWrite(t, holder, "x")
			for _, c := range append(waiting, holder) {
				reset(t, c)
			}
			r.wantAllGivenBack()
		})
	}
}
