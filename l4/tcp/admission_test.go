package tcp

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/access"
)

// from connects from a loopback address.
func (r *rig) from(source string) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	c, err := d.Dial("tcp", r.addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(90 * time.Second))
}

// enters reports whether a client from there gets through to an echo; it stays if it is told to.
func (r *rig) enters(source string, stays bool) bool {
	c, err := r.from(source)
	if err != nil {
		return false
	}
	if stays {
		r.t.Cleanup(func() { _ = c.Close() })
	} else {
		defer func() { _ = c.Close() }()
	}
	var b [1]byte
	_, _ = c.Write(b[:])
	_, err = c.Read(b[:])
	return err == nil
}

// rules gives the listener other rules, on all loops.
func (r *rig) rules(rules *access.Rules) {
	set := *r.settings
	set.Access = rules
	for i := range r.loops {
		r.do(i, func(p *Proxy) { p.Update(r.listener, &set) })
	}
}

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// Who is not let in gets a reset, for the reason that is counted, and costs no endpoint anything.
func TestNotLetIn(t *testing.T) {
	const tries = 12
	for _, tc := range []struct {
		name   string
		rules  access.Rules
		admits int // of 127.0.0.1
		other  bool
		reason l4.CloseReason
	}{
		{"denied", access.Rules{Filter: access.NewFilter(nil, prefixes("127.0.0.1/32"))}, 0, true, l4.Denied},
		{"not allowed", access.Rules{Filter: access.NewFilter(prefixes("127.0.0.2/31"), nil)}, 0, true, l4.Denied},
		{"rate", access.Rules{Rate: access.NewRate(1e-6, 5)}, 5, false, l4.RateLimited},
		{"rate of each source", access.Rules{PerSource: access.NewRate(1e-6, 4)}, 4, true, l4.SourceRateLimited},
		{"connections of each source", access.Rules{MaxPerSource: 3}, 3, true, l4.SourceLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := serve(t, echo)
			loops := 3
			if tc.reason == l4.RateLimited {
				loops = 1 // a loop whose clock is behind finds the last token a moment later
			}
			r := newRig(t, rigOptions{loops: loops, settings: Settings{Access: &tc.rules}}, b.addr)
			for n := range tries {
				if in := r.enters("127.0.0.1", true); in != (n < tc.admits) {
					t.Fatalf("number %d: let in is %v, of %d", n+1, in, tc.admits)
				}
			}
			r.mustBeCut(10 * time.Second)
			r.eventually("all are counted", func() bool { return r.closed(tc.reason) == uint64(tries-tc.admits)+1 })
			if other := r.enters("127.0.0.2", true); other != tc.other {
				t.Errorf("another source is let in: %v", other)
			}
			if n := r.cluster.Endpoints[0].Balance.Active(); n > int64(tc.admits)+1 {
				t.Errorf("the endpoint has %d connections", n)
			}
			for i := range r.loops {
				r.do(i, func(p *Proxy) { p.Drain(0) })
			}
			r.wantAllGivenBack()
			if s := r.listener.Gate.Sources(); s != nil && s.Active(netip.MustParseAddr("127.0.0.1")) != 0 {
				t.Error("the source has connections")
			}
		})
	}
}

// The limit of a source is exact over all loops, and another source has its own.
func TestSourceLimitExact(t *testing.T) {
	const limit, crowd, rounds = 3, 20, 15
	var seen gauge
	b := counting(t, &seen)
	r := newRig(t, rigOptions{loops: 4, settings: Settings{Access: &access.Rules{MaxPerSource: limit}}}, b.addr)
	// The listener's place is given back when the client can know already that the endpoint has answered, so it's by the Gate's count that some are refused.
	stop := watch(t, "connections of the source", limit, func() int64 {
		if s := r.listener.Gate.Sources(); s != nil {
			return s.Active(netip.MustParseAddr("127.0.0.1"))
		}
		return 0
	})
	refused := r.crowd(crowd, rounds)
	stop()
	if seen.most.Load() > limit {
		t.Errorf("the endpoint has seen %d at once", seen.most.Load())
	}
	r.wantAllGivenBack()
	if n := r.closed(l4.SourceLimit); n != uint64(refused) || n == 0 {
		t.Errorf("%d were refused, and closed%s", refused, r.reasons())
	}
}

