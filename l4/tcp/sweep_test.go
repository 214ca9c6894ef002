package tcp

import (
	"net"
	"slices"
	"testing"
	"time"

	"weir/l4"
	"weir/lb"
)

// talked opens sessions of an echo endpoint, each after the other, and returns the clients. On a rig of one loop their sessions are those from the first
// index on, in order.
func (r *rig) talked(n int) (clients []*net.TCPConn) {
	r.t.Helper()
	for range n {
		c := r.dial()
		mustWrite(r.t, c, "x")
		mustRead(r.t, c, "x")
		clients = append(clients, c)
	}
	return clients
}

// age lets a session have rested for so long.
func (r *rig) age(i int, d time.Duration) {
	r.do(0, func(p *Proxy) { p.sessions.At(uint32(i)).active = p.loop.Now() - int64(d) })
}

// While idle timeouts are shortened, who has rested for an eighth of it ends, with FIN, and nobody else: not who talks, nor who has said that it has finished.
func TestShortenedIdle(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{settings: Settings{IdleTimeout: 80 * time.Second, HalfCloseTimeout: time.Hour}}, b.addr)
	clients := r.talked(6)
	ages := []time.Duration{0, 11 * time.Second, 9 * time.Second, 60 * time.Second, 10 * time.Second, 70 * time.Second}
	for i, age := range ages {
		r.age(i, age)
	}
	r.do(0, func(p *Proxy) {
		p.sessions.At(5).firstFIN = downstream + 1
		p.Overload(l4.StageShorten)
	})
	for _, i := range []int{1, 3, 4} {
		mustEOF(t, clients[i])
	}
	r.do(0, func(p *Proxy) { p.sweep() }) // once more, whole
	if n := r.closed(l4.Overloaded); n != 3 || r.shared.Active() != 3 {
		t.Fatalf("ended%s", r.reasons())
	}
	for _, i := range []int{0, 2} {
		mustWrite(t, clients[i], "y")
		mustRead(t, clients[i], "y")
	}
	// It goes on as long as the pressure lasts, and no longer. Each tick sets the next.
	r.age(2, 10*time.Second)
	mustEOF(t, clients[2])
	r.do(0, func(p *Proxy) { p.Overload(l4.StageCalm) })
	r.eventually("the sweep has ended", func() (ended bool) {
		r.do(0, func(p *Proxy) { ended = !p.pressure.Running() })
		return ended
	})
	r.age(0, 70*time.Second)
	mustWrite(t, clients[0], "y")
	mustRead(t, clients[0], "y")
	if n := r.closed(l4.Overloaded); n != 4 {
		t.Fatalf("ended%s", r.reasons())
	}
}

// Stages that come and go as fast as can be leave one timer at most: each sweep is another's successor.
func TestSweepTimers(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	r.talked(1)
	r.do(0, func(p *Proxy) {
		started := 0
		for range 100 {
			was := p.pressure.Running()
			p.Overload(l4.StageShed)
			if !was && p.pressure.Running() {
				started++
			}
			p.Overload(l4.StageCalm)
		}
		if started != 1 {
			t.Errorf("%d timers were started", started)
		}
	})
	r.eventually("the sweep has ended", func() (ended bool) {
		r.do(0, func(p *Proxy) { ended = !p.pressure.Running() })
		return ended
	})
	r.do(0, func(p *Proxy) {
		if p.Overload(l4.StageShorten); !p.pressure.Running() {
			t.Error("it does not begin again")
		}
		p.Overload(l4.StageCalm)
	})
}

// To shed, a sweep ends a sixty-fourth of the sessions, one at least: those that have rested longest, and none that hasn't rested for a second.
func TestShed(t *testing.T) {
	const many = 130
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	clients := r.talked(many)
	order := make([]int, many) // by how long they have rested: the first longest
	for i := range order {
		order[i] = (i*37 + 5) % many
	}
	r.do(0, func(p *Proxy) {
		for at, i := range order {
			age := 10*time.Second - time.Duration(at)*10*time.Millisecond
			if at >= 100 {
				age = restAfter - time.Duration(at)*time.Millisecond
			}
			p.sessions.At(uint32(i)).active = p.loop.Now() - int64(age)
		}
		p.pressure.Stage = l4.StageShed
		for gone := 0; gone < 100; {
			p.sweep()
			due := max(1, (many-gone)/64)
			for _, i := range order[gone : gone+due] {
				if p.sessions.At(uint32(i)).state != ended {
					t.Errorf("with %d gone, session %d is still there", gone, i)
				}
			}
			if gone += due; p.sessions.Len() != many-gone {
				t.Errorf("%d are left, want %d", p.sessions.Len(), many-gone)
				return
			}
		}
		p.sweep()
		p.pressure.Stage = l4.StageCalm
	})
	if n := r.closed(l4.Overloaded); n != 100 {
		t.Fatalf("ended%s", r.reasons())
	}
	for at, i := range order {
		if at < 100 {
			mustEOF(t, clients[i])
			continue
		}
		mustWrite(t, clients[i], "y")
		mustRead(t, clients[i], "y")
	}
}

