package udp

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
	"weir/lb"
)

// rig is a whole layer 4 on loopback: loops, their proxies, one listener and its cluster.
type rig struct {
	t        testing.TB
	loops    []*eventloop.Loop
	proxies  []*Proxy
	shared   *l4.Shared
	listener *l4.Listener
	more     []*l4.Listener // others, whose flows come to the sums
	cluster  *l4.Cluster
	settings *Settings
	addr     netip.AddrPort
	policy   lb.Policy
}

type rigOptions struct {
	loops     int // 0 = 1
	settings  Settings
	max       int64 // of the process
	plain     bool
	ring      int // of the loops' options
	budget    int
	policy    lb.Policy
	hashOn    l4.HashOn
	keep      bool
	attempts  int // 0 = 1
	limits    l4.Limits
	members   []lb.Member // Endpoint is set from the addresses
	noCluster bool
	listen    eventloop.DatagramOptions
}

// everyWay runs a test with io_uring and without, and with what the kernel does with many datagrams at once and without.
func everyWay(t *testing.T, f func(t *testing.T, o rigOptions)) {
	for _, plain := range []bool{false, true} {
		for _, ring := range []int{0, -1} {
			t.Run(fmt.Sprintf("plain=%v/ring=%v", plain, ring == 0), func(t *testing.T) { f(t, rigOptions{plain: plain, ring: ring}) })
		}
	}
}

// buffer is enough for what the tests send at once; without privileges the kernel may cut it.
const buffer = 4 << 20

// waiting is far longer than anything takes that a test waits for.
const waiting = 20 * time.Second

// newRig starts a rig in front of the addresses; it ends with the test.
func newRig(t testing.TB, o rigOptions, addrs ...netip.AddrPort) *rig {
	t.Helper()
	o.loops = max(o.loops, 1)
	// As in weir itself, the loops leave a processor to everybody else: they keep theirs while they wait for what is to come soon.
	if procs := o.loops + 2; runtime.GOMAXPROCS(0) < procs {
		runtime.GOMAXPROCS(procs)
	}
	r := &rig{t: t, policy: o.policy, shared: l4.NewShared(o.loops, o.max), listener: l4.NewListener("rig", o.loops)}
	r.cluster = newCluster(t, "rig", o, addrs...)
	set := o.settings
	if set.Receive == 0 {
		set.Receive = buffer
	}
	if !o.noCluster && set.Routes.Default.Cluster() == nil {
		set.Routes.Default = l4.Target{Clusters: []*l4.Cluster{r.cluster}}
	}
	r.settings = &set
	fds := listen(t, &o)
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	r.addr = at
	began := time.Now()
	clock := func() int64 { return int64(time.Since(began)) } // of all loops, as rates need it
	for id := range o.loops {
		loop, err := eventloop.New(eventloop.Options{Ring: o.ring, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		p := New(Options{Loop: loop, ID: id, Shared: r.shared, Seed: uint64(id) + 1, Plain: o.plain, Budget: o.budget})
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

// listen opens the sockets of a listener.
func listen(t testing.TB, o *rigOptions) []int {
	t.Helper()
	l := o.listen
	if !l.Addr.IsValid() {
		l.Addr = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if l.Receive == 0 {
		l.Receive = buffer
	}
	l.NoOffload = l.NoOffload || o.plain
	fds, err := eventloop.ListenDatagrams(l, max(o.loops, 1))
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

func newCluster(t testing.TB, name string, o rigOptions, addrs ...netip.AddrPort) *l4.Cluster {
	t.Helper()
	var endpoints []*l4.Endpoint
	members := o.members
	if members == nil {
		for range addrs {
			members = append(members, lb.Member{Weight: 1})
		}
	}
	for i, a := range addrs {
		e := l4.NewEndpoint(a, max(o.loops, 1))
		endpoints = append(endpoints, e)
		members[i].Endpoint = e.Balance
	}
	set, err := lb.NewSet(lb.Options{Policy: o.policy}, members)
	if err != nil {
		t.Fatal(err)
	}
	c := l4.NewCluster(name, endpoints, set, max(o.loops, 1))
	c.HashOn, c.KeepFlows, c.Attempts, c.Limits = o.hashOn, o.keep, max(o.attempts, 1), o.limits
	return c
}

// do runs fn on a loop and waits for it.
func (r *rig) do(loop int, fn func(p *Proxy)) {
	r.t.Helper()
	if err := r.loops[loop].Do(func() { fn(r.proxies[loop]) }); err != nil {
		r.t.Fatal(err)
	}
}

// doAll runs fn on each loop, one after another.
func (r *rig) doAll(fn func(loop int, p *Proxy)) {
	r.t.Helper()
	for i := range r.loops {
		r.do(i, func(p *Proxy) { fn(i, p) })
	}
}

// settle waits until each loop has ended its turn, so that what ends have received is counted.
func (r *rig) settle() { r.t.Helper(); r.doAll(func(int, *Proxy) {}) }

// atOnce runs fn while no loop turns, so that all that fn sends is found in one turn.
func (r *rig) atOnce(fn func()) {
	r.t.Helper()
	release := make(chan struct{})
	defer close(release)
	for _, loop := range r.loops {
		held := make(chan struct{})
		if err := loop.Post(func() { close(held); <-release }); err != nil {
			r.t.Fatal(err)
		}
		<-held
	}
	fn()
}

// update gives the listener other settings on all loops.
func (r *rig) update(change func(*Settings)) {
	r.t.Helper()
	set := *r.settings
	change(&set)
	r.settings = &set
	r.doAll(func(_ int, p *Proxy) { p.Update(r.listener, &set) })
}

// nextCluster returns the cluster with its members changed.
func (r *rig) nextCluster(change func(i int, m *lb.Member)) *l4.Cluster {
	r.t.Helper()
	members := make([]lb.Member, len(r.cluster.Endpoints))
	for i := range members {
		members[i] = r.cluster.Set().Member(i)
		change(i, &members[i])
	}
	set, err := r.cluster.Set().Next(lb.Options{}, members)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.cluster.Next(r.cluster.Endpoints, set)
}

// setCluster replaces the cluster on all loops.
func (r *rig) setCluster(c *l4.Cluster) {
	r.t.Helper()
	r.cluster = c
	r.update(func(s *Settings) { s.Routes.Default = l4.Target{Clusters: []*l4.Cluster{c}} })
}

// endDrains has all drains come to their end, as if that had been their time, with their next tick.
func (r *rig) endDrains() {
	r.t.Helper()
	r.doAll(func(_ int, p *Proxy) {
		for i := range p.drains {
			p.drains[i].BusyFrom, p.drains[i].Until = 0, 0
		}
	})
}

func (r *rig) eventually(what string, ok func() bool) { r.t.Helper(); eventually(r.t, what, ok) }

// eventually waits for a condition, with a deadline far beyond what it should take.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(waiting)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %v still not: %s", waiting, what)
		}
	}
}

// ofClient returns the flow of a client that wrote to an address. On the loop.
func (p *Proxy) ofClient(t testing.TB, client, to netip.AddrPort) flow.ID {
	t.Helper()
	for id := flow.ID(1); uint32(id) < p.table.Cap(); id++ {
		if !p.table.Live(id) || p.table.At(id).direct {
			continue
		}
		if f := p.table.At(id); f.client.AddrPort() == client && p.sockets.At(f.socket).at == to {
			return id
		}
	}
	t.Errorf("no flow of %v to %v", client, to)
	return 0
}
