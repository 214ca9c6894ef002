package eventloop

// slabChunk is the number of elements that a Slab grows by: small enough that an almost empty chunk is cheap, large enough
// that growing is rare.
const slabChunk = 256

// Slab holds values of one type under stable 32-bit indexes and at stable addresses. It grows in chunks, reuses what was
// put back, last in first out, and is never freed: in steady state Get and Put allocate nothing. The zero Slab is empty and ready for use.
// A Slab belongs to one loop.
type Slab[T any] struct {
	chunks []*[slabChunk]T
	free   []uint32
	used   uint32 // indexes ever handed out
}

// Get returns a free index and its value, as the last owner left it (zero for a new one).
func (s *Slab[T]) Get() (uint32, *T) {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i, s.At(i)
	}
	if s.used%slabChunk == 0 {
		s.chunks = append(s.chunks, new([slabChunk]T))
	}
	i := s.used
	s.used++
	return i, s.At(i)
}

// At returns the value under index i, which must have come from Get.
func (s *Slab[T]) At(i uint32) *T { return &s.chunks[i/slabChunk][i%slabChunk] }

// Put gives index i back. The caller must not use it again.
func (s *Slab[T]) Put(i uint32) { s.free = append(s.free, i) }

// Len returns how many values are out.
func (s *Slab[T]) Len() int { return int(s.used) - len(s.free) }

// Cap returns how many indexes were ever handed out; every index is below it.
func (s *Slab[T]) Cap() uint32 { return s.used }
