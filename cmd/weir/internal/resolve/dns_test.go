package resolve

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"weir/config"
)

func TestAddresses(t *testing.T) {
	s, r := serve(t), start(t)
	s.set("web.test.", "A", records("web.test. 7 A 10.0.0.2", "web.test. 9 A 10.0.0.1", "web.test. 9 A 10.0.0.2", "web.test. 9 A 0.0.0.0", "other.test. 1 A 10.9.9.9"))
	s.set("web.test.", "AAAA", records("web.test. 8 AAAA fd00::1", "web.test. 8 AAAA ff02::1", "web.test. 8 AAAA ::", "web.test. 8 AAAA ::ffff:10.0.0.1"))
	r.set(by("web.test:8080", config.DiscoverAll, s))
	r.First(context.Background())
	if got, ok := r.Known("c"); !ok || fmt.Sprint(said(got)) != "[10.0.0.1:8080 10.0.0.2:8080 [fd00::1]:8080]" {
		t.Errorf("known: %v %v", got, ok)
	}
	r.finds("c", "10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080")
	st := r.status("c", "looks again", func(st Status) bool { return st.Queries > 3 })
	if st.TTL != 7*time.Second || st.Endpoints != 3 || st.Failures != 0 || st.LastError != "" || st.Answered.IsZero() || !st.Next.After(st.Answered) {
		t.Errorf("status: %+v", st)
	}
	if r.calls != 1 {
		t.Errorf("Found was called %d times for the same", r.calls)
	}
	s.set("web.test.", "A", records("web.test. 9 A 10.0.0.3", "web.test. 9 A 10.0.0.2"))
	r.finds("c", "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "[fd00::1]:8080") // 10.0.0.1 is still there as a mapped one
	eventually(t, "the change is in the log", func() bool {
		return r.log.count(`msg="endpoints discovered" cluster=c endpoints=4 added=[10.0.0.3:8080] removed=[]`) == 1
	})
}

func TestNotThere(t *testing.T) {
	r := start(t)
	if _, ok := r.Known("c"); ok {
		t.Error("known")
	}
	if _, ok := r.Status("c"); ok {
		t.Error("status")
	}
	r.First(context.Background())
	s := serve(t)
	s.set("web.test.", "A", silence)
	s.set("web.test.", "AAAA", silence)
	r.set(by("web.test:80", config.DiscoverAll, s))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.First(ctx)
	if _, ok := r.Known("c"); ok {
		t.Error("known without an answer")
	}
	r.fails("c", "web.test.: "+s.addr.String()+": no answer within 200ms", 1)
	r.First(context.Background())
}

// Whatever goes wrong, what is known stays.
func TestFailStatic(t *testing.T) {
	s, r := serve(t), start(t)
	good := func() {
		s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
		s.set("web.test.", "AAAA", records("web.test. 1 AAAA fd00::1"))
	}
	good()
	r.set(by("web.test:80", config.DiscoverAll, s))
	r.finds("c", "10.0.0.1:80", "[fd00::1]:80")
	malformed := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = parse([]string{"web.test. 1 A 10.6.6.6"})
		raw, _ := m.Pack()
		_, _ = w.Write(raw[:len(raw)-2])
	}
	for _, c := range []struct {
		name  string
		do    behaviour
		error string
	}{
		{"NXDOMAIN", rcode(dns.RcodeNameError), "web.test.: no such name"},
		{"SERVFAIL", rcode(dns.RcodeServerFailure), "SERVFAIL"},
		{"REFUSED", rcode(dns.RcodeRefused), "REFUSED"},
		{"FORMERR", rcode(dns.RcodeFormatError), "FORMERR"},
		{"no name", rcode(15), "RCODE 15"},
		{"nothing in both", records(), "web.test.: no address"},
		{"of another name", records("other.test. 1 A 10.6.6.6"), "no address"},
		{"none that is usable", records("web.test. 1 A 0.0.0.0", "web.test. 1 AAAA ::", "web.test. 1 A 224.0.0.1"), "no address"},
		{"malformed", malformed, "malformed"},
		{"silence", silence, "no answer within"},
		{"truncated both times", truncated, "no address"},
		{"a referral", func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetReply(q)) }, "does not resolve"},
		{"CNAMEs in a circle", records("web.test. 1 CNAME a.test.", "a.test. 1 CNAME b.test.", "b.test. 1 CNAME a.test."), "circle"},
	} {
		t.Run(c.name, func(t *testing.T) {
			logged := r.log.count("discovery works again")
			s.set("web.test.", "A", c.do)
			s.set("web.test.", "AAAA", c.do)
			r.fails("c", c.error, 2)
			if st, _ := r.Status("c"); st.Endpoints != 2 {
				t.Errorf("%d endpoints", st.Endpoints)
			}
			good()
			r.works("c")
			eventually(t, "works again is in the log", func() bool { return r.log.count("discovery works again") == logged+1 })
		})
	}
	s.stop()
	r.fails("c", s.addr.String()+": connection refused", 3)
	if n := r.log.count("connection refused"); n != 1 {
		t.Errorf("the same failure is in the log %d times", n)
	}
	eventually(t, "the failure is in the log", func() bool {
		return r.log.count(`msg="discovery fails" cluster=c error="web.test.: `+s.addr.String()+`: connection refused" keeping=2`) == 1
	})
	s.again()
	r.works("c")
	if r.mu.Lock(); r.calls != 1 {
		t.Errorf("Found was called %d times", r.calls)
	}
	r.mu.Unlock()
}

