package l4

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/lb"
)

// placesCluster returns a cluster whose endpoints have so many places each, 0 = no limit.
func placesCluster(t testing.TB, limits Limits, places ...int64) *Cluster {
	t.Helper()
	var endpoints []*Endpoint
	for i := range places {
		endpoints = append(endpoints, NewEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80), 1))
	}
	c := NewCluster("c", endpoints, placesSet(t, nil, endpoints, places), 1)
	c.Limits = limits
	return c
}

// placesSet returns a set of endpoints with other numbers of places; those with fewer than 0 are unhealthy.
func placesSet(t testing.TB, before *lb.Set, endpoints []*Endpoint, places []int64) *lb.Set {
	t.Helper()
	var members []lb.Member
	for i, e := range endpoints {
		m := lb.Member{Endpoint: e.Balance, Weight: 1, MaxConnections: max(places[i], 0)}
		if places[i] < 0 {
			m.Health = lb.Unhealthy
		}
		members = append(members, m)
	}
	set, err := lb.NewSet(lb.Options{}, members)
	if before != nil {
		set, err = before.Next(lb.Options{}, members)
	}
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// guest is a connection of the model: it does what a session does, one step at a time.
type guest struct {
	Waiter
	cluster *Cluster
	step    step
	on      *Endpoint
	number  int // in the order of arrival, of those that wait
}

type step uint8

const (
	comes  step = iota // has found no place, or others that wait: is to enter
	looks              // in the queue: is to look for a place
	fails              // has found none: is to rest
	sleeps             // waits to be woken
	has                // has a place
	went
)

// model is a world of guests whose steps come in any order.
type model struct {
	t       *testing.T
	rng     *rand.Rand
	cluster *Cluster
	guests  []*guest
	turns   []*guest // posted; they run in any order, as on many loops
	arrived int
	calm    bool // no publishes, so that the order holds strictly
	served  int
}

func (m *model) arrive() {
	g := &guest{cluster: m.cluster}
	g.Wake = func() { m.turns = append(m.turns, g) }
	if n := m.waiting(g); g.cluster.Places.Waiting() == 0 && m.look(g) == Picked && n > 0 {
		m.t.Fatalf("a newcomer has a place, and %d wait", n)
	}
	m.guests = append(m.guests, g)
}

// enter lets one into the queue.
func (m *model) enter(g *guest) {
	others, most := m.waiting(g), g.cluster.Limits.MaxPending
	m.arrived++
	g.number = m.arrived
	switch g.cluster.Places.Enter(&g.Waiter, most) {
	case Refused:
		if int64(others) < most {
			m.t.Fatalf("refused, and %d of %d wait", others, most)
		}
		g.step = went
	case Queued:
		if others == 0 {
			m.t.Fatal("queued behind nobody")
		}
		g.step = sleeps
	case Tries:
		if others > 0 {
			m.t.Fatal("tries before others that wait")
		}
		g.step = looks
	}
}

// waiting counts those in the queue, but for one.
func (m *model) waiting(but *guest) (n int) {
	for _, g := range m.guests {
		if g != but && g.step > comes && g.step < has {
			n++
		}
	}
	return n
}

func (m *model) look(g *guest) Verdict {
	i, v := g.cluster.Pick(new(lb.Request))
	if v == Picked {
		g.on, g.step = g.cluster.Endpoints[i], has
		m.served++
	}
	return v
}

// advance lets one guest do its next step.
func (m *model) advance(g *guest) {
	p := g.cluster.Places
	switch g.step {
	case comes:
		m.enter(g)
	case looks:
		g.cluster = g.cluster.Latest()
		switch m.look(g) {
		case Picked:
			p.Leave(&g.Waiter, true)
			for _, other := range m.guests {
				if m.calm && other.step == sleeps && other.state == queued && other.number < g.number {
					m.t.Fatalf("%d has a place before %d, who was queued", g.number, other.number)
				}
			}
		case NoneUsable:
			g.step = went
			p.Leave(&g.Waiter, false)
		default:
			g.step = fails
		}
	case fails:
		if g.step = looks; p.Rest(&g.Waiter) {
			g.step = sleeps
		}
	case has:
		g.step = went
		g.on.Release()
	}
}

// runTurn runs a posted turn, or a stale one.
func (m *model) runTurn() {
	i := m.rng.IntN(len(m.turns))
	g := m.turns[i]
	m.turns = append(m.turns[:i], m.turns[i+1:]...)
	if !g.cluster.Places.Claim(&g.Waiter) {
		return
	}
	if g.step != sleeps {
		m.t.Fatalf("one is woken in step %d", g.step)
	}
	g.step = looks
}

func (m *model) leave(g *guest) {
	if g.step > comes && g.step < has {
		g.step = went
		g.cluster.Places.Leave(&g.Waiter, false)
	}
}

// publish changes how much room there is, or makes a successor.
func (m *model) publish() {
	places := make([]int64, len(m.cluster.Endpoints))
	for i := range places {
		places[i] = int64(1 + m.rng.IntN(3))
		if m.rng.IntN(6) == 0 {
			places[i] = -1
		}
	}
	set := placesSet(m.t, m.cluster.Set(), m.cluster.Endpoints, places)
	if m.rng.IntN(2) == 0 {
		limits := m.cluster.Limits
		limits.MaxConnections = int64(m.rng.IntN(5))
		m.cluster = m.cluster.Next(m.cluster.Endpoints, set)
		m.cluster.Limits = limits
	}
	m.cluster.Publish(set)
}

// settle lets everybody come to rest who is not waiting to be woken or has a place, and checks that nobody waits for nothing.
func (m *model) settle() {
	for busy := true; busy; {
		for busy = false; len(m.turns) > 0; {
			m.runTurn()
		}
		for _, g := range m.guests {
			if g.step < sleeps {
				m.advance(g)
				busy = true
			}
		}
	}
	if n := m.waiting(nil); n > 0 {
		switch i, v := m.cluster.Pick(new(lb.Request)); v {
		case Picked:
			m.t.Fatalf("%d wait, and there is a place on endpoint %d", n, i)
		case NoneUsable:
			m.t.Fatalf("%d wait, and no endpoint is usable", n)
		}
	}
	if a, b := int64(m.waiting(nil)), m.cluster.Places.Waiting(); a != b {
		m.t.Fatalf("%d wait, counted are %d", a, b)
	}
}

// sweep forgets those that went.
func (m *model) sweep() {
	kept := m.guests[:0]
	for _, g := range m.guests {
		if g.step != went {
			kept = append(kept, g)
		}
	}
	m.guests = kept
}

// Whatever the order in which guests of a cluster come, look, rest, go, and are woken, and its room changes: none is forgotten, and none is overtaken.
func TestPlacesModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 3)), calm: seed%2 == 0}
			m.cluster = placesCluster(t, Limits{MaxPending: int64(1 + m.rng.IntN(20)), MaxConnections: int64(m.rng.IntN(4))}, 1, 2, 1)
			for range 3000 {
				var g *guest
				if len(m.guests) > 0 {
					g = m.guests[m.rng.IntN(len(m.guests))]
				}
				switch n := m.rng.IntN(100); {
				case n < 20:
					m.arrive()
				case n < 45 && len(m.turns) > 0:
					m.runTurn()
				case n < 90 && g != nil && (g.step != has || n < 60):
					m.advance(g)
				case n < 95 && g != nil:
					m.leave(g)
				case n < 97 && !m.calm:
					m.publish()
				case n < 99:
					m.settle()
				default:
					m.sweep()
				}
			}
			for m.settle(); len(m.guests) > 0; m.settle() {
				m.sweep()
				for _, g := range m.guests {
					if g.step == has {
						m.advance(g)
					}
				}
			}
			p := m.cluster.Places
			if p.Active() != 0 || p.Waiting() != 0 || p.looking != 0 || p.first != nil || p.last != nil || m.served == 0 {
				t.Fatalf("at the end %d are active, %d wait, %d look; %d had a place", p.Active(), p.Waiting(), p.looking, m.served)
			}
		})
	}
}

