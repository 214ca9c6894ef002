package resolve

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"weir/config"
)

// endpointsOf is all that may be made of one message: the endpoints of its addresses, as in the mode all, and of its services with the addresses
// that came along.
func endpointsOf(m *dns.Msg, name string) (all, services []config.Endpoint) {
	var got [2]reply
	for i, qtype := range families {
		got[i] = readReply(m, name, qtype)
	}
	var h host
	if _, ok, _ := h.take(name, &got); ok {
		all, _ = allOf(h.addrs(), 80)
	}
	list, _, err := readServices(m, name)
	if err != nil {
		return all, nil
	}
	extra := readAdditional(m)
	services, _ = servedBy(list, func(target string) []netip.Addr {
		if extra[target] == nil {
			return nil
		}
		h := host{known: [2][]netip.Addr{extra[target][0].addrs, extra[target][1].addrs}}
		h.cut()
		return h.addrs()
	})
	return all, services
}

// FuzzAnswer has whatever a server may send made into endpoints, which are sound, and the same whatever the order of the records.
func FuzzAnswer(f *testing.F) {
	const name = "web.test."
	for _, c := range []struct {
		qtype         uint16
		answer, extra []string
	}{
		{dns.TypeA, []string{"web.test. 5 A 10.0.0.1", "web.test. 7 A 10.0.0.2", "web.test. 7 A 0.0.0.0", "web.test. 7 A 224.0.0.1"}, nil},
		{dns.TypeAAAA, []string{"web.test. 5 AAAA fd00::1", "web.test. 5 AAAA ::ffff:10.0.0.1", "web.test. 5 AAAA ff02::1"}, nil},
		{dns.TypeA, []string{"web.test. 5 CNAME a.test.", "a.test. 5 CNAME b.test.", "b.test. 5 A 10.0.0.1", "b.test. 5 AAAA fd00::1"}, nil},
		{dns.TypeA, []string{"web.test. 5 CNAME a.test.", "a.test. 5 CNAME web.test."}, nil},
		{dns.TypeSRV, []string{"web.test. 5 SRV 1 2 80 a.test.", "web.test. 5 SRV 0 0 81 b.test.", "web.test. 5 SRV 0 0 81 ."},
			[]string{"a.test. 5 A 10.0.0.1", "a.test. 5 AAAA fd00::1", "b.test. 5 A 10.0.0.1"}},
	} {
		m := new(dns.Msg).SetQuestion(name, c.qtype)
		m.Response, m.RecursionAvailable = true, true
		m.Answer, m.Extra = parse(c.answer), parse(c.extra)
		m.SetEdns0(ednsSize, false)
		for _, m.Compress = range []bool{false, true} {
			raw, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
			f.Add(raw[:len(raw)-5])
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := unpack(raw)
		q := new(dns.Msg).SetQuestion(name, dns.TypeA)
		q.Id = m.Id
		_ = answers(m, q)
		if err != nil {
			return
		}
		asked := name
		if len(m.Question) > 0 {
			asked = m.Question[0].Name
		}
		all, services := endpointsOf(m, asked)
		sound(t, all)
		sound(t, services)
		for _, section := range [][]dns.RR{m.Answer, m.Extra} {
			slices.Reverse(section)
		}
		again, servicesAgain := endpointsOf(m, asked)
		if !slices.Equal(all, again) || !slices.Equal(services, servicesAgain) {
			t.Errorf("in another order another result:\n%v, %v\n%v, %v", all, services, again, servicesAgain)
		}
	})
}

// sound checks what Found promises.
func sound(t *testing.T, list []config.Endpoint) {
	t.Helper()
	seen := map[netip.AddrPort]bool{}
	for i, e := range list {
		a := e.Address.Addr()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || e.Address.Port() == 0 || e.Weight < 1 || e.Weight > 65535 ||
			e.Priority > 65535 || e.State != config.Ready || seen[e.Address] {
			t.Errorf("endpoint %+v", e)
		}
		seen[e.Address] = true
		if i > 0 && (e.Priority < list[i-1].Priority || e.Priority == list[i-1].Priority && e.Address.Compare(list[i-1].Address) <= 0) {
			t.Errorf("%v comes after %v", e, list[i-1])
		}
	}
	if len(list) > maxEndpoints {
		t.Errorf("%d endpoints", len(list))
	}
}