// A family that fails stays as it was; one that there is no longer, while there is the other, is gone.
func TestOneFamily(t *testing.T) {
	s, r := serve(t), start(t)
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	s.set("web.test.", "AAAA", records("web.test. 1 AAAA fd00::1"))
	r.set(by("web.test:80", config.DiscoverAll, s))
	r.finds("c", "10.0.0.1:80", "[fd00::1]:80")
	for i, c := range []struct {
		do    behaviour
		error string
	}{
		{rcode(dns.RcodeServerFailure), "web.test.: AAAA: " + s.addr.String() + ": SERVFAIL"},
		{rcode(dns.RcodeNameError), "web.test.: AAAA: no such name"},
		{silence, "web.test.: AAAA: no answer 100ms after that of the other family"},
	} {
		s.set("web.test.", "AAAA", c.do)
		r.fails("c", c.error, 2)
		other := fmt.Sprintf("10.0.1.%d", i)
		s.set("web.test.", "A", records("web.test. 1 A "+other))
		r.finds("c", other+":80", "[fd00::1]:80")
	}
	s.set("web.test.", "AAAA", records())
	r.finds("c", "10.0.1.2:80")
	r.works("c")
	s.set("web.test.", "AAAA", records("web.test. 1 AAAA fd00::2"))
	r.finds("c", "10.0.1.2:80", "[fd00::2]:80")
	s.set("web.test.", "A", records())
	r.finds("c", "[fd00::2]:80")
	s.set("web.test.", "AAAA", rcode(dns.RcodeServerFailure))
	r.fails("c", "web.test.: A: no address, AAAA: ", 1)
	if got, _ := r.Known("c"); len(got) != 1 {
		t.Errorf("known: %v", said(got))
	}
}

func TestTruncated(t *testing.T) {
	s, r := serve(t), start(t)
	// A thousand addresses are 16 KiB.
	var list, want []string
	for i := range 1000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i%250 + 1)})
		list = append(list, "web.test. 1 A "+a.String())
		want = append(want, a.String()+":80")
	}
	cut := func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() == nil || q.IsEdns0().UDPSize() != 1232 {
			t.Errorf("asked without EDNS0 for 1232 bytes:\n%v", q)
		}
		m := new(dns.Msg).SetReply(q)
		m.Truncated, m.Answer = true, parse(list[:60])
		raw, _ := m.Pack()
		_, _ = w.Write(raw[:512]) // within a record
	}
	s.set("web.test.", "A", both(cut, records(list...)))
	s.set("web.test.", "AAAA", records())
	r.set(by("web.test:80", config.DiscoverAll, s))
	r.finds("c", want...)
	if s.count("web.test./A/tcp") == 0 || s.count("web.test./AAAA/tcp") != 0 {
		t.Errorf("asked: %v", s.asked)
	}
	eventually(t, "the log names 8", func() bool {
		return r.log.count(`endpoints=1000 added="[10.0.0.1:80 10.0.0.2:80 10.0.0.3:80 10.0.0.4:80 10.0.0.5:80 10.0.0.6:80 10.0.0.7:80 10.0.0.8:80 and 992 more]"`) == 1
	})
}

// A server that doesn't know EDNS0 is asked without.
func TestWithoutEDNS(t *testing.T) {
	s, r := serve(t), start(t)
	s.set("web.test.", "A", func(w dns.ResponseWriter, q *dns.Msg) {
		if q.IsEdns0() != nil {
			rcode(dns.RcodeFormatError)(w, q)
			return
		}
		records("web.test. 1 A 10.0.0.1")(w, q)
	})
	s.set("web.test.", "AAAA", records())
	r.set(by("web.test:80", config.DiscoverAll, s))
	r.finds("c", "10.0.0.1:80")
}