// Goroutines as loops: each of thousands of guests gets a place in the end, or leaves by itself, and never are there too many at once.
func TestPlacesConcurrently(t *testing.T) {
	const loops, each = 4, 3000
	for _, places := range []int64{1, 2, 3} {
		t.Run(fmt.Sprint(places), func(t *testing.T) {
			c := placesCluster(t, Limits{MaxPending: 1 << 20, MaxConnections: places}, 2, 2)
			var now, most, served, left atomic.Int64
			var running sync.WaitGroup
			for id := range loops {
				l := &placesLoop{cluster: c, turns: make(chan func(), 1<<16), rng: rand.New(rand.NewPCG(uint64(id), 4)), now: &now, most: &most, served: &served, left: &left}
				running.Go(func() { l.run(each) })
			}
			over := make(chan struct{})
			go func() { running.Wait(); close(over) }()
			select {
			case <-over:
			case <-time.After(60 * time.Second):
				t.Fatalf("of %d guests %d had a place and %d left; %d wait, %d are active", loops*each, served.Load(), left.Load(), c.Places.Waiting(), c.Places.Active())
			}
			if served.Load()+left.Load() != loops*each || most.Load() > places {
				t.Errorf("%d had a place, %d left, %d at once", served.Load(), left.Load(), most.Load())
			}
			p := c.Places
			if p.Active() != 0 || p.Waiting() != 0 || p.looking != 0 || p.first != nil || c.Endpoints[0].Balance.Active()+c.Endpoints[1].Balance.Active() != 0 {
				t.Errorf("at the end %d are active, %d wait, %d look", p.Active(), p.Waiting(), p.looking)
			}
		})
	}
}

