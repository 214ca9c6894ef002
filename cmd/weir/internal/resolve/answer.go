package resolve

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// maxChain is the most CNAMEs that are followed.
const maxChain = 16

var (
	errLoop  = errors.New("the CNAMEs go round in a circle")
	errChain = errors.New("too many CNAMEs one behind another")
)

// service is an SRV record (RFC 2782).
type service struct {
	target   string
	port     uint16
	priority uint16
	weight   uint16
}

// chain follows the CNAMEs of an answer from name on, and returns who owns its records, and the least TTL on the way.
func chain(answer []dns.RR, name string) (owner string, ttl time.Duration, err error) {
	type link struct {
		target string
		ttl    time.Duration
	}
	links := make(map[string]link)
	for _, rr := range answer {
		c, ok := rr.(*dns.CNAME)
		if !ok || c.Hdr.Class != dns.ClassINET {
			continue
		}
		from, to := dns.CanonicalName(c.Hdr.Name), dns.CanonicalName(c.Target)
		l, twice := links[from]
		if !twice {
			l = link{to, ttlOf(rr)}
		}
		// A name has one CNAME at most. Should there be more, which one is taken does not depend on their order.
		links[from] = link{min(l.target, to), min(l.ttl, ttlOf(rr))}
	}
	owner, ttl = dns.CanonicalName(name), maxTTL
	passed := map[string]bool{owner: true}
	for {
		next, ok := links[owner]
		if !ok {
			return owner, ttl, nil
		}
		owner, ttl = next.target, min(ttl, next.ttl)
		if passed[owner] {
			return "", 0, errLoop
		}
		if passed[owner] = true; len(passed) > maxChain {
			return "", 0, errChain
		}
	}
}

// maxTTL is the longest there is (RFC 2181 section 8).
const maxTTL = (1<<31 - 1) * time.Second

func ttlOf(rr dns.RR) time.Duration {
	ttl := time.Duration(rr.Header().Ttl) * time.Second
	if ttl > maxTTL { // is to be taken for zero, by the same section
		return 0
	}
	return ttl
}

// readAddresses returns the addresses that an answer has for a name, distinct, in the order of the records, and their least TTL.
func readAddresses(m *dns.Msg, name string, qtype uint16) ([]netip.Addr, time.Duration, error) {
	owner, ttl, err := chain(m.Answer, name)
	if err != nil {
		return nil, 0, err
	}
	var found family
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Rrtype == qtype && dns.CanonicalName(h.Name) == owner {
			found.add(rr)
		}
	}
	if len(found.addrs) == 0 {
		return nil, 0, nil
	}
	return found.addrs, min(ttl, found.ttl), nil
}

// family is addresses of one family, and how long they are good for.
type family struct {
	addrs []netip.Addr
	ttl   time.Duration
	seen  map[netip.Addr]struct{}
}

// add takes the address of an A or AAAA record, unless no endpoint can have it.
func (f *family) add(rr dns.RR) {
	var a netip.Addr
	if rr.Header().Class != dns.ClassINET {
		return
	}
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA)
	}
	if a = a.Unmap(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return
	}
	if f.seen == nil {
		f.seen, f.ttl = make(map[netip.Addr]struct{}), maxTTL
	}
	f.ttl = min(f.ttl, ttlOf(rr))
	if _, twice := f.seen[a]; !twice {
		f.seen[a] = struct{}{}
		f.addrs = append(f.addrs, a)
	}
}

// readServices returns the SRV records that an answer has for a name, the most wanted first, of those with the same
// target and port only that one, and their least TTL.
func readServices(m *dns.Msg, name string) ([]service, time.Duration, error) {
	owner, ttl, err := chain(m.Answer, name)
	if err != nil {
		return nil, 0, err
	}
	var found []service
	for _, rr := range m.Answer {
		s, ok := rr.(*dns.SRV)
		if !ok || s.Hdr.Class != dns.ClassINET || dns.CanonicalName(s.Hdr.Name) != owner {
			continue
		}
		ttl = min(ttl, ttlOf(rr))
		// The root as a target says that there is no such service, and port 0 is nobody's.
		if target := dns.CanonicalName(s.Target); target != "." && s.Port != 0 {
			found = append(found, service{target: target, port: s.Port, priority: s.Priority, weight: s.Weight})
		}
	}
	slices.SortFunc(found, func(a, b service) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.weight, a.weight),
			cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port))
	})
	type place struct {
		target string
		port   uint16
	}
	seen := make(map[place]struct{}, len(found))
	return slices.DeleteFunc(found, func(s service) bool {
		at := place{s.target, s.port}
		_, twice := seen[at]
		seen[at] = struct{}{}
		return twice
	}), ttl, nil
}

// readAdditional returns the addresses that came along with SRV records, by target: A and AAAA.
func readAdditional(m *dns.Msg) map[string]*[2]family {
	found := make(map[string]*[2]family)
	for _, rr := range m.Extra {
		i := slices.Index(families[:], rr.Header().Rrtype)
		if i < 0 {
			continue
		}
		name := dns.CanonicalName(rr.Header().Name)
		if found[name] == nil {
			found[name] = new([2]family)
		}
		found[name][i].add(rr)
	}
	return found
}