// At the last stage nobody is accepted, who is in stays in, and places that are given back let nobody in; when it is over, who has waited in the kernel's queue comes in.
func TestRefuseStage(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{loops: 2, settings: Settings{MaxConnections: 100}, max: 100}, b.addr)
	in := r.talked(4)
	for i := range r.loops {
		r.do(i, func(p *Proxy) { p.Overload(l4.StageRefuse) })
	}
	before := r.accepted()
	var queue []*net.TCPConn
	for range 10 {
		c := r.dial()
		mustWrite(t, c, "z")
		queue = append(queue, c)
	}
	r.eventually("accepting has paused", func() bool {
		return r.listener.Loops[0].PausesLimit.Load()+r.listener.Loops[1].PausesLimit.Load() > 0
	})
	reset(t, in[3])
	r.eventually("it has ended", func() bool { return r.shared.Active() == 3 })
	for _, c := range in[:3] {
		mustWrite(t, c, "y")
		mustRead(t, c, "y")
	}
	if !slices.Equal(before, r.accepted()) {
		t.Fatalf("accepted %v, and then %v", before, r.accepted())
	}
	for i := range r.loops {
		r.do(i, func(p *Proxy) { p.Overload(l4.StageShed) })
	}
	for _, c := range queue {
		mustRead(t, c, "z")
	}
	for i := range r.loops {
		r.do(i, func(p *Proxy) {
			p.Overload(l4.StageCalm)
			p.Drain(0)
		})
	}
	r.wantNothingLeft()
}

// All sessions of an endpoint that goes down end with resets, however many, and no others.
func TestCloseEndpoint(t *testing.T) {
	const many, others = 2*closeBatch + 100, 20
	down, up := serve(t, echo), serve(t, echo)
	r := newRig(t, rigOptions{policy: lb.First}, down.addr, up.addr)
	r.health(lb.Unhealthy, lb.Healthy)
	stay := r.talked(others / 2)
	r.health(lb.Healthy, lb.Unhealthy)
	gone := r.talked(many)
	r.health(lb.Unhealthy, lb.Healthy)
	stay = append(stay, r.talked(others/2)...)
	r.do(0, func(p *Proxy) { p.CloseEndpoint(r.cluster.Endpoints[0]) })
	for _, c := range gone {
		mustReset(t, c)
	}
	for _, c := range stay {
		mustWrite(t, c, "y")
		mustRead(t, c, "y")
	}
	if n := r.closed(l4.EndpointDown); n != many || r.shared.Active() != others || r.cluster.Endpoints[0].Balance.Active() != 0 {
		t.Fatalf("ended%s", r.reasons())
	}
	if n := r.cluster.Endpoints[0].Conduct.Failures(); n != 0 {
		t.Errorf("%d failures are counted", n)
	}
}

// Who is being connected to an endpoint that goes down goes to another, and ends if it has no attempt left.
func TestCloseEndpointWhileConnecting(t *testing.T) {
	for _, attempts := range []int{1, 2} {
		up := serve(t, echo)
		r := newRig(t, rigOptions{policy: lb.First, attempts: attempts, timeout: time.Hour}, dropping(t), up.addr)
		var clients []*net.TCPConn
		for range 10 {
			c := r.dial()
			mustWrite(t, c, "early")
			clients = append(clients, c)
		}
		endpoint := r.cluster.Endpoints[0]
		r.eventually("all are being connected", func() bool { return endpoint.Balance.Active() == 10 })
		r.health(lb.Unhealthy, lb.Healthy)
		r.do(0, func(p *Proxy) { p.CloseEndpoint(endpoint) })
		for _, c := range clients {
			if attempts == 1 {
				mustReset(t, c)
				continue
			}
			mustRead(t, c, "early")
			reset(t, c)
		}
		if attempts == 1 && r.closed(l4.EndpointDown) != 10 || endpoint.Balance.Active() != 0 || endpoint.Conduct.Failures() != 0 {
			t.Errorf("ended%s; the endpoint has %d connections and %d failures", r.reasons(), endpoint.Balance.Active(), endpoint.Conduct.Failures())
		}
		r.wantAllGivenBack()
	}
}
