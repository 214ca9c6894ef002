package udp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/access"
	"weir/l4/flow"
	"weir/lb"
)

// Clients and endpoints of all kinds, over two loops, while listener, cluster, limits, rules, health and stages change under them: at the end every flow has ended for
// one reason, every datagram was sent on or dropped for one, all that flows take was given back, and nobody has heard what was another's. Beside
// them, on the same loops, are clients of a listener and an endpoint that nothing happens to but reloads: those lose nothing.
func TestChaos(t *testing.T) { quietly(t, allChaos) }

func allChaos(t *testing.T) {
	for seed := range uint64(2) {
		for _, o := range []rigOptions{{}, {plain: true, ring: -1}} {
			t.Run(fmt.Sprintf("seed=%d/plain=%v/ring=%v", seed, o.plain, o.ring == 0), func(t *testing.T) { newChaos(t, seed, o).run() })
		}
	}
}

type chaos struct {
	*rig
	t    *testing.T
	safe *l4.Listener
	at   netip.AddrPort // safe's
	set  Settings       // safe's

	mu       sync.Mutex
	dice     *rand.Rand
	ports    map[string]uint16 // of weir, by the question that an endpoint was asked from there
	redrawn  int
	late     sync.WaitGroup // answers
	answered atomic.Int64
	stop     chan struct{}
	moody    []*moody
}

// moody is an endpoint that comes and goes, and does what it likes while it is there.
type moody struct {
	at  netip.AddrPort
	end *end // nil = gone
}

// draw returns a generator of one's own.
func (c *chaos) draw() *rand.Rand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return rand.New(rand.NewPCG(c.dice.Uint64(), 2))
}

