package tcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4"
	"weir/lb"
)

// refusing returns an address where nothing listens, nor will before the test ends: its port is taken.
func refusing(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}

// dropping returns an address where a socket listens whose accept queue is full: the kernel drops SYNs.
func dropping(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
	for {
		c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err != nil {
			return addr // full
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// mustBeCut connects and reads to the end, which must be a reset without a byte, within the time. The reset may come so soon that
// connecting itself reports it.
func (r *rig) mustBeCut(within time.Duration) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err == nil {
		defer func() { _ = c.Close() }()
		if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
			r.t.Fatal(err)
		}
		var n int64
		if n, err = readToEnd(c); n != 0 {
			r.t.Fatalf("read %d bytes, want none", n)
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		r.t.Fatalf("connecting and reading gave %v, want a reset", err)
	}
}

// Endpoints that refuse, drop SYNs, or all of them: the client is closed within the time configured, with the right reason.
func TestEndpointsDown(t *testing.T) {
	for _, tc := range []struct {
		name     string
		addrs    []string
		attempts int
		timeout  time.Duration
		reason   l4.CloseReason
		tried    uint64
		check    func(*l4.EndpointCounters) *atomic.Uint64
	}{
		{"refuses", []string{refusing(t)}, 1, time.Second, l4.ConnectRefused, 1,
			func(c *l4.EndpointCounters) *atomic.Uint64 { return &c.Refused }},
		{"refuses, tried again", []string{refusing(t)}, 3, time.Second, l4.ConnectRefused, 3,
			func(c *l4.EndpointCounters) *atomic.Uint64 { return &c.Refused }},
		{"all refuse", []string{refusing(t), refusing(t), refusing(t)}, 3, time.Second, l4.ConnectRefused, 3,
			func(c *l4.EndpointCounters) *atomic.Uint64 { return &c.Refused }},
		{"drops SYNs", []string{dropping(t)}, 2, 150 * time.Millisecond, l4.ConnectTimeout, 2,
			func(c *l4.EndpointCounters) *atomic.Uint64 { return &c.TimedOut }},
		{"unreachable", []string{"224.0.0.1:9"}, 2, time.Second, l4.ConnectFailed, 2,
			func(c *l4.EndpointCounters) *atomic.Uint64 { return &c.ConnectErrors }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, rigOptions{attempts: tc.attempts, timeout: tc.timeout}, tc.addrs...)
			r.mustBeCut(10 * time.Second)
			r.wantClosed(tc.reason, 1)
			var tried, counted uint64
			for _, e := range r.cluster.Endpoints {
				tried += e.Loops[0].Attempts.Load()
				counted += tc.check(&e.Loops[0]).Load()
			}
			if tried != tc.tried || counted != tc.tried {
				t.Errorf("tried %d times and counted %d failures, want %d", tried, counted, tc.tried)
			}
			if got := r.cluster.Loops[0].Retries.Load(); got != tc.tried-1 {
				t.Errorf("counted %d retries, want %d", got, tc.tried-1)
			}
		})
	}
}

// With a good endpoint among bad ones no client notices.
func TestOtherEndpoint(t *testing.T) {
	good := serve(t, echo)
	r := newRig(t, rigOptions{attempts: 3, timeout: 150 * time.Millisecond}, refusing(t), dropping(t), good.addr)
	for range 12 {
		c := r.dial()
		mustWrite(t, c, "hello")
		mustRead(t, c, "hello")
		_ = c.CloseWrite()
		mustEOF(t, c)
	}
	r.wantClosed(l4.DownstreamClosed, 12)
	if n := r.cluster.Endpoints[2].Loops[0].Sessions.Load(); n != 12 {
		t.Fatalf("the good endpoint got %d sessions", n)
	}
	if r.cluster.Loops[0].Retries.Load() == 0 {
		t.Fatal("no retry was counted")
	}
}