// Whatever the ends of sessions, and however the rules change meanwhile: at the end no source has a connection.
func TestSourcesGivenBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var mu sync.Mutex
	draw := func() *rand.Rand {
		mu.Lock()
		defer mu.Unlock()
		return rand.New(rand.NewPCG(rng.Uint64(), 1))
	}
	b := serve(t, func(c *net.TCPConn) { behave(c, draw()) })
	o := rigOptions{loops: 3, attempts: 2, timeout: 30 * time.Millisecond, settings: Settings{IdleTimeout: 40 * time.Millisecond, Access: &access.Rules{MaxPerSource: 9}}}
	o.limits = l4.Limits{MaxConnections: 6, MaxPending: 4, PendingTimeout: 20 * time.Millisecond}
	r := newRig(t, o, b.addr, refusing(t), dropping(t))
	sources := []string{"127.0.0.1", "127.0.0.2", "127.1.0.3"}
	var clients, operator sync.WaitGroup
	var over atomic.Bool
	operator.Go(func() {
		rng := draw()
		kinds := []*access.Rules{
			nil, {MaxPerSource: 4}, {MaxPerSource: 1}, {PerSource: access.NewRate(500, 3)}, {Filter: access.NewFilter(nil, prefixes("127.1.0.0/16"))},
			{Rate: access.NewRate(1000, 3), MaxPerSource: 8}, {Filter: access.NewFilter(prefixes("127.0.0.0/24"), nil), MaxPerSource: 2},
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !over.Load() {
			<-tick.C
			r.rules(kinds[rng.IntN(len(kinds))])
			r.do(rng.IntN(3), func(p *Proxy) {
				if rng.IntN(10) == 0 {
					p.CloseEndpoint(r.cluster.Endpoints[rng.IntN(3)])
				}
			})
		}
	})
	for range 12 {
		clients.Go(func() {
			rng := draw()
			for range 100 {
				if c, err := r.from(sources[rng.IntN(len(sources))]); err == nil {
					behave(c, rng)
				}
			}
		})
	}
	clients.Wait()
	over.Store(true)
	operator.Wait()
	for i := range r.loops {
		r.do(i, func(p *Proxy) { p.Drain(0) })
	}
	r.wantNothingLeft()
	r.wantAllGivenBack()
	for _, source := range sources {
		if n := r.listener.Gate.Sources().Active(netip.MustParseAddr(source)); n != 0 {
			t.Errorf("%s has %d connections", source, n)
		}
	}
	t.Log(r.reasons())
}

// Who isn't let in displaces nobody, and at a limit, too, takes nothing.
func TestDeniedDisplaceNobody(t *testing.T) {
	b := serve(t, echo)
	rules := &access.Rules{Filter: access.NewFilter(nil, prefixes("127.0.0.9/32"))}
	r := newRig(t, rigOptions{max: 2, settings: Settings{Access: rules}}, b.addr)
	for range 2 {
		c := r.dial()
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
	}
	if err := r.loops[0].Do(func() {
		for i := range uint32(2) {
			r.proxies[0].sessions.At(i).active -= int64(displaceAfter)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r.enters("127.0.0.9", false) {
			t.Error("a stranger was let in")
		}
	}
	r.eventually("they are counted", func() bool { return r.closed(l4.Denied) == 3 })
	if n := r.closed(l4.Displaced); n != 0 || r.shared.Active() != 2 || r.listener.Active() != 2 {
		t.Errorf("%d displaced, %d and %d sessions", n, r.shared.Active(), r.listener.Active())
	}
	next := r.dial()
	mustWrite(t, next, "x")
	mustRead(t, next, "x")
	if n := r.closed(l4.Displaced); n != 1 || r.shared.Active() != 2 || r.listener.Active() != 2 {
		t.Errorf("%d displaced, %d and %d sessions", n, r.shared.Active(), r.listener.Active())
	}
}