func TestNextServer(t *testing.T) {
	good := serve(t)
	good.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	good.set("web.test.", "AAAA", records())
	for name, do := range map[string]behaviour{
		"silence":  silence,
		"SERVFAIL": rcode(dns.RcodeServerFailure),
		"REFUSED":  rcode(dns.RcodeRefused),
		"no TCP":   both(truncated, func(w dns.ResponseWriter, _ *dns.Msg) { _ = w.Close() }),
	} {
		t.Run(name, func(t *testing.T) {
			bad, r := serve(t), start(t)
			bad.set("web.test.", "A", do)
			bad.set("web.test.", "AAAA", do)
			r.set(by("web.test:80", config.DiscoverAll, bad, good))
			r.finds("c", "10.0.0.1:80")
			r.works("c")
			if bad.count("web.test./A/udp") == 0 {
				t.Error("the first server was not asked")
			}
		})
	}
	// Of one where nobody listens, the kernel tells: nothing is waited for.
	t.Run("nobody", func(t *testing.T) {
		nobody := serve(t)
		nobody.stop()
		patient := quick
		patient.timeout = time.Hour
		r := startWith(t, "/dev/null/no", 53, patient)
		r.set(by("web.test:80", config.DiscoverAll, nobody, good))
		r.finds("c", "10.0.0.1:80")
	})
	// A server loses an answer: the next round asks it again.
	t.Run("again", func(t *testing.T) {
		s, r := serve(t), start(t)
		s.set("web.test.", "AAAA", records())
		s.set("web.test.", "A", func(w dns.ResponseWriter, q *dns.Msg) {
			if s.count("web.test./A/udp") > 1 {
				records("web.test. 1 A 10.0.0.1")(w, q)
			}
		})
		r.set(by("web.test:80", config.DiscoverAll, s))
		r.First(context.Background())
		if got, _ := r.Known("c"); len(got) != 1 {
			t.Errorf("known: %v", got)
		}
	})
}

// What is no answer to the question is not looked at.
func TestStrangers(t *testing.T) {
	s, r := serve(t), start(t)
	s.set("web.test.", "AAAA", records())
	s.set("web.test.", "A", func(w dns.ResponseWriter, q *dns.Msg) {
		bad := func(change func(m *dns.Msg)) {
			m := new(dns.Msg).SetReply(q)
			m.RecursionAvailable = true
			m.Answer = parse([]string{"web.test. 1 A 10.6.6.6"})
			m.Question = append([]dns.Question(nil), m.Question...)
			change(m)
			_ = w.WriteMsg(m)
		}
		_, _ = w.Write(nil)
		_, _ = w.Write([]byte("short"))
		_, _ = w.Write([]byte(strings.Repeat("\xff", 500)))
		bad(func(m *dns.Msg) { m.Id++ })
		bad(func(m *dns.Msg) { m.Question[0].Name = "other.test." })
		bad(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT })
		bad(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })
		bad(func(m *dns.Msg) { m.Question = nil })
		bad(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })
		bad(func(m *dns.Msg) { m.Response = false })
		bad(func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus })
		m := new(dns.Msg).SetReply(q)
		m.Question[0].Name = "WeB.TeSt." // is the same name
		m.RecursionAvailable = true
		m.Answer = parse([]string{"wEb.test. 1 A 10.0.0.1"})
		_ = w.WriteMsg(m)
	})
	r.set(by("Web.Test:80", config.DiscoverAll, s))
	s.set("Web.Test.", "A", s.zone["web.test./A"])
	s.set("Web.Test.", "AAAA", records())
	r.finds("c", "10.0.0.1:80")
	r.works("c")
}

// A flood of datagrams that answer nothing doesn't keep the lookup busy for ever.
func TestFlood(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			_, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			for range 2000 {
				_, _ = pc.WriteTo(make([]byte, 12), from)
			}
		}
	}()
	defer func() { _ = pc.Close(); <-done }()
	c := newClient()
	addr := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	_, err = c.ask(context.Background(), servers{addrs: []netip.AddrPort{addr}, timeout: time.Second, attempts: 1}, "web.test.", dns.TypeA)
	if err == nil {
		t.Error("an answer")
	}
}

