package quic

import "bytes"

// Status is how far a Hello has come.
type Status uint8

const (
	More    Status = iota // the ClientHello isn't whole yet
	Done                  // SNI and ALPN are known
	NotQUIC               // the datagram isn't QUIC
	Failed                // no ClientHello comes of this
)

func (s Status) String() string {
	return [...]string{"more", "done", "not QUIC", "failed"}[s&3]
}

// maxPackets is how many packets of one datagram are looked at. Clients coalesce one for each encryption level; the bound is for those
// who would have many tiny ones decrypted.
const maxPackets = 16

// Hello collects a client's Initial packets of version 1 or 2 until its ClientHello is whole. The zero value is ready.
//
//	       Add, nothing to read: NotQUIC, Failed; or 0-RTT ahead of its Initial: More
//	       .----.
//	       v    |       an Initial opens             ClientHello whole
//	zero --------- ---------------------> collecting -----------------> Done
//	                                       |  ^  |   and well-formed      |
//	                         anything else '--'  | malformed              |
//	                                More         v                        |
//	                                           Failed                     |
//	  ^                                          |                        |
//	  '------------------- Reset ----------------+------------------------'
//
// Its memory is bounded: at most 16 KiB of CRYPTO data in at most 64 pieces, a copy of one packet, which is no longer than the longest
// datagram, and some 2 KiB for itself and its keys. How many datagrams or how much time a client has is for the caller to bound.
type Hello struct {
	keys    keys
	opened  bool // keys opened a packet: they are the connection's
	broken  bool
	done    bool
	largest int64 // highest packet number opened, if opened
	scratch []byte
	crypto  reassembly
	hello   clientHello
}

// Reset makes h ready for another client. It keeps the memory.
func (h *Hello) Reset() {
	h.keys.aead, h.keys.hp = nil, nil
	h.opened, h.broken, h.done = false, false, false
	h.crypto.reset()
	h.hello = clientHello{}
}

// SNI returns the host name that the client asks for once Add has said Done: in lower case, without a trailing dot. It is "" if there is
// none, or none that a route could match: one with bytes outside of printable ASCII, with spaces, or longer than 253 bytes. With Encrypted
// Client Hello (RFC 9849) it is the public name.
func (h *Hello) SNI() string { return h.hello.sni }

// ALPN returns the protocols that the client offers once Add has said Done, in its order, at most 32; nil if it offers none.
func (h *Hello) ALPN() []string { return h.hello.alpn }

// Add takes one datagram of the client's and reads the Initial packets in it. It neither keeps nor changes the datagram.
//
// The keys follow from the first Initial packet that opens with the keys of its own Destination Connection ID; later ones are read with
// the same keys, also when the server's choice has replaced that ID. What doesn't open (another connection's packets, damaged ones, those
// after a Retry, which have keys of their own) is skipped: there is no telling a stranger's packets from the client's, and they shan't end
// what the client began. So once a packet has opened, the answer is More whatever comes, until the ClientHello is whole.
//
// Before that, a datagram of which nothing can be read is NotQUIC if its header can't be one, and otherwise Failed: another version, a
// first Initial packet that doesn't open, a connection that is past its ClientHello. The next datagram starts anew. A datagram with 0-RTT
// packets alone is More, since these can overtake their Initial packets.
//
// Failed for good, until Reset, is a ClientHello that is malformed, exceeds the bounds, contradicts itself where CRYPTO frames overlap, or
// isn't one, and an Initial packet that opens and has frames in it that it mustn't have: the server will refuse it just so.
func (h *Hello) Add(datagram []byte) Status {
	if !h.done && !h.broken {
		if status := h.walk(datagram); status != More {
			return status
		}
	}
	switch {
	case h.done:
		return Done
	case h.broken:
		return Failed
	}
	return More
}

// walk goes through the packets coalesced in a datagram. It returns NotQUIC or Failed if none of them leads to a ClientHello.
func (h *Hello) walk(datagram []byte) Status {
	first, ok := ParseHeader(datagram)
	if !ok && !h.opened {
		return NotQUIC
	}
	hopeful := false
	rest, header := datagram, first
	for range maxPackets {
		if !ok || !header.Long {
			break // a packet with a short header has no length: it is the last
		}
		p, whole := parsePacket(&header, rest)
		if !whole {
			break
		}
		// Servers ignore coalesced packets for another connection (RFC 9000, section 12.2).
		if header.Version == first.Version && bytes.Equal(header.DCID, first.DCID) {
			switch p.kind {
			case initial:
				h.initial(&header, rest[:p.size], p.number)
			case zeroRTT:
				hopeful = true
			}
		}
		if h.done || h.broken {
			return More // Add knows more
		}
		rest = rest[p.size:]
		header, ok = ParseHeader(rest)
	}
	if h.opened || hopeful {
		return More
	}
	return Failed
}

// initial reads an Initial packet, whose packet number is at the given offset.
func (h *Hello) initial(header *Header, b []byte, at int) {
	if h.opened {
		if header.Version != h.keys.version {
			return
		}
	} else if !h.keys.are(header.Version, header.DCID) {
		h.largest = -1
		if h.keys.derive(header.Version, header.DCID) != nil {
			return
		}
	}
	h.scratch = append(h.scratch[:0], b...)
	payload, number, ok := h.keys.open(h.scratch, at, h.largest)
	if !ok {
		return
	}
	h.opened, h.largest = true, max(h.largest, number)
	if !h.frames(payload) {
		h.broken = true
		return
	}
	h.finish()
}

// Frames that an Initial packet may have (RFC 9000, section 12.4).
const (
	framePadding         = 0x00
	framePing            = 0x01
	frameACK             = 0x02
	frameACKECN          = 0x03
	frameCrypto          = 0x06
	frameConnectionClose = 0x1c
)

// frames takes the CRYPTO frames out of a payload. It fails for frames that have no place there or end too late.
func (h *Hello) frames(payload []byte) bool {
	r := reader{b: payload}
	for len(r.b) > 0 {
		switch r.varint() {
		case framePadding:
			r.b = bytes.TrimLeft(r.b, "\x00")
		case framePing:
		case frameACK:
			skipACK(&r)
		case frameACKECN:
			skipACK(&r)
			r.varint() // ECN counts
			r.varint()
			r.varint()
		case frameCrypto:
			offset := r.varint()
			data := r.take(r.varint())
			if r.bad || !h.crypto.insert(offset, data) {
				return false
			}
		case frameConnectionClose:
			r.varint()         // error code
			r.varint()         // frame type
			r.take(r.varint()) // reason
		default:
			return false
		}
	}
	return !r.bad
}

// skipACK reads an ACK frame up to its ECN counts (RFC 9000, section 19.3).
func skipACK(r *reader) {
	r.varint() // largest acknowledged
	r.varint() // delay
	ranges := r.varint()
	r.varint() // first range
	for ; ranges > 0 && !r.bad; ranges-- {
		r.varint() // gap
		r.varint() // length
	}
}

// finish looks whether the ClientHello is whole (RFC 8446, section 4).
func (h *Hello) finish() {
	const head, typeClientHello = 4, 1
	r := reader{b: h.crypto.whole()}
	if len(r.b) > 0 && r.b[0] != typeClientHello {
		h.broken = true
	}
	if len(r.b) < head || h.broken {
		return
	}
	r.take(1)
	length := r.uint(3)
	if length > maxCrypto-head {
		h.broken = true
		return
	}
	if length > uint64(len(r.b)) {
		return
	}
	if h.hello, h.done = parseClientHello(r.take(length)); !h.done {
		h.broken, h.hello = true, clientHello{}
	}
}
