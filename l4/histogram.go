package l4

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// HistogramBuckets is the number of buckets of a Histogram. Bucket i counts durations of at most 16 us << i; the last one has no bound.
const HistogramBuckets = 32

// Histogram counts durations in buckets that double, from 16 us to 4.8 hours. It has one writer, its loop, and any number of readers.
type Histogram struct {
	buckets [HistogramBuckets]atomic.Uint64
	sum     atomic.Uint64 // microseconds
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	us := uint64(max(d, 0)) / uint64(time.Microsecond)
	h.buckets[bucketOf(us)].Add(1)
	h.sum.Add(us)
}

func bucketOf(us uint64) int {
	if us <= 16 {
		return 0
	}
	return min(bits.Len64((us-1)/16), HistogramBuckets-1)
}

// BucketBound returns the upper bound of bucket i, inclusive; ok is false for the last one, which has none.
func BucketBound(i int) (bound time.Duration, ok bool) {
	if i >= HistogramBuckets-1 {
		return 0, false
	}
	return 16 * time.Microsecond << i, true
}

// HistogramReading is the sum of some histograms at one time. Its zero value is empty.
type HistogramReading struct {
	Buckets [HistogramBuckets]uint64
	Sum     Total
}

// Total is a sum of durations in microseconds. A time.Duration would not do: it ends at 292 years, which 10,000 sessions at once have
// lived through after eleven days.
type Total uint64

// Seconds returns the sum in seconds.
func (t Total) Seconds() float64 { return float64(t) / 1e6 }

// Add adds what h has counted.
func (r *HistogramReading) Add(h *Histogram) {
	for i := range h.buckets {
		r.Buckets[i] += h.buckets[i].Load()
	}
	r.Sum += Total(h.sum.Load())
}

// Count returns the number of durations.
func (r *HistogramReading) Count() (n uint64) {
	for _, b := range r.Buckets {
		n += b
	}
	return n
}

// Quantile returns an upper bound of the q-quantile (0 to 1): the bound of the bucket that holds it, 0 when nothing was counted.
func (r *HistogramReading) Quantile(q float64) time.Duration {
	total := r.Count()
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total))
	var seen uint64
	for i, b := range r.Buckets {
		seen += b
		if seen > rank || seen == total {
			bound, ok := BucketBound(i)
			if !ok {
				bound, _ = BucketBound(i - 1)
			}
			return bound
		}
	}
	return 0
}

// SizeBuckets is the number of buckets of Sizes. Bucket i counts batches of at most 1 << i; the last one has no bound.
const SizeBuckets = 8

// Sizes counts batches by how many there were in each, in buckets that double from 1 to 64. It has one writer, its loop, and any number of readers.
type Sizes struct {
	buckets [SizeBuckets]atomic.Uint64
	sum     atomic.Uint64
}

// Observe counts one batch of n.
func (s *Sizes) Observe(n int) {
	s.buckets[min(bits.Len64(uint64(max(n, 1)-1)), SizeBuckets-1)].Add(1)
	s.sum.Add(uint64(n))
}

// SizeBound returns the upper bound of bucket i, inclusive; ok is false for the last one, which has none.
func SizeBound(i int) (bound int, ok bool) {
	if i >= SizeBuckets-1 {
		return 0, false
	}
	return 1 << i, true
}

// SizesReading is the sum of some Sizes at one time. Its zero value is empty.
type SizesReading struct {
	Buckets [SizeBuckets]uint64
	Sum     uint64
}

// Add adds what s has counted.
func (r *SizesReading) Add(s *Sizes) {
	for i := range s.buckets {
		r.Buckets[i] += s.buckets[i].Load()
	}
	r.Sum += s.sum.Load()
}

// Count returns the number of batches.
func (r *SizesReading) Count() (n uint64) {
	for _, b := range r.Buckets {
		n += b
	}
	return n
}