func TestCNAME(t *testing.T) {
	var long []string
	for i := range maxChain {
		long = append(long, fmt.Sprintf("c%d.test. 50 CNAME c%d.test.", i, i+1))
	}
	long = append(long, fmt.Sprintf("c%d.test. 50 A 10.0.0.1", maxChain))
	for _, c := range []struct {
		name    string
		from    string
		records []string
		want    string
		ttl     time.Duration
		error   error
	}{
		{"none", "a.test.", []string{"a.test. 30 A 10.0.0.1"}, "[10.0.0.1]", 30 * time.Second, nil},
		{"one", "a.test.", []string{"a.test. 10 CNAME B.test.", "b.Test. 30 A 10.0.0.1"}, "[10.0.0.1]", 10 * time.Second, nil},
		{"in another order", "a.test.", []string{"c.test. 30 A 10.0.0.1", "b.test. 20 CNAME c.test.", "a.test. 40 CNAME b.test."}, "[10.0.0.1]", 20 * time.Second, nil},
		{"strangers beside", "a.test.", []string{"a.test. 30 CNAME b.test.", "b.test. 30 A 10.0.0.1", "x.test. 1 CNAME b.test.", "x.test. 1 A 10.6.6.6", "a.test. 1 A 10.6.6.6"}, "[10.0.0.1]", 30 * time.Second, nil},
		{"two at one name", "a.test.", []string{"a.test. 30 CNAME c.test.", "a.test. 20 CNAME b.test.", "b.test. 40 A 10.0.0.1", "c.test. 40 A 10.6.6.6"}, "[10.0.0.1]", 20 * time.Second, nil},
		{"nowhere", "a.test.", []string{"a.test. 30 CNAME b.test."}, "[]", 0, nil},
		{"itself", "a.test.", []string{"a.test. 30 CNAME a.test.", "a.test. 30 A 10.0.0.1"}, "[]", 0, errLoop},
		{"in a circle", "a.test.", []string{"a.test. 30 CNAME b.test.", "b.test. 30 CNAME a.test.", "b.test. 30 A 10.0.0.1"}, "[]", 0, errLoop},
		{"as long as may be", "c1.test.", long, "[10.0.0.1]", 50 * time.Second, nil},
		{"too long", "c0.test.", long, "[]", 0, errChain},
		{"least TTL of all", "a.test.", []string{"a.test. 30 A 10.0.0.1", "a.test. 20 A 10.0.0.2"}, "[10.0.0.1 10.0.0.2]", 20 * time.Second, nil},
		{"TTL with the top bit", "a.test.", []string{"a.test. 2147483648 A 10.0.0.1"}, "[10.0.0.1]", 0, nil},
		{"longest TTL", "a.test.", []string{"a.test. 2147483647 A 10.0.0.1"}, "[10.0.0.1]", maxTTL, nil},
		{"other class", "a.test.", []string{"a.test. 30 CH A 10.0.0.1"}, "[]", 0, nil},
	} {
		m := &dns.Msg{Answer: parse(c.records)}
		got, ttl, err := readAddresses(m, c.from, dns.TypeA)
		if err != c.error || fmt.Sprint(got) != c.want || ttl != c.ttl {
			t.Errorf("%s: %v, %v, %v", c.name, got, ttl, err)
		}
	}
}

func TestFirstMode(t *testing.T) {
	s, r := serve(t), start(t)
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.2", "web.test. 1 A 10.0.0.1"))
	s.set("web.test.", "AAAA", records("web.test. 1 AAAA fd00::1"))
	r.set(by("web.test:80", config.DiscoverFirst, s))
	r.finds("c", "10.0.0.2:80")
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.1", "web.test. 1 A 10.0.0.2"))
	r.status("c", "looks on", func(st Status) bool { return st.Queries > 5 })
	r.finds("c", "10.0.0.2:80")
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.3", "web.test. 1 A 10.0.0.1"))
	r.finds("c", "10.0.0.3:80")
	s.set("web.test.", "A", records())
	r.finds("c", "[fd00::1]:80")
	s.set("web.test.", "A", records("web.test. 1 A 10.0.0.3"))
	r.status("c", "looks on", func(st Status) bool { return st.Queries > 10 })
	r.finds("c", "[fd00::1]:80")
}

func TestTooMany(t *testing.T) {
	var addrs []netip.Addr
	for i := range maxEndpoints + 1 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	if list, more := allOf(addrs, 80); len(list) != maxEndpoints || !more {
		t.Errorf("%d, more: %v", len(list), more)
	}
	if list, more := allOf(addrs[1:], 80); len(list) != maxEndpoints || more {
		t.Errorf("%d, more: %v", len(list), more)
	}
	h := &host{known: [2][]netip.Addr{addrs[:maxPerTarget+1], nil}}
	if !h.cut() || len(h.known[0]) != maxPerTarget {
		t.Errorf("%d of a target", len(h.known[0]))
	}
}

