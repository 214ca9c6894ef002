package load

import "bytes"

// The bulk stream is a pattern with a prime period, so that what is lost or
// doubled in pieces of any usual buffer size shifts it and shows. It is compared
// whole, at memory speed, against a copy small enough to stay in the cache.
const (
	period    = 4093
	sendChunk = 256 << 10 // the most one write offers
	readChunk = 128 << 10 // the most one read takes
	compare   = 16 << 10  // the most one comparison covers
)

// pattern holds the stream from offset 0 for one period and a chunk, so that a
// chunk at any offset is one slice of it.
type pattern []byte

func newPattern() pattern {
	p := make(pattern, period+sendChunk)
	x := uint32(2463534242) // xorshift32 (Marsaglia 2003)
	for i := range p[:period] {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x >> 24)
	}
	for i := period; i < len(p); i++ {
		p[i] = p[i-period]
	}
	return p
}

// chunk returns up to n bytes of the stream that begin at offset.
func (p pattern) chunk(offset, n uint64) []byte {
	at := offset % period
	return p[at : at+min(n, sendChunk)]
}

// matches reports whether b is what the stream holds at offset.
func (p pattern) matches(offset uint64, b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), compare)
		if !bytes.Equal(b[:n], p.chunk(offset, uint64(n))) {
			return false
		}
		b = b[n:]
		offset += uint64(n)
	}
	return true
}
