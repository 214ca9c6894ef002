package resolve

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"weir/config"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// behaviour is what a server does with a question.
type behaviour func(w dns.ResponseWriter, q *dns.Msg)

// server is a DNS server on loopback, by UDP and TCP, that does what it is told. What it was told nothing about doesn't exist.
type server struct {
	t    testing.TB
	addr netip.AddrPort

	mu    sync.Mutex
	zone  map[string]behaviour // by "name/type"
	asked map[string]int       // by "name/type/network"
	down  func()
}

func serve(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, zone: map[string]behaviour{}, asked: map[string]int{}}
	for range 20 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := pc.LocalAddr().(*net.UDPAddr).AddrPort()
		ln, err := net.Listen("tcp", addr.String())
		if err != nil {
			_ = pc.Close()
			continue
		}
		s.addr = addr
		s.start(pc, ln)
		t.Cleanup(s.stop)
		return s
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil
}

func (s *server) start(pc net.PacketConn, ln net.Listener) {
	started := make(chan struct{}, 2)
	var ended sync.WaitGroup
	servers := []*dns.Server{{PacketConn: pc}, {Listener: ln}}
	for _, d := range servers {
		d.Handler = s
		d.NotifyStartedFunc = func() { started <- struct{}{} }
		ended.Go(func() { _ = d.ActivateAndServe() })
	}
	<-started
	<-started
	s.down = func() {
		for _, d := range servers {
			_ = d.Shutdown()
		}
		ended.Wait()
	}
}

// stop ends it: then nobody listens there.
func (s *server) stop() {
	if s.down != nil {
		s.down()
	}
	s.down = nil
}

// again starts it where it was.
func (s *server) again() {
	s.t.Helper()
	var pc net.PacketConn
	var ln net.Listener
	eventually(s.t, "the server's port is free", func() bool {
		var err error
		if pc, err = net.ListenPacket("udp", s.addr.String()); err != nil {
			return false
		}
		if ln, err = net.Listen("tcp", s.addr.String()); err != nil {
			_ = pc.Close()
		}
		return err == nil
	})
	s.start(pc, ln)
}

func (s *server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	at := q.Question[0].Name + "/" + dns.TypeToString[q.Question[0].Qtype]
	s.mu.Lock()
	s.asked[at+"/"+w.LocalAddr().Network()]++
	do := s.zone[at]
	s.mu.Unlock()
	if do == nil {
		do = rcode(dns.RcodeNameError)
	}
	do(w, q)
}

func (s *server) set(name, qtype string, do behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone[name+"/"+qtype] = do
}

// count returns how often something was asked: "name/type/network".
func (s *server) count(at string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[at]
}

// records answers with these, in this order.
func records(list ...string) behaviour { return withExtra(nil, list...) }

func withExtra(extra []string, list ...string) behaviour {
	answer, additional := parse(list), parse(extra)
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		m.Answer, m.Extra = answer, additional
		m.Compress = true
		_ = w.WriteMsg(m)
	}
}

func parse(list []string) (rrs []dns.RR) {
	for _, text := range list {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func rcode(code int) behaviour {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, code)
		m.RecursionAvailable = true
		_ = w.WriteMsg(m)
	}
}

func silence(dns.ResponseWriter, *dns.Msg) {}

// both does one thing by UDP and another one by TCP.
func both(udp, tcp behaviour) behaviour {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		if w.LocalAddr().Network() == "udp" {
			udp(w, q)
		} else {
			tcp(w, q)
		}
	}
}

func truncated(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable, m.Truncated = true, true
	_ = w.WriteMsg(m)
}

// rig is a Resolver with quick times, and what it finds.
type rig struct {
	*Resolver
	t   testing.TB
	log *logged

	mu    sync.Mutex
	found map[string][]string // the last by cluster
	calls int
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var quick = pace{timeout: 200 * time.Millisecond, grace: 100 * time.Millisecond, lookEvery: 10 * time.Millisecond}

func start(t testing.TB) *rig {
	t.Helper()
	return startWith(t, "/dev/null/no-such-file", 53, quick)
}

func startWith(t testing.TB, resolvConf string, port uint16, p pace) *rig {
	t.Helper()
	r := &rig{t: t, log: new(logged), found: map[string][]string{}}
	r.Resolver = newResolver(Options{
		Log: slog.New(slog.NewTextHandler(r.log, nil)), ResolvConf: resolvConf, Seed: 1,
		Found: func(cluster string, endpoints []config.Endpoint) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.calls++
			r.found[cluster] = said(endpoints)
		},
	}, port, p)
	t.Cleanup(r.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// said is endpoints in short: the address, and "*weight" and "@priority" unless they are 1 and 0.
func said(endpoints []config.Endpoint) []string {
	list := []string{}
	for _, e := range endpoints {
		text := e.Address.String()
		if e.Weight != 1 {
			text += fmt.Sprintf("*%d", e.Weight)
		}
		if e.Priority != 0 {
			text += fmt.Sprintf("@%d", e.Priority)
		}
		if e.State != config.Ready {
			text += string(e.State)
		}
		list = append(list, text)
	}
	return list
}

// finds waits until Found has been called with these endpoints.
func (r *rig) finds(cluster string, want ...string) {
	r.t.Helper()
	var got []string
	defer func() {
		if r.t.Failed() {
			r.t.Logf("found: %q", got)
		}
	}()
	eventually(r.t, fmt.Sprintf("%s is %q", cluster, want), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = r.found[cluster]
		return got != nil && slices.Equal(got, want)
	})
}

// status waits for one that is as it is to be.
func (r *rig) status(cluster, what string, ok func(Status) bool) (s Status) {
	r.t.Helper()
	eventually(r.t, what, func() bool {
		var there bool
		s, there = r.Status(cluster)
		return there && ok(s)
	})
	return s
}

// fails waits for so many failures more, and for this error.
func (r *rig) fails(cluster, text string, times uint64) {
	r.t.Helper()
	before, _ := r.Status(cluster)
	r.status(cluster, "failure: "+text, func(s Status) bool {
		return s.Failures >= before.Failures+times && strings.Contains(s.LastError, text)
	})
}

func (r *rig) works(cluster string) {
	r.t.Helper()
	r.status(cluster, "no failure", func(s Status) bool { return s.Queries > 0 && s.LastError == "" })
}

// by discovers one cluster, "c", with some servers.
func by(dnsName string, mode config.DiscoverMode, servers ...*server) config.Discover {
	d := config.Discover{DNS: dnsName, Mode: mode, Refresh: 5 * time.Millisecond, MaxRefresh: 20 * time.Millisecond}
	for _, s := range servers {
		d.Servers = append(d.Servers, s.addr)
	}
	return d
}

func (r *rig) set(d config.Discover) { r.Set(map[string]config.Discover{"c": d}) }

func write(t testing.TB, name, text string) {
	t.Helper()
	// Renamed into its place, so that it is there as a whole or not at all.
	next := filepath.Join(filepath.Dir(name), ".next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		t.Fatal(err)
	}
}
