package quic

// reader takes fields off the front of b. What isn't there reads as zero and sets bad, which stays set, so that a run of fields needs
// one check at its end.
type reader struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, nil if they aren't there.
func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// uint reads n bytes, at most 8, in network order.
func (r *reader) uint(n uint64) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// vector reads what a length of n bytes stands before, as TLS writes it (RFC 8446, section 3.4).
func (r *reader) vector(n uint64) []byte { return r.take(r.uint(n)) }

// varint reads a variable-length integer (RFC 9000, section 16).
func (r *reader) varint() uint64 {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	n := uint64(1) << (r.b[0] >> 6)
	return r.uint(n) & (1<<(8*n-2) - 1)
}