func newChaos(t *testing.T, seed uint64, o rigOptions) *chaos {
	c := &chaos{t: t, dice: rand.New(rand.NewPCG(seed, 1)), ports: map[string]uint16{}, stop: make(chan struct{})}
	var addrs []netip.AddrPort
	for range 4 {
		m := &moody{}
		m.end = newEnd(t)
		m.at = m.end.at
		go m.end.serve(c.behave(c.draw()))
		c.moody, addrs = append(c.moody, m), append(addrs, m.at)
	}
	o.loops = 2
	o.settings.Rules.Idle = 50 * time.Millisecond
	o.settings.Access = &access.Rules{MaxPerSource: 20}
	c.rig = newRig(t, o, addrs...)

	fds := listen(t, &o)
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	c.at, c.safe = at, l4.NewListener("safe", o.loops)
	c.more = append(c.more, c.safe)
	c.set = Settings{Receive: buffer, Routes: l4.Routes{Default: l4.Target{Clusters: []*l4.Cluster{newCluster(t, "safe", o, serve(t, echo).at)}}}}
	c.doAll(func(i int, p *Proxy) {
		if err := p.Listen(c.safe, &c.set, fds[i:i+1]); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *chaos) run() {
	files := openFiles(c.t)
	var clients, all sync.WaitGroup
	ready := make(chan struct{}, 4)
	for range cap(ready) {
		e := newEnd(c.t)
		all.Go(func() { c.careful(e, ready) })
	}
	for range cap(ready) { // their flows are there before anything happens
		<-ready
	}
	all.Go(c.operate)
	for i := range 12 {
		clients.Go(func() { c.wild(i) })
	}
	clients.Wait()
	close(c.stop)
	all.Wait()
	for _, m := range c.moody {
		if m.end != nil {
			_ = m.end.conn.Close()
		}
	}
	c.late.Wait()
	c.shared.SetMax(0, 0, l4.FlowDescriptors)
	c.overload(l4.StageCalm)
	c.endDrains()
	c.finish()
	c.wantSources("127.0.0.1", 0)
	for i := range c.safe.Loops {
		for d := range l4.NumDrops {
			if n := c.safe.Loops[i].Dropped[d].Load(); n != 0 {
				c.t.Errorf("%d datagrams of careful clients were dropped as %s", n, d)
			}
		}
	}
	c.eventually("no descriptor is lost", func() bool { return openFiles(c.t) <= files })
	c.t.Logf("%d flows, %d answers, %d late ones with a port that was drawn again:%s", c.began(), c.answered.Load(), c.redrawn, c.counts())
}

// careful is a client to whom nothing may happen.
func (c *chaos) careful(e *end, ready chan<- struct{}) {
	rng := c.draw()
	for n := 0; ; n++ {
		select {
		case <-c.stop:
			_ = e.conn.Close()
			return
		default:
		}
		var want [][]byte
		for k := range 1 + rng.IntN(8) {
			b := pattern(n, k, rng.IntN(1400))
			want = append(want, b)
			e.send(c.at, b)
		}
		for k, b := range want {
			a, err := e.receiveWithin(waiting)
			if err != nil || !bytes.Equal(a.data, b) || a.from != c.at {
				c.t.Errorf("round %d, datagram %d of a careful client: %d bytes of %d from %v, and %v", n, k, len(a.data), len(b), a.from, err)
				return
			}
		}
		if n == 0 {
			ready <- struct{}{}
		}
	}
}

// behave is what a moody endpoint does with a datagram.
func (c *chaos) behave(rng *rand.Rand) func(e *end, a arrival) {
	return func(e *end, a arrival) {
		c.mu.Lock()
		c.ports[string(a.data)] = a.from.Port()
		c.mu.Unlock()
		switch rng.IntN(6) {
		case 0: // nothing
		case 1:
			echo(e, a)
			echo(e, a)
		case 2:
			later(&c.late, time.Duration(1+rng.IntN(50))*time.Millisecond, e, a)
		default:
			echo(e, a)
		}
	}
}

// wild is a client that asks, vanishes, and comes back from the same port.
func (c *chaos) wild(number int) {
	const steps = 400
	rng := c.draw()
	var e *end
	for n := range steps {
		if e == nil || rng.IntN(20) == 0 {
			at := netip.MustParseAddrPort("127.0.0.1:0")
			if e != nil {
				_ = e.conn.Close()
				if rng.IntN(2) == 0 {
					at = e.at
				}
			}
			var err error
			if e, err = tryEnd(c.t, at); err != nil {
				e = newEnd(c.t)
			}
		}
		for k := range 1 + rng.IntN(3) {
			e.send(c.addr, fmt.Appendf(nil, "%d/%d/%d", number, n, k))
		}
		for {
			a, err := e.receiveWithin(time.Duration(rng.IntN(4000)) * time.Microsecond)
			if err != nil {
				break
			}
			if a.from != c.addr {
				continue // late, and to a port that is the client's now
			}
			c.answered.Add(1)
			if !bytes.HasPrefix(a.data, fmt.Appendf(nil, "%d/", number)) {
				c.stranger(e, string(a.data))
			}
		}
	}
	_ = e.conn.Close()
}

// stranger looks into an answer to another's question: it may come only with a port of weir's that the kernel has drawn again.
func (c *chaos) stranger(e *end, question string) {
	c.mu.Lock()
	port := c.ports[question]
	c.redrawn++
	c.mu.Unlock()
	flows, same := 0, false
	c.doAll(func(_ int, p *Proxy) {
		for id := flow.ID(1); uint32(id) < p.table.Cap(); id++ {
			if !p.table.Live(id) || p.table.At(id).client.AddrPort() != e.at {
				continue
			}
			flows++
			for i := p.table.At(id).upstream; i != 0; i = p.upstreams.At(i - 1).next {
				own, err := unix.Getsockname(int(p.upstreams.At(i - 1).fd))
				if v4, ok := own.(*unix.SockaddrInet4); err == nil && ok && v4.Port == int(port) {
					same = true
				}
			}
		}
	})
	if flows > 0 && !same {
		c.t.Errorf("client %v heard the answer to %s, which was asked from port %d", e.at, question, port)
	}
}

// rules are some of who may come in.
func rules(rng *rand.Rand) *access.Rules {
	switch rng.IntN(8) {
	case 0:
		return &access.Rules{Filter: access.NewFilter(nil, prefixes("127.0.0.0/8"))}
	case 1, 2, 3:
		return &access.Rules{
			MaxPerSource: int64(rng.IntN(20)), Rate: access.NewRate(float64(rng.IntN(3)*500), 5), PerSource: access.NewRate(float64(rng.IntN(3)*500), 5),
		}
	}
	return nil
}

// operate changes what an operator can change, and what happens to endpoints.
func (c *chaos) operate() {
	rng := c.draw()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		switch rng.IntN(11) {
		case 0, 1:
			m := c.moody[rng.IntN(len(c.moody))]
			if m.end != nil {
				_ = m.end.conn.Close()
				m.end = nil
			} else if e, err := tryEnd(c.t, m.at); err == nil {
				m.end = e
				go e.serve(c.behave(c.draw()))
			}
		case 2:
			next := c.nextCluster(func(_ int, m *lb.Member) {
				*m = lb.Member{Endpoint: m.Endpoint, Weight: uint32(rng.IntN(3)), MaxConnections: int64(rng.IntN(4) * 5), State: lb.State(rng.IntN(5) / 3), Health: m.Health}
			})
			next.KeepFlows, next.Limits = rng.IntN(3) == 0, l4.Limits{MaxConnections: int64(rng.IntN(3) * 8)}
			c.setCluster(next)
			leaves := c.cluster.Endpoints[rng.IntN(len(c.cluster.Endpoints))]
			c.doAll(func(_ int, p *Proxy) { p.DrainEndpoint(leaves, 5*time.Millisecond) })
		case 3:
			c.update(func(s *Settings) {
				s.MaxFlows = int64(rng.IntN(20))
				s.PerPacket = rng.IntN(6) == 0
				s.Access = rules(rng)
				s.Rules = flow.Rules{
					Idle: time.Duration(1+rng.IntN(60)) * time.Millisecond, MaxDuration: time.Duration(rng.IntN(3)*100) * time.Millisecond, Responses: int64(rng.IntN(3)),
				}
			})
		case 4:
			c.rebind(c.duplicates())
		case 5:
			o := rigOptions{loops: 2, plain: rng.IntN(2) == 0, listen: eventloop.DatagramOptions{Addr: c.addr}}
			c.rebind(listen(c.t, &o))
		case 6:
			c.doAll(func(_ int, p *Proxy) { p.DrainListener(c.listener, 5*time.Millisecond) })
			c.shared.SetMax(int64(5+rng.IntN(30)), 0, l4.FlowDescriptors)
		case 7: // what a monitor says
			var up []bool
			for range c.moody {
				up = append(up, rng.IntN(4) > 0)
			}
			c.publish(up...)
		case 8:
			c.overload(l4.Stage(rng.IntN(int(l4.NumStages))))
		case 9:
			c.overload(l4.StageCalm)
		case 10: // a reload of the listener that nothing else happens to
			c.doAll(func(_ int, p *Proxy) {
				fd, err := unix.FcntlInt(uintptr(p.sockets.At(p.find(c.safe).sockets[0]).fd), unix.F_DUPFD_CLOEXEC, 3)
				if err == nil {
					err = p.Rebind(c.safe, &c.set, []int{fd})
				}
				if err != nil {
					c.t.Error(err)
				}
			})
		}
	}
}
