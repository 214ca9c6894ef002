package l4

import (
	"math"
	"testing"
	"time"
)

func TestBucketOf(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want int
	}{
		{-time.Second, 0}, {0, 0}, {time.Nanosecond, 0}, {16 * time.Microsecond, 0},
		{17 * time.Microsecond, 1}, {32 * time.Microsecond, 1}, {33 * time.Microsecond, 2}, {64 * time.Microsecond, 2},
		{65 * time.Microsecond, 3}, {time.Millisecond, 6}, {time.Second, 16}, {time.Hour, 28},
		{16 * time.Microsecond << 30, 30}, {16*time.Microsecond<<30 + time.Microsecond, 31}, {math.MaxInt64, 31},
	} {
		var h Histogram
		h.Observe(tc.d)
		var r HistogramReading
		r.Add(&h)
		if r.Buckets[tc.want] != 1 || r.Count() != 1 {
			t.Errorf("%v: not in bucket %d: %v", tc.d, tc.want, r.Buckets)
		}
		if bound, ok := BucketBound(tc.want); ok && tc.d.Truncate(time.Microsecond) > bound {
			t.Errorf("%v: above the bound %v of its bucket", tc.d, bound)
		}
		if want := max(tc.d, 0).Truncate(time.Microsecond).Seconds(); math.Abs(r.Sum.Seconds()-want) > want*1e-9 {
			t.Errorf("%v: sum is %v s", tc.d, r.Sum.Seconds())
		}
	}
}

func TestBucketBound(t *testing.T) {
	for i := range HistogramBuckets - 1 {
		if bound, ok := BucketBound(i); !ok || bound != 16*time.Microsecond<<i {
			t.Errorf("bucket %d: %v, %v", i, bound, ok)
		}
	}
	if _, ok := BucketBound(HistogramBuckets - 1); ok {
		t.Error("the last bucket has a bound")
	}
}

func TestQuantile(t *testing.T) {
	observe := func(ds ...time.Duration) *Histogram {
		h := new(Histogram)
		for _, d := range ds {
			h.Observe(d)
		}
		return h
	}
	var few [100]time.Duration
	for i := range few {
		few[i] = 10 * time.Microsecond
	}
	few[99] = time.Second
	last, _ := BucketBound(HistogramBuckets - 2)
	for _, tc := range []struct {
		name string
		h    *Histogram
		q    float64
		want time.Duration
	}{
		{"nothing", observe(), 0.5, 0},
		{"one", observe(time.Millisecond), 0.5, 1024 * time.Microsecond},
		{"the least", observe(few[:]...), 0, 16 * time.Microsecond},
		{"the middle", observe(few[:]...), 0.5, 16 * time.Microsecond},
		{"below the outlier", observe(few[:]...), 0.98, 16 * time.Microsecond},
		{"the outlier", observe(few[:]...), 0.99, 16 * time.Microsecond << 16},
		{"the most", observe(few[:]...), 1, 16 * time.Microsecond << 16},
		{"beyond all bounds", observe(24 * time.Hour), 0.5, last},
	} {
		var r HistogramReading
		r.Add(tc.h)
		if got := r.Quantile(tc.q); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Sums go beyond what a time.Duration holds: ten thousand sessions at once live 292 years in eleven days.
func TestSumIsLarge(t *testing.T) {
	const years = 365 * 24 * time.Hour
	var h Histogram
	for range 4 {
		h.Observe(200 * years)
	}
	var r HistogramReading
	r.Add(&h)
	r.Add(&h)
	if got, want := r.Sum.Seconds(), 8*200*365*24*time.Hour.Seconds(); math.Abs(got-want) > 1 {
		t.Fatalf("sum is %v s, want %v", got, want)
	}
}

func TestBytesReading(t *testing.T) {
	var a, b Bytes
	a.Add(ToUpstream, Copied, 1)
	a.Add(ToUpstream, Spliced, 20)
	a.Add(ToDownstream, Copied, 300)
	b.Add(ToDownstream, Copied, 300)
	b.Add(ToDownstream, Spliced, 4000)
	var r BytesReading
	r.Add(&a)
	r.Add(&b)
	if r != (BytesReading{{1, 20}, {600, 4000}}) || r.Of(ToUpstream) != 21 || r.Of(ToDownstream) != 4600 {
		t.Fatalf("read %v, %d up, %d down", r, r.Of(ToUpstream), r.Of(ToDownstream))
	}
}
