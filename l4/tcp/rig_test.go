package tcp

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/lb"
)

// rig is a whole layer 4 on loopback: loops, their proxies, one listener and its cluster.
type rig struct {
	t        testing.TB
	loops    []*eventloop.Loop
	proxies  []*Proxy
	shared   *l4.Shared
	listener *l4.Listener
	cluster  *l4.Cluster
	settings *Settings
	addr     string
}

type rigOptions struct {
	loops     int // 0 = 1
	settings  Settings
	max       int64 // of the process
	copy      bool
	ring      int           // of the loops' options
	timeout   time.Duration // connect; 0 = 2 s
	attempts  int           // 0 = 1
	policy    lb.Policy
	members   []lb.Member // Endpoint is set from the addresses
	limits    l4.Limits
	noCluster bool
	listen    eventloop.ListenOptions
}

// newRig starts a rig in front of the addresses; it ends with the test.
func newRig(t testing.TB, o rigOptions, addrs ...string) *rig {
	t.Helper()
	if o.loops == 0 {
		o.loops = 1
	}
	if o.timeout == 0 {
		o.timeout = 2 * time.Second
	}
	// As in weir itself, the loops leave a processor to everybody else: they keep theirs while they wait for what is to come soon.
	if procs := o.loops + 2; runtime.GOMAXPROCS(0) < procs {
		runtime.GOMAXPROCS(procs)
	}
	r := &rig{t: t, shared: l4.NewShared(o.loops, o.max), listener: l4.NewListener("rig", o.loops)}
	r.cluster = newCluster(t, o, addrs)
	set := o.settings
	if !o.noCluster {
		set.Routes.Default = l4.Target{Clusters: []*l4.Cluster{r.cluster}}
	}
	r.settings = &set
	if !o.listen.Addr.IsValid() {
		o.listen.Addr = netip.MustParseAddrPort("127.0.0.1:0")
	}
	fds, err := eventloop.Listen(o.listen, o.loops)
	if err != nil {
		t.Fatal(err)
	}
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	r.addr = at.String()
	began := time.Now()
	clock := func() int64 { return int64(time.Since(began)) } // of all loops, as rates need it
	for id := range o.loops {
		loop, err := eventloop.New(eventloop.Options{Ring: o.ring, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		p := New(Options{Loop: loop, ID: id, Shared: r.shared, Seed: uint64(id) + 1, Copy: o.copy})
		if err := p.Listen(r.listener, r.settings, fds[id:id+1]); err != nil {
			t.Fatal(err)
		}
		r.loops, r.proxies = append(r.loops, loop), append(r.proxies, p)
	}
	for _, loop := range r.loops {
		go func() {
			if err := loop.Run(); err != nil {
				panic(err)
			}
		}()
	}
	t.Cleanup(func() {
		for _, loop := range r.loops {
			loop.Stop()
			<-loop.Stopped()
			loop.Destroy()
		}
	})
	return r
}

func newCluster(t testing.TB, o rigOptions, addrs []string) *l4.Cluster {
	t.Helper()
	var endpoints []*l4.Endpoint
	members := o.members
	if members == nil {
		for range addrs {
			members = append(members, lb.Member{Weight: 1})
		}
	}
	for i, a := range addrs {
		e := l4.NewEndpoint(netip.MustParseAddrPort(a), o.loops)
		endpoints = append(endpoints, e)
		members[i].Endpoint = e.Balance
	}
	set, err := lb.NewSet(lb.Options{Policy: o.policy}, members)
	if err != nil {
		t.Fatal(err)
	}
	c := l4.NewCluster("rig", endpoints, set, o.loops)
	c.ConnectTimeout, c.Attempts, c.Limits = o.timeout, max(o.attempts, 1), o.limits
	return c
}

// closed returns how often sessions have ended for a reason, over all loops.
func (r *rig) closed(reason l4.CloseReason) (n uint64) {
	for i := range r.listener.Loops {
		n += r.listener.Loops[i].Closed[reason].Load()
	}
	return n
}

// reasons lists the counts that are not zero, for messages.
func (r *rig) reasons() (s string) {
	for reason := range l4.NumReasons {
		if n := r.closed(reason); n > 0 {
			s += fmt.Sprintf(" %s=%d", reason, n)
		}
	}
	return s
}

// bytes returns the listener's payload bytes.
func (r *rig) bytes() (sum l4.BytesReading) {
	for i := range r.listener.Loops {
		sum.Add(&r.listener.Loops[i].Bytes)
	}
	return sum
}

// wantClosed waits until the reason has been counted n times, and checks that nothing else was.
func (r *rig) wantClosed(reason l4.CloseReason, n uint64) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d sessions closed by %s", n, reason), func() bool { return r.closed(reason) >= n })
	for other := range l4.NumReasons {
		if got := r.closed(other); other != reason && got != 0 || other == reason && got != n {
			r.t.Fatalf("want %s=%d alone, got%s", reason, n, r.reasons())
		}
	}
	r.eventually("no session and no connection left", func() bool {
		var active int64
		for _, e := range r.cluster.Endpoints {
			active += e.Balance.Active()
		}
		return r.shared.Active() == 0 && r.listener.Active() == 0 && active == 0
	})
}

func (r *rig) eventually(what string, ok func() bool) { r.t.Helper(); eventually(r.t, what, ok) }

// eventually waits for a condition, with a deadline far beyond what it should take.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

// dial connects to the rig; the connection has a deadline and ends with the test.
func (r *rig) dial() *net.TCPConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return guard(r.t, c)
}

func guard(t testing.TB, c net.Conn) *net.TCPConn {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// backend is an endpoint driven by the test: it hands over each connection that it accepts.
type backend struct {
	t    testing.TB
	ln   *net.TCPListener
	addr string
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &backend{t: t, ln: ln.(*net.TCPListener), addr: ln.Addr().String()}
}

func (b *backend) accept() *net.TCPConn {
	b.t.Helper()
	if err := b.ln.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	c, err := b.ln.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	return guard(b.t, c)
}

// serve runs fn on every connection until the test ends.
func serve(t testing.TB, fn func(*net.TCPConn)) *backend {
	t.Helper()
	b := newBackend(t)
	go func() {
		for {
			c, err := b.ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				fn(c.(*net.TCPConn))
			}()
		}
	}()
	return b
}

func echo(c *net.TCPConn) { _, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) }

// pair returns both ends of one session through the rig.
func (r *rig) pair(b *backend) (client, server *net.TCPConn) {
	r.t.Helper()
	client = r.dial()
	return client, b.accept()
}

func mustWrite(t testing.TB, c net.Conn, b string) {
	t.Helper()
	if _, err := c.Write([]byte(b)); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("read: %v after %d of %d bytes, %.80q, want %.80q", err, n, len(want), got[:n], want)
	}
	if string(got) != want {
		t.Fatalf("read %.80q, want %.80q", got, want)
	}
}

func mustEOF(t testing.TB, c net.Conn) {
	t.Helper()
	var b [1]byte
	if n, err := c.Read(b[:]); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes and %v, want EOF", n, err)
	}
}
