package stats

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/tcp"
	"weir/l4/udp"
	"weir/lb"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stillPoller is a poller on which nothing happens, with counters of its own.
type stillPoller struct{ stats eventloop.PollerStats }

func (*stillPoller) Add(int, eventloop.Token, eventloop.Events) error    { return nil }
func (*stillPoller) Modify(int, eventloop.Token, eventloop.Events) error { return nil }
func (*stillPoller) Remove(int) error                                    { return nil }
func (*stillPoller) Wait([]eventloop.Event, time.Duration) (int, error)  { return 0, nil }
func (*stillPoller) Wake()                                               {}
func (*stillPoller) Close() error                                        { return nil }
func (p *stillPoller) PollStats() eventloop.PollerStats                  { return p.stats }

// began is when the process of a scene started, now when it is looked at.
var (
	began = time.Date(2026, 2, 26, 22, 48, 30, 0, time.UTC)
	now   = time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
)

// scene is a process of two loops with three listeners and three clusters. Nothing runs: the tests count.
type scene struct {
	view          *View
	window        window
	now           time.Time
	web, ssh, dns *l4.Listener
	worse         func()         // what ails goes on
	endpoints     []*l4.Endpoint // three of cluster web, one of cluster ssh, one of cluster dns
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{now: now, web: l4.NewListener("web", 2), ssh: l4.NewListener("ssh", 2), dns: l4.NewListener("dns", 2)}
	shared := l4.NewShared(2, 100_000)
	s.view = &View{
		Started: began, Shared: shared,
		Listeners: []Listener{
			{Name: "ssh", Protocol: "tcp", Binds: []netip.AddrPort{netip.MustParseAddrPort("[::]:22")}, State: s.ssh},
			{Name: "web", Protocol: "tcp", Binds: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:443"), netip.MustParseAddrPort("[2001:db8::1]:443")}, MaxConnections: 20_000, State: s.web},
			{
				Name: "dns", Protocol: "udp", Binds: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:53")}, MaxConnections: 65_536, State: s.dns,
				ReceiveBuffer: 4 << 20, SendBuffer: 212_992,
			},
		},
		Reloads: Reloads{Applied: 3, Last: now.Add(-2 * time.Hour)},
	}
	for i := range 2 {
		loop, err := eventloop.New(eventloop.Options{Poller: &stillPoller{eventloop.PollerStats{Waits: 4_000_000, Blocking: 100_000, Yields: 12}}, Clock: func() int64 { return 0 }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(loop.Destroy)
		s.view.Loops = append(s.view.Loops, Loop{
			Loop: loop,
			TCP:  tcp.New(tcp.Options{Loop: loop, ID: i, Shared: shared}),
			UDP:  udp.New(udp.Options{Loop: loop, ID: i, Shared: shared}),
		})
	}
	s.cluster(t, "web",
		lb.Member{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("10.0.0.1:8080")), Weight: 2, MaxConnections: 500},
		lb.Member{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("10.0.0.2:8080")), Weight: 1, State: lb.Drain},
		lb.Member{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("[2001:db8::8]:8080")), Weight: 1, Backup: true})
	s.cluster(t, "ssh", lb.Member{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("10.0.1.1:22")), Weight: 1})
	s.cluster(t, "dns", lb.Member{Endpoint: lb.NewEndpoint(netip.MustParseAddrPort("10.0.2.1:53")), Weight: 1})
	return s
}

// cluster adds a cluster; the members' endpoints are made anew.
func (s *scene) cluster(t testing.TB, name string, members ...lb.Member) {
	t.Helper()
	var endpoints []*l4.Endpoint
	for i := range members {
		e := l4.NewEndpoint(members[i].Endpoint.Address, 2)
		members[i].Endpoint = e.Balance
		endpoints = append(endpoints, e)
	}
	set, err := lb.NewSet(lb.Options{}, members)
	if err != nil {
		t.Fatal(err)
	}
	c := l4.NewCluster(name, endpoints, set, 2)
	s.view.Clusters = append(s.view.Clusters, c)
	s.endpoints = append(s.endpoints, c.Endpoints...)
}

// sample lets the window look at the counters.
func (s *scene) sample() {
	s.window.sample(s.now, func(add func(any, counts)) { eachCounted(s.view, add) })
}

// report is a Report with what differs from machine to machine made the same.
func (s *scene) report() *Report {
	c := collector{now: s.now, window: &s.window}
	r := c.report(s.view)
	r.Process.Version, r.Process.Go, r.Process.PID = "0.1.0", "go1.26.0", 4242
	r.Process.Resident, r.Process.Descriptors = 48<<20, Descriptors{Open: 2610, Limit: 1_048_576}
	for i := range r.Loops {
		l := &r.Loops[i]
		l.Batches, l.Events, l.StaleEvents, l.Continued, l.Posted, l.Pipes = 3_900_000, 9_400_000, 17, 120, 42, 9
	}
	return r
}

