package lb

import (
	"math/bits"
	"net/netip"
	"testing"
)

// The hashes are a promise between versions and nodes: these values never
// change.
func TestHashGolden(t *testing.T) {
	for text, want := range map[string]uint64{
		"0.0.0.0":                 0xab3e913708db3290,
		"192.0.2.1":               0xd2f19aba8bb78916,
		"192.0.2.2":               0x92f2c40c7027f09f,
		"255.255.255.255":         0xca09d4eb07bc3df5,
		"::":                      0xa706dd2f4d197e6f,
		"2001:db8::1":             0x4e5ba58047fddae2,
		"fe80::1":                 0x7900a91c40886d31,
		"2001:db8:1:2:3:4:5:6789": 0xa73fe91b7b103706,
	} {
		if got := HashAddr(netip.MustParseAddr(text)); got != want {
			t.Errorf("HashAddr(%s) = %#x, want %#x", text, got, want)
		}
	}
	for text, want := range map[string]uint64{
		"192.0.2.1:0":        0xc544650838f7d5c7,
		"192.0.2.1:443":      0x8ad622e207eb1bee,
		"[2001:db8::1]:53":   0xfe8169763030236d,
		"[fe80::1%eth0]:443": 0xe3bc72715f6a34ad,
	} {
		if got := HashAddrPort(netip.MustParseAddrPort(text)); got != want {
			t.Errorf("HashAddrPort(%s) = %#x, want %#x", text, got, want)
		}
	}
	for text, want := range map[string]uint64{
		"":                     0xe220a8397b1dcdaf,
		"a":                    0xc5037d9b6eb8da20,
		"/v1/users":            0x9efc9a8a348b7f47,
		"sixteen bytes ok":     0xc32609c1935e58cb,
		"\x00":                 0x2a98f501af37e97f,
		"session=0123456789ab": 0x162d0567053e36fe,
	} {
		if got := HashBytes([]byte(text)); got != want {
			t.Errorf("HashBytes(%q) = %#x, want %#x", text, got, want)
		}
	}
}

func TestHashEquals(t *testing.T) {
	v4, mapped := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1")
	if HashAddr(v4) != HashAddr(mapped) {
		t.Error("an IPv4-mapped address hashes unlike its IPv4 address")
	}
	if HashAddrPort(netip.AddrPortFrom(v4, 9)) != HashAddrPort(netip.AddrPortFrom(mapped, 9)) {
		t.Error("an IPv4-mapped address and port hashes unlike its IPv4 address and port")
	}
	local := netip.MustParseAddr("fe80::1")
	if HashAddr(local) != HashAddr(local.WithZone("eth0")) {
		t.Error("the zone counts in a client's hash")
	}
	one, other := netip.AddrPortFrom(local.WithZone("eth0"), 1), netip.AddrPortFrom(local.WithZone("eth1"), 1)
	if hashMember(one) == hashMember(other) {
		t.Error("the zone doesn't count in a member's hash")
	}
	if HashBytes([]byte("a")) == HashBytes([]byte("a\x00")) {
		t.Error("a zero byte at the end doesn't count")
	}
	HashAddr(netip.Addr{}) // no address is one more key, not a panic
	HashAddrPort(netip.AddrPort{})
}

// Each bit of an address changes each bit of the hash about half the time.
func TestHashAvalanche(t *testing.T) {
	rand := NewRand(3)
	const samples = 2000
	for bit := range 48 { // 32 of the address, 16 of the port
		var flips [64]int
		for range samples {
			x := rand.Uint64()
			hash := func(x uint64) uint64 {
				a := netip.AddrFrom4([4]byte{byte(x), byte(x >> 8), byte(x >> 16), byte(x >> 24)})
				return HashAddrPort(netip.AddrPortFrom(a, uint16(x>>32)))
			}
			for d := hash(x) ^ hash(x^1<<bit); d != 0; d &= d - 1 {
				flips[bits.TrailingZeros64(d)]++
			}
		}
		for out, n := range flips {
			if n < samples*4/10 || n > samples*6/10 {
				t.Errorf("input bit %d flips output bit %d in %d of %d", bit, out, n, samples)
			}
		}
	}
}

// Neighbouring clients spread evenly over a few endpoints.
func TestHashSpreadsNeighbours(t *testing.T) {
	const clients = 1 << 16
	var counts [7]int
	for i := range clients {
		hi, _ := bits.Mul64(HashAddr(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})), uint64(len(counts)))
		counts[hi]++
	}
	for i, n := range counts {
		if want := clients / len(counts); n < want*95/100 || n > want*105/100 {
			t.Errorf("bucket %d has %d clients, want about %d", i, n, want)
		}
	}
}

func TestRand(t *testing.T) {
	a, b, c := NewRand(1), NewRand(1), NewRand(2)
	same := 0
	for range 100 {
		x := a.Uint64()
		if x != b.Uint64() {
			t.Fatal("the same seed gives other numbers")
		}
		if x == c.Uint64() {
			same++
		}
	}
	if same > 0 {
		t.Errorf("another seed gives %d of the same numbers", same)
	}
	counts := make([]int, 10)
	for range 100_000 {
		counts[a.Below(10)]++
	}
	for i, n := range counts {
		if n < 9_700 || n > 10_300 {
			t.Errorf("Below(10) = %d in %d of 100,000", i, n)
		}
	}
	if n := a.Below(0); n != 0 {
		t.Errorf("Below(0) = %d", n)
	}
}
