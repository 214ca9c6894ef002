package tcp

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4"
	"weir/lb"
)

// Each attempt goes to another endpoint, as long as there is one that wasn't tried; then, after a backoff, to one that isn't the one that has just failed.
func TestRetriesElsewhere(t *testing.T) {
	for _, tc := range []struct{ endpoints, attempts int }{{3, 3}, {5, 3}, {2, 6}, {1, 3}} {
		var addrs []string
		for range tc.endpoints {
			addrs = append(addrs, refusing(t))
		}
		for _, policy := range []lb.Policy{lb.RoundRobin, lb.LeastConnections, lb.Random, lb.P2C, lb.RingHash, lb.Maglev, lb.First} {
			r := newRig(t, rigOptions{loops: 2, attempts: tc.attempts, policy: policy}, addrs...)
			r.mustBeCut(10 * time.Second)
			r.wantClosed(l4.ConnectRefused, 1)
			least, most, sum := uint64(1<<32), uint64(0), 0
			for _, e := range r.cluster.Endpoints {
				n := e.Loops[0].Attempts.Load() + e.Loops[1].Attempts.Load()
				least, most, sum = min(least, n), max(most, n), sum+int(n)
			}
			// Of two that alternate each has half; of more, none has a second attempt before all have one.
			if sum != tc.attempts || most > uint64((tc.attempts+tc.endpoints-1)/tc.endpoints) || least < uint64(tc.attempts/tc.endpoints) {
				t.Errorf("%s: %d attempts at %d endpoints, between %d and %d at one", policy, sum, tc.endpoints, least, most)
			}
			if n := r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.Retries }); n != uint64(tc.attempts-1) {
				t.Errorf("%s: %d retries", policy, n)
			}
			r.wantAllGivenBack()
		}
	}
}

// Only so many attempts that aren't the first are under way at once, over all loops; who would make another ends, and is counted.
func TestRetryLimit(t *testing.T) {
	const crowd = 30
	for _, tc := range []struct {
		name   string
		limits l4.Limits
		most   int64
	}{
		{"max_retries", l4.Limits{MaxRetries: 5}, 5},
		{"retry_budget, at least", l4.Limits{RetryBudget: 0.01}, 3},
		{"both", l4.Limits{MaxRetries: 2, RetryBudget: 1}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// All are refused at once, and then try one that doesn't answer.
			r := newRig(t, rigOptions{loops: 3, attempts: 2, timeout: time.Hour, policy: lb.First, limits: tc.limits}, refusing(t), dropping(t))
			places := r.cluster.Places
			stop := watch(t, "retrying", tc.most, places.Retrying)
			var clients sync.WaitGroup
			for range crowd {
				clients.Go(func() {
					if c, err := net.Dial("tcp", r.addr); err == nil { // else it was reset already
						_, _ = readToEnd(c)
						_ = c.Close()
					}
				})
			}
			refused := func() uint64 {
				return r.sum(func(c *l4.ClusterCounters) *atomic.Uint64 { return &c.RetriesRefused })
			}
			r.eventually("all but those have ended", func() bool { return r.closed(l4.RetryLimit) == uint64(crowd-tc.most) })
			if n := refused(); n != uint64(crowd-tc.most) || places.Retrying() != tc.most || places.Active() != tc.most {
				t.Errorf("%d counted, %d retry, %d active", n, places.Retrying(), places.Active())
			}
			stop()
			for i := range r.loops {
				r.do(i, func(p *Proxy) { p.Drain(0) })
			}
			clients.Wait()
			r.wantAllGivenBack()
		})
	}
	t.Run("all ends give back", func(t *testing.T) {
		good := serve(t, echo)
		r := newRig(t, rigOptions{loops: 2, attempts: 3, timeout: 20 * time.Millisecond, policy: lb.First, limits: l4.Limits{MaxRetries: 1000}}, refusing(t), dropping(t), good.addr)
		for range 20 {
			r.hello() // the third attempt
			reset(t, r.dial())
		}
		r.eventually("all have ended", func() bool { return r.shared.Active() == 0 })
		r.wantAllGivenBack()
		r.publish(func(i int, m *lb.Member) {
			if i == 2 {
				m.Health = lb.Unhealthy
			}
		})
		for range 4 {
			r.mustBeCut(10 * time.Second)
		}
		r.wantAllGivenBack()
	})
}

// Sessions that fail, back off and wait for a place all come to their end, though others are always there to take the place.
func TestRetriesWaiting(t *testing.T) {
	const crowd, attempts = 12, 3
	o := rigOptions{loops: 2, attempts: attempts, limits: l4.Limits{MaxConnections: 1, MaxPending: 1000, PendingTimeout: time.Hour}}
	r := newRig(t, o, refusing(t))
	var clients sync.WaitGroup
	for range crowd {
		clients.Go(func() { _ = r.ask() })
	}
	clients.Wait()
	r.wantClosed(l4.ConnectRefused, crowd)
	if n := r.cluster.Endpoints[0].Loops[0].Attempts.Load() + r.cluster.Endpoints[0].Loops[1].Attempts.Load(); n != crowd*attempts {
		t.Errorf("%d attempts", n)
	}
	r.wantAllGivenBack()
}