func TestSearch(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, conf, "nameserver 127.0.0.1\nsearch a.test b.test .\noptions ndots:2 timeout:1 attempts:1\n")
	s := serve(t)
	r := startWith(t, conf, s.addr.Port(), quick)
	s.set("web.b.test.", "A", records("web.b.test. 1 A 10.0.0.1"))
	s.set("web.b.test.", "AAAA", records("web.b.test. 1 AAAA fd00::1"))
	r.set(by("web:80", config.DiscoverAll))
	r.finds("c", "10.0.0.1:80", "[fd00::1]:80")
	if s.count("web./A/udp") > 0 {
		t.Error("asked for more than was needed")
	}
	// A name without addresses is passed by, too.
	s.set("web.a.test.", "A", records())
	s.set("web.a.test.", "AAAA", records())
	asked := s.count("web.b.test./A/udp")
	eventually(t, "goes on", func() bool { return s.count("web.b.test./A/udp") > asked+1 })
	r.works("c")
	// One that nobody can tell of is not.
	s.set("web.a.test.", "AAAA", rcode(dns.RcodeServerFailure))
	r.fails("c", "web.a.test.: A: no address, AAAA: 127.0.0.1:", 1)
	// Another name's addresses don't mix with those of the present one.
	s.set("web.a.test.", "A", records("web.a.test. 1 A 10.0.0.2"))
	r.finds("c", "10.0.0.2:80")
	// No name at all.
	s.set("web.a.test.", "A", nil)
	s.set("web.b.test.", "A", nil)
	s.set("web.b.test.", "AAAA", nil)
	r.fails("c", "web.: no such name (before it: web.a.test., web.b.test.)", 1)
	// With as many dots as ndots, the name itself comes first; with one at its end it is the only one.
	s.set("x.y.web.", "A", records("x.y.web. 1 A 10.0.0.3"))
	r.set(by("x.y.web:80", config.DiscoverAll))
	r.finds("c", "10.0.0.3:80")
	if s.count("x.y.web.a.test./A/udp") > 0 {
		t.Error("the search list came first")
	}
	r.set(by("web.:80", config.DiscoverAll))
	r.fails("c", "web.: no such name", 1)
	if st, _ := r.Status("c"); st.LastError != "web.: no such name" {
		t.Errorf("error: %s", st.LastError)
	}
}

func TestResolvConfIsReadAgain(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	a := serve(t)
	r := startWith(t, conf, a.addr.Port(), quick)
	a.set("web.test.", "A", records("web.test. 1 A 10.0.0.1"))
	a.set("web.test.", "AAAA", records())
	a.set("web.other.", "A", records("web.other. 1 A 10.0.0.2"))
	a.set("web.other.", "AAAA", records())
	write(t, conf, "nameserver 127.0.0.1\nsearch test\n")
	r.set(by("web:80", config.DiscoverAll))
	r.finds("c", "10.0.0.1:80")
	write(t, conf, "nameserver 127.0.0.1\nsearch other\n")
	r.finds("c", "10.0.0.2:80")
	write(t, conf, "nameserver 127.0.0.9\nsearch other\n")
	r.fails("c", "127.0.0.9:", 2)
	write(t, conf, "nameserver 127.0.0.1\nsearch test\n")
	r.finds("c", "10.0.0.1:80")
}

func TestParseResolvConf(t *testing.T) {
	for text, want := range map[string]string{
		"": "[127.0.0.1 ::1] [] 1 5 2",
		"nameserver example.com\nnameserver 10.0.0.1\nnameserver fe80::1%lo\n":                                                    "[10.0.0.1 fe80::1%lo] [] 1 5 2",
		"nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\noptions timeout:99 attempts:99 ndots:99": "[1.1.1.1 1.1.1.2 1.1.1.3] [] 15 30 5",
		"search . a..b " + strings.Repeat("x ", 100):                                                                              "[127.0.0.1 ::1] [" + strings.TrimSpace(strings.Repeat("x ", maxConfSearch)) + "] 1 5 2",
		"options timeout:0 attempts:-1 ndots:-1\x00":                                                                              "[127.0.0.1 ::1] [] 0 1 1",
	} {
		c := parseResolvConf([]byte(text))
		if got := fmt.Sprint(c.Servers, c.Search, c.Ndots, c.Timeout, c.Attempts); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestBadName(t *testing.T) {
	s, r := serve(t), start(t)
	r.set(by(strings.Repeat("x", 64)+".test:80", config.DiscoverAll, s))
	r.fails("c", "not a name", 1)
}
