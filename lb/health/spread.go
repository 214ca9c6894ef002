package health

import (
	"math"
	"math/bits"
	"time"

	"weir/lb"
)

// Spread returns when the first check of endpoint i of n, 0 <= i < n, is due, counted from when the n were added. They
// spread evenly over n ms, or over interval (that of the checks) if that is shorter: a few are known at once, and many
// don't come all at once. Each has a place of its own in that time, and a random moment within it.
//
// What is added together counts together: of ten clusters with ten endpoints each, n is 100.
func Spread(i, n int, interval time.Duration, rand *lb.Rand) time.Duration {
	if n < 1 || interval <= 0 {
		return 0
	}
	i = min(max(i, 0), n-1)
	span := uint64(interval)
	if most := uint64(math.MaxInt64 / time.Millisecond); uint64(n) < most {
		span = min(span, uint64(n)*uint64(time.Millisecond))
	}
	begin, end := part(span, i, n), part(span, i+1, n)
	return time.Duration(begin + rand.Below(end-begin))
}

// part is span * i / n for i <= n, which doesn't overflow.
func part(span uint64, i, n int) uint64 {
	if i == n {
		return span
	}
	high, low := bits.Mul64(span, uint64(i))
	quotient, _ := bits.Div64(high, low, uint64(n))
	return quotient
}
