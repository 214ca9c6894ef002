package access

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestFilter(t *testing.T) {
	tests := []struct {
		name        string
		allow, deny []netip.Prefix
		in, out     []netip.Addr
	}{
		{name: "nothing", in: addrs("0.0.0.0", "255.255.255.255", "::", "::1")},
		{
			name: "allow one network", allow: prefixes("10.0.0.0/8"),
			in:  addrs("10.0.0.0", "10.1.2.3", "10.255.255.255", "::ffff:10.1.2.3"),
			out: addrs("9.255.255.255", "11.0.0.0", "0.0.0.0", "255.255.255.255", "::", "::10.1.2.3", "a00::"),
		},
		{
			name: "deny one network", deny: prefixes("10.0.0.0/8"),
			in:  addrs("9.255.255.255", "11.0.0.0", "0.0.0.0", "255.255.255.255", "::", "ffff::", "::10.1.2.3"),
			out: addrs("10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"),
		},
		{
			name: "bits behind the prefix", allow: prefixes("10.1.2.3/8", "2001:db8::1/32"),
			in: addrs("10.0.0.0", "10.255.255.255", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), out: addrs("11.0.0.0", "2001:db9::"),
		},
		{
			name: "one address", allow: prefixes("192.0.2.1/32", "2001:db8::1/128"),
			in: addrs("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"), out: addrs("192.0.2.0", "192.0.2.2", "2001:db8::", "2001:db8::2"),
		},
		{
			name: "all of IPv4", allow: prefixes("0.0.0.0/0"),
			in: addrs("0.0.0.0", "255.255.255.255", "::ffff:0.0.0.0", "::ffff:255.255.255.255"), out: addrs("::", "::1", "::fffe:ffff:ffff", "::1:0:0:0"),
		},
		{
			name: "all of IPv6", allow: prefixes("::/0"),
			in: addrs("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1:0:0:0"), out: addrs("0.0.0.0", "192.0.2.1", "::ffff:192.0.2.1"),
		},
		{name: "no IPv4", deny: prefixes("0.0.0.0/0"), in: addrs("::", "::1"), out: addrs("0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4")},
		{name: "no IPv6", deny: prefixes("::/0"), in: addrs("0.0.0.0", "::ffff:1.2.3.4"), out: addrs("::", "fe80::1%eth0")},
		{
			name: "the last address of all", allow: prefixes("255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"),
			in: addrs("255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), out: addrs("255.255.255.254", "0.0.0.0", "::", "ffff::"),
		},
		{
			name: "the first address of all", deny: prefixes("0.0.0.0/32", "::/128"),
			in: addrs("0.0.0.1", "::1", "255.255.255.255"), out: addrs("0.0.0.0", "::"),
		},
		{
			name: "one in the other", allow: prefixes("10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "10.255.255.255/32"),
			in: addrs("10.0.0.0", "10.1.2.3", "10.2.0.0", "10.255.255.255"), out: addrs("9.255.255.255", "11.0.0.0"),
		},
		{
			name: "adjacent", allow: prefixes("10.0.1.0/24", "10.0.0.0/24", "10.0.2.0/23", "2001:db8:1::/48", "2001:db8::/48"),
			in:  addrs("10.0.0.0", "10.0.0.255", "10.0.1.0", "10.0.1.255", "10.0.2.0", "10.0.3.255", "2001:db8::", "2001:db8:1::", "2001:db8:1:ffff::"),
			out: addrs("9.255.255.255", "10.0.4.0", "2001:db8:2::", "2001:db7::"),
		},
		{
			name: "twice", allow: prefixes("10.0.0.0/24", "10.0.0.0/24"), deny: prefixes("10.0.0.7/32", "10.0.0.7/32"),
			in: addrs("10.0.0.6", "10.0.0.8"), out: addrs("10.0.0.7", "10.0.1.0"),
		},
		{
			name: "both halves", allow: prefixes("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"),
			in: addrs("0.0.0.0", "127.255.255.255", "128.0.0.0", "255.255.255.255", "::", "8000::", "ffff::"),
		},
		{
			name: "deny inside allow", allow: prefixes("10.0.0.0/8"), deny: prefixes("10.1.0.0/16", "10.0.0.0/32", "10.255.255.255/32"),
			in:  addrs("10.0.0.1", "10.0.255.255", "10.2.0.0", "10.255.255.254"),
			out: addrs("10.0.0.0", "10.1.0.0", "10.1.255.255", "10.255.255.255", "11.0.0.0"),
		},
		{name: "allow inside deny", allow: prefixes("10.1.0.0/16"), deny: prefixes("10.0.0.0/8"), out: addrs("10.1.0.0", "10.0.0.0", "11.0.0.0", "::")},
		{name: "the same", allow: prefixes("10.0.0.0/8", "::/0"), deny: prefixes("10.0.0.0/8", "::/0"), out: addrs("10.1.2.3", "11.0.0.0", "::")},
		{
			name: "prefixes of mapped addresses", allow: prefixes("::ffff:10.0.0.0/104"), deny: prefixes("::ffff:10.0.0.1/128"),
			in: addrs("10.0.0.0", "::ffff:10.255.255.255"), out: addrs("10.0.0.1", "::ffff:10.0.0.1", "11.0.0.0", "::"),
		},
		{name: "all mapped addresses", allow: prefixes("::ffff:0.0.0.0/96"), in: addrs("0.0.0.0", "255.255.255.255"), out: addrs("::", "::1:0:0:0")},
		{name: "wider than the mapped addresses", deny: prefixes("::ffff:0.0.0.0/95"), in: addrs("0.0.0.0", "::ffff:1.2.3.4"), out: addrs("::fffe:0:0")},
		{name: "zones", allow: prefixes("fe80::/64"), in: addrs("fe80::1", "fe80::1%eth0"), out: addrs("fe80:0:0:1::1%eth0")},
		{name: "allow what isn't valid", allow: []netip.Prefix{{}}, out: addrs("10.0.0.0", "::")},
		{name: "deny what isn't valid", deny: []netip.Prefix{{}}, in: addrs("10.0.0.0", "::")},
		{name: "no address, allow", allow: prefixes("0.0.0.0/0", "::/0"), out: []netip.Addr{{}}},
		{name: "no address, deny", deny: prefixes("0.0.0.0/0", "::/0"), in: []netip.Addr{{}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := NewFilter(test.allow, test.deny)
			if none := len(test.allow)+len(test.deny) == 0; (f == nil) != none {
				t.Fatalf("NewFilter = %v", f)
			}
			for _, a := range test.in {
				if !f.Admits(a) {
					t.Errorf("%v is not admitted", a)
				}
			}
			for _, a := range test.out {
				if f.Admits(a) {
					t.Errorf("%v is admitted", a)
				}
			}
		})
	}
}

// Whatever can be said with fewer prefixes takes as few edges.
func TestFilterMerges(t *testing.T) {
	f := NewFilter(prefixes("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.0.0/23", "2001:db8::/33", "2001:db8:8000::/33"), nil)
	if len(f.edges4) != 2 || len(f.edges6) != 2 {
		t.Errorf("%d and %d edges, want 2 and 2", len(f.edges4), len(f.edges6))
	}
}

// admits is what Admits is to say, read aloud.
func admits(allow, deny []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	contains := func(p netip.Prefix) bool {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return p.Contains(a)
	}
	return !slices.ContainsFunc(deny, contains) && (len(allow) == 0 || slices.ContainsFunc(allow, contains))
}

// around are the addresses where a mistake would be: both ends of the prefix, and their neighbours.
func around(p netip.Prefix) []netip.Addr {
	p = unmap(p)
	first, last := p.Addr(), last(p)
	return []netip.Addr{first, last, first.Prev(), last.Next()}
}

func TestFilterAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		// Few different bytes, so that prefixes meet.
		some := func() byte { return [...]byte{0, 0, 255, 255, 1, 128, 127, byte(r.Uint32())}[r.IntN(8)] }
		address := func() netip.Addr {
			var b [16]byte
			for i := range b {
				b[i] = some()
			}
			switch r.IntN(5) {
			case 0:
				return netip.AddrFrom16(b)
			case 1:
				copy(b[:], []byte{10: 255, 11: 255})
				return netip.AddrFrom16(b)
			}
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		list := func() (out []netip.Prefix) {
			for range r.IntN(1 + int(seed)/4) {
				a := address()
				out = append(out, netip.PrefixFrom(a, r.IntN(a.BitLen()+1)))
			}
			if r.IntN(2) == 0 { // mostly narrow ones
				out = slices.DeleteFunc(out, func(p netip.Prefix) bool { return p.Bits() < 6 })
			}
			return out
		}
		allow, deny := list(), list()
		f := NewFilter(allow, deny)
		probes := addrs("0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
		for _, p := range append(slices.Clone(allow), deny...) {
			probes = append(probes, around(p)...)
		}
		for range 100 {
			probes = append(probes, address())
		}
		for _, a := range probes {
			if got, want := f.Admits(a), admits(allow, deny, a); a.IsValid() && got != want {
				t.Fatalf("seed %d: Admits(%v) = %v, want %v; allow %v, deny %v", seed, a, got, want, allow, deny)
			}
		}
	}
}

// FuzzFilter reads prefixes, of 6 or 18 bytes, and looks at their ends.
func FuzzFilter(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 8, 10, 0, 0, 0, 1, 16, 10, 1, 0, 0})
	f.Add([]byte{2, 32, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		var allow, deny []netip.Prefix
		in = in[:min(len(in), 400)]
		probes := addrs("0.0.0.0", "255.255.255.255", "::", "::ffff:1.2.3.4")
		for len(in) >= 6 {
			flags, bits := in[0], int(in[1])
			a := netip.AddrFrom4([4]byte(in[2:6]))
			in = in[6:]
			if flags&2 != 0 && len(in) >= 12 {
				b := a.As4()
				a = netip.AddrFrom16([16]byte(append(b[:], in...)))
				in = in[12:]
			} else if flags&4 != 0 {
				a = netip.AddrFrom16(a.As16()) // mapped
			}
			p := netip.PrefixFrom(a, bits%(a.BitLen()+1))
			if flags&1 == 0 {
				allow = append(allow, p)
			} else {
				deny = append(deny, p)
			}
			probes = append(append(probes, a), around(p)...)
		}
		filter := NewFilter(allow, deny)
		for _, a := range probes {
			if got, want := filter.Admits(a), admits(allow, deny, a); a.IsValid() && got != want {
				t.Fatalf("Admits(%v) = %v, want %v; allow %v, deny %v", a, got, want, allow, deny)
			}
		}
	})
}
