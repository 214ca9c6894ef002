package lb

import (
	"encoding/binary"
	"net/netip"
)

// absorb continues a hash by one word. For a given h it is a bijection of word.
func absorb(h, word uint64) uint64 { return mix64((h + golden) ^ word) }

// HashAddr is the key of a client by its address (hash_on = "source_ip"). An
// IPv4-mapped IPv6 address has the hash of its IPv4 address; the zone doesn't
// count. It is the same in all processes, on all machines and in all versions,
// so that several nodes send a client to the same endpoint. For the same
// reason it has no secret seed, and a client that can choose its address can
// choose its endpoint.
func HashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return absorb(absorb(0, binary.BigEndian.Uint64(b[:8])), binary.BigEndian.Uint64(b[8:]))
}

// HashAddrPort is the key of a client by address and port (hash_on =
// "source"), as stable as HashAddr.
func HashAddrPort(a netip.AddrPort) uint64 {
	return absorb(HashAddr(a.Addr()), uint64(a.Port()))
}

// HashBytes is the key of any text, such as a header or a path. It is as
// stable as HashAddr: the bytes in little-endian words of eight, the last one
// filled up with zeros, then the length.
func HashBytes(b []byte) uint64 {
	var h uint64
	n := len(b)
	for len(b) >= 8 {
		h = absorb(h, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) > 0 {
		var word [8]byte
		copy(word[:], b)
		h = absorb(h, binary.LittleEndian.Uint64(word[:]))
	}
	return absorb(h, uint64(n))
}

// hashMember is where the points of a member on a ring, its permutation of a
// table and its rank for a key come from: its address and port, and the zone,
// since a link-local address is another endpoint in another zone.
func hashMember(a netip.AddrPort) uint64 {
	h := HashAddrPort(a)
	if zone := a.Addr().Zone(); zone != "" {
		h = absorb(h, HashBytes([]byte(zone)))
	}
	return h
}
