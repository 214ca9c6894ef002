package tcp

import (
	"net"
	"testing"
	"time"

	"weir/l4"
)

// Each timeout ends the session, for its own reason and in its own way, and not before its time.
func TestTimeouts(t *testing.T) {
	const soon = 80 * time.Millisecond
	t.Run("idle", func(t *testing.T) {
		b := newBackend(t)
		r := newRig(t, rigOptions{settings: Settings{IdleTimeout: 1200 * time.Millisecond}}, b.addr)
		client, server := r.pair(b)
		mustWrite(t, client, "x")
		mustRead(t, server, "x")
		began := time.Now()
		mustEOF(t, client) // it rests: a FIN is enough
		mustEOF(t, server)
		if took := time.Since(began); took < time.Second {
			t.Fatalf("ended after %v", took)
		}
		r.wantClosed(l4.IdleTimeout, 1)
	})
	t.Run("idle with bytes held", func(t *testing.T) {
		b := newBackend(t)
		r := newRig(t, rigOptions{settings: Settings{IdleTimeout: 1200 * time.Millisecond}}, b.addr)
		client, server := r.pair(b)
		go func() {
			buf := make([]byte, 1<<20)
			for {
				if _, err := server.Write(buf); err != nil {
					return
				}
			}
		}()
		r.wantClosed(l4.IdleTimeout, 1)
		mustReset(t, client) // never a clean end of what was cut
	})
	t.Run("bytes keep it alive", func(t *testing.T) {
		b := serve(t, echo)
		r := newRig(t, rigOptions{settings: Settings{IdleTimeout: 600 * time.Millisecond}}, b.addr)
		c := r.dial()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 15 {
			<-tick.C
			mustWrite(t, c, "x")
			mustRead(t, c, "x")
		}
		_ = c.CloseWrite()
		mustEOF(t, c)
		r.wantClosed(l4.DownstreamClosed, 1)
	})
	t.Run("half-close", func(t *testing.T) {
		b := newBackend(t)
		r := newRig(t, rigOptions{settings: Settings{IdleTimeout: time.Hour, HalfCloseTimeout: soon}}, b.addr)
		client, server := r.pair(b)
		_ = client.CloseWrite()
		mustEOF(t, server)
		mustReset(t, client) // the answer never came: not a clean end
		r.wantClosed(l4.HalfCloseTimeout, 1)
	})
	t.Run("max duration", func(t *testing.T) {
		b := serve(t, echo)
		r := newRig(t, rigOptions{settings: Settings{MaxDuration: 300 * time.Millisecond}}, b.addr)
		began := time.Now() // before the session can
		c := r.dial()
		for {
			if _, err := c.Write([]byte("x")); err != nil {
				break
			}
			var b [1]byte
			if _, err := c.Read(b[:]); err != nil {
				break
			}
		}
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Fatalf("ended after %v", took)
		}
		r.wantClosed(l4.MaxDuration, 1)
	})
	t.Run("never", func(t *testing.T) {
		b := newBackend(t)
		r := newRig(t, rigOptions{}, b.addr)
		client, server := r.pair(b)
		mustWrite(t, client, "x")
		mustRead(t, server, "x")
		var timer bool
		if err := r.loops[0].Do(func() { timer = r.proxies[0].sessions.At(0).timer != 0 }); err != nil {
			t.Fatal(err)
		}
		if timer {
			t.Fatal("a session without timeouts has a timer")
		}
	})
}

// The endpoint's socket gets its keepalive when the session is old enough to need one.
func TestKeepaliveLater(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, rigOptions{settings: Settings{Keepalive: 75 * time.Second}}, b.addr)
	_, _ = r.pair(b)
	r.eventually("the session streams", func() bool { return r.cluster.Endpoints[0].Loops[0].Sessions.Load() == 1 })
	if err := r.loops[0].Do(func() {
		p := r.proxies[0]
		s := p.sessions.At(0)
		s.started -= int64(keepaliveAfter) // as old as that
		p.setTimer(s, 0, p.loop.Now())
	}); err != nil {
		t.Fatal(err)
	}
	r.eventually("keepalive is on", func() bool {
		var on int
		if err := r.loops[0].Do(func() { on = keepalive(t, int(r.proxies[0].sessions.At(0).sides[upstream].fd)) }); err != nil {
			t.Fatal(err)
		}
		return on == 75
	})
}

// Drain ends resting sessions gradually, with FIN, and busy ones last.
func TestDrain(t *testing.T) {
	const n = 40
	b := serve(t, echo)
	r := newRig(t, rigOptions{loops: 2}, b.addr)
	var clients []*net.TCPConn
	for range n {
		c := r.dial()
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		clients = append(clients, c)
	}
	for i, loop := range r.loops {
		if err := loop.Do(func() { r.proxies[i].Drain(1500 * time.Millisecond) }); err != nil {
			t.Fatal(err)
		}
		r.do(i, func(*Proxy) {}) // what is given up is closed at the end of the turn
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		_ = c.Close()
		t.Fatal("a draining rig accepts")
	}
	seen := map[int64]bool{} // how many were left at some time
	r.eventually("all are gone", func() bool {
		left := r.shared.Active()
		seen[left] = true
		return left == 0
	})
	if len(seen) < 5 {
		t.Fatalf("the sessions went in %d steps", len(seen))
	}
	r.wantClosed(l4.Drained, n)
	for _, c := range clients {
		_, _ = readToEnd(c)
	}
}

// Busy sessions have three quarters of a drain's time to come to their end by themselves.
func TestDrainLeavesBusySessions(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	const n = 40
	var clients []*net.TCPConn
	for range n {
		clients = append(clients, r.dial())
	}
	talk := func() {
		for _, c := range clients {
			mustWrite(t, c, "busy")
			mustRead(t, c, "busy")
		}
	}
	talk()
	if err := r.loops[0].Do(func() { r.proxies[0].Drain(10 * time.Second) }); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(l4.DrainTick)
	defer tick.Stop()
	for range 10 { // a tenth of the time, a tenth of those that rest
		<-tick.C
		talk()
	}
	for _, c := range clients {
		_ = c.CloseWrite()
		mustEOF(t, c)
	}
	r.wantClosed(l4.DownstreamClosed, n)
}

// A session that was still connecting by the cluster as it was when its endpoint was removed, and reaches that endpoint, is drained too.
func TestDrainEndpointFindsLateComers(t *testing.T) {
	late := newBackend(t)
	r := newRig(t, rigOptions{attempts: 2, timeout: 400 * time.Millisecond}, dropping(t), late.addr)
	e := r.cluster.Endpoints
	var clients []*net.TCPConn
	for e[0].Loops[0].Attempts.Load() == 0 { // one that meets the endpoint that drops SYNs first
		clients = append(clients, r.dial())
		r.eventually("it is being connected", func() bool {
			return e[0].Loops[0].Attempts.Load()+e[1].Loops[0].Attempts.Load() == uint64(len(clients))
		})
	}
	if err := r.loops[0].Do(func() { r.proxies[0].DrainEndpoint(e[1], 0) }); err != nil {
		t.Fatal(err)
	}
	for range clients {
		_ = late.accept()
	}
	for _, c := range clients {
		_, _ = readToEnd(c)
	}
	r.wantClosed(l4.Drained, uint64(len(clients)))
}
