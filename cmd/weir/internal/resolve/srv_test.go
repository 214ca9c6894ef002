package resolve

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"weir/config"
)

const srvName = "_http._tcp.web.test."

func TestSRV(t *testing.T) {
	s, r := serve(t), start(t)
	s.set(srvName, "SRV", withExtra(
		[]string{"a.test. 9 A 10.0.0.1", "a.test. 4 AAAA fd00::1", "b.test. 9 A 10.0.0.2", "z.test. 1 A 10.6.6.6"},
		srvName+" 7 SRV 1 0 8080 a.test.",
		srvName+" 8 SRV 0 65535 8081 b.test.",
		srvName+" 8 SRV 0 5 8082 c.test.",
		srvName+" 8 SRV 0 5 8083 .",
		srvName+" 8 SRV 0 5 0 a.test.",
	))
	s.set("c.test.", "A", records("c.test. 5 CNAME d.test.", "d.test. 6 A 10.0.0.3"))
	s.set("c.test.", "AAAA", records())
	r.set(by(srvName, config.DiscoverSRV, s))
	r.finds("c", "10.0.0.2:8081*65535", "10.0.0.3:8082*5", "10.0.0.1:8080@1", "[fd00::1]:8080@1")
	st := r.status("c", "looks again", func(st Status) bool { return st.Queries > 2 })
	if st.TTL != 4*time.Second || st.LastError != "" {
		t.Errorf("status: %+v", st)
	}
	for _, at := range []string{"a.test./A/udp", "b.test./A/udp", "b.test./AAAA/udp", "z.test./A/udp"} {
		if s.count(at) > 0 {
			t.Errorf("%s was asked for", at)
		}
	}
	// A family that didn't come along this time, but had addresses, is asked for.
	s.set("a.test.", "AAAA", records("a.test. 9 AAAA fd00::2"))
	s.set(srvName, "SRV", withExtra([]string{"a.test. 9 A 10.0.0.1"}, srvName+" 7 SRV 0 0 8080 a.test.", srvName+" 7 SRV 0 0 8080 c.test."))
	r.finds("c", "10.0.0.1:8080", "10.0.0.3:8080", "[fd00::2]:8080")
	// A target that fails keeps its addresses while the rest goes on.
	s.set("c.test.", "A", rcode(dns.RcodeNameError))
	s.set("c.test.", "AAAA", rcode(dns.RcodeNameError))
	r.fails("c", "c.test.: no such name", 2)
	s.set("a.test.", "AAAA", records("a.test. 9 AAAA fd00::3"))
	r.finds("c", "10.0.0.1:8080", "10.0.0.3:8080", "[fd00::3]:8080")
	// It is forgotten with its record.
	s.set(srvName, "SRV", records(srvName+" 7 SRV 0 0 8080 a.test."))
	s.set("a.test.", "A", records("a.test. 9 A 10.0.0.1"))
	r.finds("c", "10.0.0.1:8080", "[fd00::3]:8080")
	s.set(srvName, "SRV", records(srvName+" 7 SRV 0 0 8080 a.test.", srvName+" 7 SRV 0 0 8080 c.test."))
	r.fails("c", "c.test.: no such name", 2)
	r.finds("c", "10.0.0.1:8080", "[fd00::3]:8080")
	for _, c := range []struct {
		do    behaviour
		error string
	}{
		{rcode(dns.RcodeNameError), srvName + ": no such name"},
		{rcode(dns.RcodeServerFailure), srvName + ": SRV: " + s.addr.String() + ": SERVFAIL"},
		{records(), srvName + ": SRV: no service"},
		{records(srvName + " 7 SRV 0 0 8080 ."), "no service"},
		{records(srvName+" 7 CNAME "+srvName, srvName+" 7 SRV 0 0 8080 b.test."), "circle"},
		{records(srvName + " 7 SRV 0 0 8080 nothing.test."), "nothing.test.: no such name"},
	} {
		s.set(srvName, "SRV", c.do)
		r.fails("c", c.error, 1)
		if got, _ := r.Known("c"); fmt.Sprint(said(got)) != "[10.0.0.1:8080 [fd00::3]:8080]" {
			t.Errorf("%s: known %v", c.error, said(got))
		}
	}
}

func TestSameAddressTwice(t *testing.T) {
	list := []string{
		"s. 1 SRV 2 9 80 a.test.",
		"s. 1 SRV 1 3 80 b.test.", // the one that counts: b has the address, too
		"s. 1 SRV 1 3 81 b.test.",
		"s. 1 SRV 1 2 80 a.test.",
		"s. 1 SRV 1 1 80 b.test.",
		"s. 1 SRV 0 0 82 c.test.",
	}
	addrs := func(target string) []netip.Addr {
		if target == "c.test." {
			return nil
		}
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		services, _, err := readServices(&dns.Msg{Answer: parse(list)}, "s.")
		if err != nil {
			t.Fatal(err)
		}
		got, more := servedBy(services, addrs)
		if fmt.Sprint(said(got)) != "[10.0.0.1:80*3@1 10.0.0.1:81*3@1]" || more {
			t.Fatalf("%v, more: %v", said(got), more)
		}
	}
}

// More targets than are asked for, each with more addresses than are taken: both are cut, and in the same way every time.
func TestManyTargets(t *testing.T) {
	s, r := serve(t), start(t)
	var list []string
	for i := range maxTargets + 50 {
		target := fmt.Sprintf("t%03d.test.", i)
		list = append(list, fmt.Sprintf("%s 60 SRV 0 1 80 %s", srvName, target))
		s.set(target, "A", records(fmt.Sprintf("%s 60 A 10.0.%d.%d", target, i/200, i%200+1)))
		s.set(target, "AAAA", records())
	}
	slices.Reverse(list)
	s.set(srvName, "SRV", both(truncated, records(list...)))
	d := by(srvName, config.DiscoverSRV, s)
	d.Refresh, d.MaxRefresh = time.Hour, time.Hour
	r.set(d)
	st := r.status("c", "answered", func(st Status) bool { return !st.Answered.IsZero() })
	if st.Endpoints != maxTargets {
		t.Errorf("%d endpoints", st.Endpoints)
	}
	if s.count("t255.test./A/udp") != 1 || s.count("t256.test./A/udp") != 0 {
		t.Error("others were asked for")
	}
	eventually(t, "the cut is in the log", func() bool { return r.log.count("more endpoints than are taken") == 1 })
}

func TestServedByTooMany(t *testing.T) {
	var addrs []netip.Addr
	for i := range maxPerTarget {
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}))
	}
	var services []service
	for i := range 20 {
		services = append(services, service{target: "a.", port: uint16(i + 1), priority: 1})
	}
	list, more := servedBy(services, func(string) []netip.Addr { return addrs })
	if len(list) != maxEndpoints || !more {
		t.Errorf("%d, more: %v", len(list), more)
	}
}

func TestJoined(t *testing.T) {
	var errs []error
	for _, want := range []string{"e0", "e0; e1", "e0; e1; e2", "e0; e1; e2; and 1 more"} {
		errs = append(errs, nil, fmt.Errorf("e%d", len(errs)/2))
		if got := joined(slices.Clone(errs)); got.Error() != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if joined([]error{nil}) != nil {
		t.Error("an error of none")
	}
}