type placesLoop struct {
	cluster                 *Cluster
	turns                   chan func()
	rng                     *rand.Rand
	now, most, served, left *atomic.Int64
	waits                   []*guest
	holds                   []*guest
	free                    []*guest // to be used again, with the turns that are still posted
}

func (l *placesLoop) run(guests int) {
	for guests > 0 || len(l.waits)+len(l.holds) > 0 {
		if guests > 0 && l.rng.IntN(3) == 0 {
			guests--
			l.arrive()
		}
		for n := len(l.turns); n > 0; n-- {
			(<-l.turns)()
		}
		if n := len(l.holds); n > 0 && l.rng.IntN(2) == 0 {
			g := l.holds[n-1]
			l.holds = l.holds[:n-1]
			l.now.Add(-1)
			g.on.Release()
			l.free = append(l.free, g)
		}
		if n := len(l.waits); n > 0 && l.rng.IntN(200) == 0 {
			l.drop(l.waits[l.rng.IntN(n)], false)
		}
		runtime.Gosched()
	}
}

func (l *placesLoop) arrive() {
	var g *guest
	if n := len(l.free); n > 0 {
		g, l.free = l.free[n-1], l.free[:n-1]
	} else {
		g = &guest{cluster: l.cluster}
		turn := func() {
			if g.cluster.Places.Claim(&g.Waiter) {
				l.try(g)
			}
		}
		g.Wake = func() { l.turns <- turn }
	}
	p := l.cluster.Places
	if p.Waiting() == 0 && l.took(g) {
		return
	}
	l.waits = append(l.waits, g)
	if p.Enter(&g.Waiter, l.cluster.Limits.MaxPending) == Tries {
		l.try(g)
	}
}

func (l *placesLoop) try(g *guest) {
	for {
		if l.took(g) {
			l.drop(g, true)
			return
		}
		if l.cluster.Places.Rest(&g.Waiter) {
			return
		}
	}
}

func (l *placesLoop) took(g *guest) bool {
	i, v := l.cluster.Pick(new(lb.Request))
	if v != Picked {
		return false
	}
	for n := l.now.Add(1); ; {
		if old := l.most.Load(); n <= old || l.most.CompareAndSwap(old, n) {
			break
		}
	}
	g.on = l.cluster.Endpoints[i]
	l.holds = append(l.holds, g)
	l.served.Add(1)
	return true
}

// drop takes one off those that wait.
func (l *placesLoop) drop(g *guest, served bool) {
	for i, other := range l.waits {
		if other == g {
			l.waits = append(l.waits[:i], l.waits[i+1:]...)
			break
		}
	}
	l.cluster.Places.Leave(&g.Waiter, served)
	if !served {
		l.left.Add(1)
		l.free = append(l.free, g)
	}
}
