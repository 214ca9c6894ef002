package quic

import "encoding/binary"

// Versions whose Initial packets can be read.
const (
	Version1 uint32 = 0x00000001 // RFC 9000
	Version2 uint32 = 0x6b3343cf // RFC 9369
)

const (
	longBit  = 0x80
	fixedBit = 0x40

	// maxCID is the longest connection ID of versions 1 and 2, in bytes (RFC 9000, section 17.2). RFC 8999 lets others have 255.
	maxCID = 20
)

// Header is the part of a datagram's first packet that is the same in all versions (RFC 8999).
type Header struct {
	Long    bool
	Version uint32 // long only; 0 is Version Negotiation
	// DCID points into the datagram. Of a short header it is all that follows the first byte, at most 20 bytes: the packet doesn't
	// say how long it is, only who chose it knows.
	DCID []byte
	SCID []byte // long only; points into the datagram
}

// ParseHeader reads the header of a datagram's first packet. It never allocates. ok is false for what can't be QUIC: a datagram that is
// empty or ends within the header, and in versions 1 and 2 a connection ID of more than 20 bytes, or an Initial packet with neither the
// fixed bit nor a token. Elsewhere the fixed bit may be missing: peers that agreed to grease it clear it at random, clients that come back
// with a token already in their Initial packets (RFC 9287, section 3.1). Unknown versions and Version Negotiation parse.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) == 0 {
		return Header{}, false
	}
	if b[0]&longBit == 0 {
		return Header{DCID: b[1:min(len(b), 1+maxCID):min(len(b), 1+maxCID)]}, true
	}
	if len(b) < 7 { // first byte, version, two empty connection IDs
		return Header{}, false
	}
	h = Header{Long: true, Version: binary.BigEndian.Uint32(b[1:])}
	at := 6 + int(b[5])
	if at >= len(b) { // SCID's length has to follow
		return Header{}, false
	}
	end := at + 1 + int(b[at])
	if end > len(b) {
		return Header{}, false
	}
	h.DCID, h.SCID = b[6:at:at], b[at+1:end:end]
	if kind := kindOf(h.Version, b[0]); kind != unknown {
		if len(h.DCID) > maxCID || len(h.SCID) > maxCID {
			return Header{}, false
		}
		if b[0]&fixedBit == 0 && kind == initial && (end == len(b) || b[end] == 0) {
			return Header{}, false
		}
	}
	return h, true
}

// Initial says whether the packet at the start of b, whose header h is, is an Initial packet of version 1 or 2.
func (h *Header) Initial(b []byte) bool {
	return h.Long && len(b) > 0 && kindOf(h.Version, b[0]) == initial
}

// kind is what a packet with a long header is.
type kind uint8

const (
	unknown kind = iota // of a version other than 1 and 2
	initial
	zeroRTT
	handshake
	retry
)

// kindOf returns what the type bits of a long header's first byte mean. Version 2 has other ones than version 1, so that nobody relies
// on them (RFC 9000, table 5; RFC 9369, section 3.2).
func kindOf(version uint32, first byte) kind {
	bits := first >> 4 & 3
	switch version {
	case Version1:
		return [...]kind{initial, zeroRTT, handshake, retry}[bits]
	case Version2:
		return [...]kind{retry, initial, zeroRTT, handshake}[bits]
	}
	return unknown
}

// packet is one packet with a long header and a Length, within a datagram.
type packet struct {
	kind   kind
	number int // offset of the packet number, which is protected
	size   int // bytes, up to the end of what Length covers
}

// parsePacket reads what follows h, the header at the start of b. ok is false for packets that don't say where they end (Retry, and those
// of other versions) or that say wrong.
func parsePacket(h *Header, b []byte) (p packet, ok bool) {
	p.kind = kindOf(h.Version, b[0])
	if p.kind == unknown || p.kind == retry {
		return p, false
	}
	r := reader{b: b[7+len(h.DCID)+len(h.SCID):]}
	if p.kind == initial {
		r.take(r.varint()) // token
	}
	length := r.varint()
	p.number = len(b) - len(r.b)
	if r.bad || length > uint64(len(r.b)) {
		return p, false
	}
	p.size = p.number + int(length)
	return p, true
}
