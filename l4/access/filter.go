package access

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Filter says which addresses may come in. It is immutable; a nil Filter admits all.
//
// It keeps where, in the order of addresses, the answer changes: before the first edge it is no, from the first on yes, from the second on
// no again. So overlapping, nested and adjacent prefixes cost nothing when an address is looked up, and allow and deny take one search.
type Filter struct {
	edges4 []uint32
	edges6 []edge6
	others bool // whether what is no IP address, such as the peer of a Unix socket, may come in
}

// edge6 is an IPv6 address as two words that compare as numbers.
type edge6 struct{ high, low uint64 }

// NewFilter returns a filter that admits what is in none of deny and, unless allow is empty, in one of allow. It is nil when both are empty.
//
// A prefix of IPv4-mapped addresses (::ffff:10.0.0.0/104) is one of IPv4; any other IPv6 prefix, such as ::/0, holds no IPv4 address. A prefix
// that isn't valid holds none at all, and still makes allow one that isn't empty.
func NewFilter(allow, deny []netip.Prefix) *Filter {
	if len(allow) == 0 && len(deny) == 0 {
		return nil
	}
	f := &Filter{others: len(allow) == 0}
	if len(allow) == 0 {
		allow = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	allow4, allow6 := edges(allow)
	deny4, deny6 := edges(deny)
	for _, a := range without(allow4, deny4) {
		f.edges4 = append(f.edges4, number4(a))
	}
	for _, a := range without(allow6, deny6) {
		f.edges6 = append(f.edges6, number6(a))
	}
	return f
}

// Admits reports whether the address may come in. An IPv4-mapped address counts as IPv4; the zone doesn't count.
func (f *Filter) Admits(a netip.Addr) bool {
	if f == nil {
		return true
	}
	switch {
	case a.Is4() || a.Is4In6():
		return f.admits4(number4(a))
	case a.Is6():
		return f.admits6(number6(a))
	}
	return f.others
}

// admits4 counts the edges up to the address: an odd number of them leaves it inside.
func (f *Filter) admits4(a uint32) bool {
	low, high := 0, len(f.edges4)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if f.edges4[middle] <= a {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low&1 == 1
}

func (f *Filter) admits6(a edge6) bool {
	low, high := 0, len(f.edges6)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if e := &f.edges6[middle]; e.high < a.high || e.high == a.high && e.low <= a.low {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low&1 == 1
}

// number4 is an IPv4 or IPv4-mapped address as a number.
func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func number6(a netip.Addr) edge6 {
	b := a.As16()
	return edge6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// edges returns, for IPv4 and for IPv6, where the union of the prefixes begins and ends, by turns: the first address inside, the first one
// behind it, and so on. What reaches to the last address of all has no end.
func edges(prefixes []netip.Prefix) (v4, v6 []netip.Addr) {
	sorted := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p.IsValid() {
			sorted = append(sorted, unmap(p))
		}
	}
	// By first address, the widest first: of two prefixes one holds the other or they are apart.
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var widest netip.Prefix
	for _, p := range sorted {
		if widest.IsValid() && widest.Contains(p.Addr()) {
			continue
		}
		widest = p
		list := &v6
		if p.Addr().Is4() {
			list = &v4
		}
		if n := len(*list); n > 0 && (*list)[n-1] == p.Addr() {
			*list = (*list)[:n-1] // it goes on where the one before ends
		} else {
			*list = append(*list, p.Addr())
		}
		if behind := last(p).Next(); behind.IsValid() {
			*list = append(*list, behind)
		}
	}
	return v4, v6
}

// unmap returns the prefix with the bits behind it zero, and that of IPv4-mapped addresses as one of IPv4.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	ones := p.Bits()
	if p.Addr().Is4() {
		ones += 96
	}
	for i := ones; i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	if p.Addr().Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// without returns the edges of what is in a and not in b.
func without(a, b []netip.Addr) (out []netip.Addr) {
	inA, inB, in := false, false, false
	for len(a) > 0 || len(b) > 0 {
		var at netip.Addr
		if len(b) == 0 || len(a) > 0 && a[0].Compare(b[0]) <= 0 {
			at = a[0]
		} else {
			at = b[0]
		}
		if len(a) > 0 && a[0] == at {
			a, inA = a[1:], !inA
		}
		if len(b) > 0 && b[0] == at {
			b, inB = b[1:], !inB
		}
		if now := inA && !inB; now != in {
			out, in = append(out, at), now
		}
	}
	return out
}
