package quic

import "bytes"

const (
	// maxCrypto is how much CRYPTO data is kept, in bytes. A ClientHello has some 300, with a post-quantum key share 1,800, and comes
	// nowhere near 16 KiB unless it means harm.
	maxCrypto = 16 << 10

	// maxSpans is how many pieces with gaps between them are kept. Chrome cuts a ClientHello into up to eleven a packet.
	maxSpans = 64
)

// span is a range of bytes that have come.
type span struct{ start, end uint16 }

// reassembly puts CRYPTO data together, which comes in any order, with overlaps and gaps (RFC 9000, section 19.6).
type reassembly struct {
	data  []byte         // what lies outside of the spans means nothing
	spans [maxSpans]span // in order, with gaps between them
	n     int            // spans in use
}

// reset forgets all data and keeps the memory.
func (a *reassembly) reset() { a.data, a.n = a.data[:0], 0 }

// whole returns the data from the beginning up to the first gap.
func (a *reassembly) whole() []byte {
	if a.n == 0 || a.spans[0].start > 0 {
		return nil
	}
	return a.data[:a.spans[0].end]
}

// insert adds data. It fails if that ends beyond maxCrypto, makes more than maxSpans pieces, or says something else than what came before:
// which of the two a server reads can't be known, so nobody gets a route by saying one thing to weir and another to the server.
func (a *reassembly) insert(offset uint64, data []byte) bool {
	if offset > maxCrypto || uint64(len(data)) > maxCrypto-offset {
		return false
	}
	if len(data) == 0 {
		return true
	}
	at := span{uint16(offset), uint16(offset) + uint16(len(data))}
	first := 0
	for first < a.n && a.spans[first].end < at.start {
		first++
	}
	joined, after := at, first // joined takes in the spans first to after, which overlap or touch
	for ; after < a.n && a.spans[after].start <= at.end; after++ {
		s := a.spans[after]
		from, to := max(s.start, at.start), min(s.end, at.end)
		if !bytes.Equal(a.data[from:to], data[from-at.start:to-at.start]) {
			return false
		}
		joined.start, joined.end = min(joined.start, s.start), max(joined.end, s.end)
	}
	if first == after && a.n == maxSpans {
		return false
	}
	a.grow(int(at.end))
	copy(a.data[at.start:], data)
	copy(a.spans[first+1:], a.spans[after:a.n])
	a.spans[first] = joined
	a.n += first + 1 - after
	return true
}

// grow makes room for n bytes, at most maxCrypto, in powers of two.
func (a *reassembly) grow(n int) {
	if n <= len(a.data) {
		return
	}
	if n > cap(a.data) {
		size := 2 << 10
		for size < n {
			size *= 2
		}
		a.data = append(make([]byte, 0, size), a.data...)
	}
	a.data = a.data[:n]
}