// busy counts a busy night: ten seconds with traffic on the listeners web and dns after some days of it.
func (s *scene) busy(t testing.TB) {
	t.Helper()
	s.now = now.Add(-10 * time.Second)
	s.count(5_678_900, 1_200_000_000, 45_600_000_000)
	s.countFlows(700_000, 20)
	s.ail(t)
	s.sample()
	s.worse()
	s.count(123, 1_300_000, 315_000_000)
	s.countFlows(50, 1)
	s.now = now
	web, dns := s.view.Clusters[0], s.view.Clusters[2]
	for _, of := range []struct {
		cluster *l4.Cluster
		active  int
	}{{web, 37}, {dns, 5}} {
		for range of.active {
			if _, v := of.cluster.Pick(&lb.Request{}); v != l4.Picked {
				t.Fatal(v)
			}
		}
	}
}

// count adds traffic of the listener web: as many connections to its first endpoint, and bytes both ways, of which all answers are spliced.
func (s *scene) count(connections, up, down uint64) {
	loop, web, e := s.view.Loops[0].TCP.Counters(), &s.web.Loops[0], &s.endpoints[0].Loops[0]
	for _, b := range []*l4.Bytes{&loop.Bytes, &web.Bytes, &e.Bytes} {
		b.Add(l4.ToUpstream, l4.Copied, int(up))
		b.Add(l4.ToDownstream, l4.Spliced, int(down))
	}
	loop.Sessions.Add(connections)
	loop.Active.Store(37)
	loop.Pauses.Store(2)
	web.Sessions.Add(connections)
	web.Active.Store(37)
	web.Closed[l4.DownstreamClosed].Add(connections * 9 / 10)
	web.Closed[l4.IdleTimeout].Add(connections / 20)
	web.Closed[l4.ConnectRefused].Add(connections / 30)
	web.PausesFiles.Store(2)
	web.AcceptErrors.Store(5)
	e.Sessions.Add(connections)
	e.Attempts.Add(connections)
	for range 4 {
		web.Duration.Observe(1500 * time.Millisecond)
		s.view.Clusters[0].Loops[0].ConnectTime.Observe(700 * time.Microsecond)
	}
	s.view.Clusters[0].Loops[1].Retries.Store(11)
	bad := &s.endpoints[2].Loops[1]
	bad.Attempts.Add(connections / 30)
	bad.Refused.Add(connections / 30)
	bad.TimedOut.Store(3)
	bad.Resets.Store(6)
}

// countFlows adds flows of the listener dns: each has three datagrams there, of which one is lost now and then, and two back.
func (s *scene) countFlows(flows, lost uint64) {
	loop, dns, e := s.view.Loops[1].UDP.Counters(), &s.dns.Loops[1], &s.endpoints[4].Loops[1]
	there, back := int(3*flows-lost), int(2*flows)
	for _, g := range []*l4.Datagrams{&loop.Datagrams, &dns.Datagrams, &e.Datagrams} {
		g.Add(l4.ToUpstream, there)
		g.Add(l4.ToDownstream, back)
	}
	for _, b := range []*l4.Bytes{&loop.Bytes, &dns.Bytes, &e.Bytes} {
		b.Add(l4.ToUpstream, l4.Copied, 50*there)
		b.Add(l4.ToDownstream, l4.Copied, 500*back)
	}
	loop.Sessions.Add(flows)
	loop.Active.Store(5)
	dns.Sessions.Add(flows)
	dns.Active.Store(5)
	dns.Closed[l4.Answered].Add(flows - flows/10)
	dns.Closed[l4.IdleTimeout].Add(flows / 10)
	dns.Duration.Observe(3 * time.Millisecond)
	dns.Dropped[l4.DropReceiveOverflow].Add(lost)
	dns.Dropped[l4.DropMaxFlows].Store(4)
	for range 5 {
		dns.Received[l4.ToUpstream].Observe(7)
		dns.Received[l4.ToDownstream].Observe(2)
		dns.Sent[l4.ToUpstream].Observe(3)
		dns.Sent[l4.ToDownstream].Observe(1)
	}
	e.Sessions.Add(flows)
	e.Attempts.Add(flows)
}

// golden compares text with a file in testdata, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; run the test with -update and look at the change. Got:\n%s", path, got)
	}
}