// A session whose backoff is over, and that then waits for a place, doesn't back off again when it gets one.
func TestBackoffOnce(t *testing.T) {
	o := rigOptions{attempts: 2, timeout: time.Hour, limits: l4.Limits{MaxConnections: 2, MaxPending: 9, PendingTimeout: time.Hour}}
	r := newRig(t, o, dropping(t))
	endpoint := r.cluster.Endpoints[0]
	holder := r.dial()
	r.eventually("it is being connected", func() bool { return endpoint.Balance.Active() == 1 })
	client := r.dial()
	r.eventually("both are being connected", func() bool { return endpoint.Balance.Active() == 2 })
	next := r.cluster.Next(r.cluster.Endpoints, r.cluster.Set())
	next.Limits.MaxConnections = 1
	var a *attempt
	r.do(0, func(p *Proxy) {
		a = p.attempts.At(1)
		s := p.sessions.At(a.session)
		p.giveUpEndpoint(s, a, unix.ECONNREFUSED)
		if p.tryNext(s, a.session, a); a.index != resting {
			t.Errorf("it does not back off, but is at %d", a.index)
		}
		a.cluster = next
		p.connectExpired(s, a.session)
		if a.index != pending || r.cluster.Places.Waiting() != 1 {
			t.Errorf("it does not wait, but is at %d", a.index)
		}
	})
	reset(t, holder)
	r.eventually("it is tried", func() (tried bool) {
		r.do(0, func(*Proxy) {
			if tried = a.index == 0; a.index == resting {
				t.Error("it backs off again")
			}
		})
		return tried
	})
	reset(t, client)
	r.wantAllGivenBack()
}

// Failures in a row are counted over all loops, and ring at the threshold and its multiples. A byte from the endpoint, or a good end without one, begins anew.
func TestConductCounts(t *testing.T) {
	for _, tc := range []struct {
		name string
		addr func(testing.TB) string
		cut  func(*rig)
	}{
		{"refused", refusing, nil},
		{"timeout", dropping, nil},
		{"reset before the first byte", func(t testing.TB) string {
			return serve(t, func(c *net.TCPConn) {
				var b [1]byte
				_, _ = c.Read(b[:])
				_ = c.SetLinger(0)
			}).addr
		}, func(r *rig) {
			c := r.dial()
			mustWrite(r.t, c, "x")
			mustReset(r.t, c)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, rigOptions{loops: 2, timeout: 20 * time.Millisecond}, tc.addr(t))
			conduct := &r.cluster.Endpoints[0].Conduct
			var rang atomic.Int64
			conduct.Watch(3, func() { rang.Add(1) })
			for n := range 13 {
				if tc.cut != nil {
					tc.cut(r)
				} else {
					r.mustBeCut(10 * time.Second)
				}
				r.eventually("it is counted", func() bool { return conduct.Failures() == n+1 })
				if rang.Load() != int64((n+1)/3) {
					t.Fatalf("after %d failures it has rung %d times", n+1, rang.Load())
				}
			}
			if n := r.accepted(); n[0] == 0 || n[1] == 0 {
				t.Skip("all on one loop")
			}
		})
	}
	t.Run("begins anew", func(t *testing.T) {
		var silent atomic.Bool
		b := serve(t, func(c *net.TCPConn) {
			if !silent.Load() {
				echo(c)
			}
		})
		r := newRig(t, rigOptions{loops: 2}, b.addr)
		conduct := &r.cluster.Endpoints[0].Conduct
		r.cluster.Endpoints[0].Failed(0)
		c := r.dial()
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		if conduct.Failures() != 0 {
			t.Error("a byte has not forgiven it")
		}
		reset(t, c)
		r.cluster.Endpoints[0].Failed(0)
		r.eventually("it has ended", func() bool { return r.closed(l4.DownstreamReset) == 1 })
		if conduct.Failures() != 1 {
			t.Error("a client's reset has said something of the endpoint")
		}
		silent.Store(true)
		c = r.dial()
		mustEOF(t, c)
		_ = c.CloseWrite()
		r.eventually("it has ended", func() bool { return r.closed(l4.UpstreamClosed) == 1 })
		if conduct.Failures() != 0 {
			t.Error("a good end has not forgiven it")
		}
	})
	t.Run("local failures", func(t *testing.T) {
		r := newRig(t, rigOptions{timeout: time.Hour}, dropping(t))
		conduct := &r.cluster.Endpoints[0].Conduct
		for e, counts := range map[unix.Errno]bool{
			unix.EADDRNOTAVAIL: false, unix.EMFILE: false, unix.ENFILE: false, unix.ENOMEM: false, unix.ENOBUFS: false, unix.EAGAIN: false, unix.EPERM: false, unix.EACCES: false,
			unix.ECONNREFUSED: true, unix.ETIMEDOUT: true, unix.ECONNRESET: true, unix.EHOSTUNREACH: true,
		} {
			conduct.Forgive()
			c := r.dial()
			r.eventually("it is being connected", func() bool { return r.cluster.Endpoints[0].Balance.Active() == 1 })
			r.do(0, func(p *Proxy) {
				for i := range p.sessions.Cap() {
					if s := p.sessions.At(i); s.state == connecting {
						a := p.attempts.At(s.attempt - 1)
						p.giveUpEndpoint(s, a, e)
						p.abort(s, i, a.last)
					}
				}
			})
			mustReset(t, c)
			if got := conduct.Failures() == 1; got != counts {
				t.Errorf("%v counts: %v, want %v", e, got, counts)
			}
			r.wantAllGivenBack()
		}
	})
}