// An endpoint that accepts and closes at once, with FIN or with RST: the client gets the same.
func TestAcceptsAndCloses(t *testing.T) {
	t.Run("FIN", func(t *testing.T) {
		b := serve(t, func(*net.TCPConn) {})
		r := newRig(t, rigOptions{}, b.addr)
		c := r.dial()
		mustEOF(t, c)
		_ = c.CloseWrite()
		r.wantClosed(l4.UpstreamClosed, 1)
	})
	t.Run("RST", func(t *testing.T) {
		b := serve(t, func(c *net.TCPConn) { _ = c.SetLinger(0) })
		r := newRig(t, rigOptions{}, b.addr)
		r.mustBeCut(10 * time.Second)
		r.eventually("the session ended", func() bool {
			// Whether the reset comes while connecting is the kernel's choice.
			return r.closed(l4.UpstreamRefused)+r.closed(l4.ConnectRefused) == 1
		})
	})
}

// A client that sends and half-closes before the endpoint is connected loses nothing; one that resets ends the attempt.
func TestClientWhileConnecting(t *testing.T) {
	t.Run("sends and half-closes", func(t *testing.T) {
		b := serve(t, echo)
		r := newRig(t, rigOptions{attempts: 2, timeout: 300 * time.Millisecond}, dropping(t), b.addr)
		for range 2 { // one of them meets the endpoint that drops first
			c := r.dial()
			mustWrite(t, c, "early")
			_ = c.CloseWrite()
			mustRead(t, c, "early")
			mustEOF(t, c)
		}
		r.wantClosed(l4.DownstreamClosed, 2)
	})
	t.Run("resets", func(t *testing.T) {
		r := newRig(t, rigOptions{timeout: 20 * time.Second}, dropping(t))
		c := r.dial()
		mustWrite(t, c, "early")
		r.eventually("an attempt is under way", func() bool { return r.cluster.Endpoints[0].Loops[0].Attempts.Load() == 1 })
		reset(t, c)
		r.wantClosed(l4.DownstreamGone, 1)
	})
}

// Clusters that take nobody.
func TestNobodyToAsk(t *testing.T) {
	b := serve(t, echo)
	for _, tc := range []struct {
		name   string
		o      rigOptions
		reason l4.CloseReason
	}{
		{"no cluster", rigOptions{noCluster: true}, l4.NoCluster},
		{"all in maintenance", rigOptions{members: []lb.Member{{Weight: 1, State: lb.Maint}}}, l4.NoEndpoint},
		{"all draining", rigOptions{members: []lb.Member{{Weight: 1, State: lb.Drain}}}, l4.NoEndpoint},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, tc.o, b.addr)
			r.mustBeCut(10 * time.Second)
			r.wantClosed(tc.reason, 1)
		})
	}
	t.Run("full", func(t *testing.T) {
		r := newRig(t, rigOptions{members: []lb.Member{{Weight: 1, MaxConnections: 2}}}, b.addr)
		var in []*net.TCPConn
		for range 2 {
			c := r.dial()
			mustWrite(t, c, "in")
			mustRead(t, c, "in")
			in = append(in, c)
		}
		r.mustBeCut(10 * time.Second)
		if r.closed(l4.EndpointsFull) != 1 || r.cluster.Loops[0].Full.Load() != 1 {
			t.Fatalf("counted%s", r.reasons())
		}
		_ = in[0].Close()
		r.eventually("a place is free", func() bool { return r.cluster.Endpoints[0].Balance.Active() == 1 })
		c := r.dial()
		mustWrite(t, c, "now")
		mustRead(t, c, "now")
	})
}

// Routes by source decide in order.
func TestRoutesBySource(t *testing.T) {
	name := func(s string) *backend {
		return serve(t, func(c *net.TCPConn) { _, _ = c.Write([]byte(s)) })
	}
	first, second, rest := name("first"), name("second"), name("default")
	r := newRig(t, rigOptions{}, rest.addr)
	o := rigOptions{loops: 1, timeout: time.Second}
	to := func(b *backend) l4.Target {
		return l4.Target{Clusters: []*l4.Cluster{newCluster(t, o, []string{b.addr})}}
	}
	set := *r.settings
	set.Routes.Routes = []l4.Route{
		{Sources: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, Target: to(first)},
		{Sources: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/30")}, Target: to(second)},
	}
	if err := r.loops[0].Do(func() { r.proxies[0].Update(r.listener, &set) }); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{"127.0.0.2": "first", "127.0.0.3": "second", "127.0.0.9": "default"} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		c, err := d.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		mustRead(t, guard(t, c), want)
	}
}
