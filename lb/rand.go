package lb

import "math/bits"

// golden is 2^64 divided by the golden ratio, made odd: steps of it spread
// evenly over the 64-bit circle.
const golden = 0x9e3779b97f4a7c15

// Rand is a small, fast generator: SplitMix64 (Steele, Lea, Flood: "Fast
// Splittable Pseudorandom Number Generators", OOPSLA 2014). It isn't for
// secrets. Each loop owns one; it isn't safe for concurrent use. The zero value
// works, as a generator of a fixed seed.
type Rand struct {
	state uint64
}

// NewRand returns a generator that gives the same numbers for the same seed.
func NewRand(seed uint64) *Rand { return &Rand{state: mix64(seed + golden)} }

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 {
	r.state += golden
	return mix64(r.state)
}

// Below returns a number in [0, n), 0 for n = 0. Its bias, at most n/2^64, is
// below what anyone can measure.
func (r *Rand) Below(n uint64) uint64 {
	hi, _ := bits.Mul64(r.Uint64(), n)
	return hi
}

// mix64 is the finalizer of SplitMix64: a bijection in which every bit of x
// touches every bit of the result.
func mix64(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return x
}
