package resolve

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestNextIn(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		ttl, refresh, most time.Duration
		failures           int
		random             float64
		want               time.Duration
	}{
		// The TTL, within its bounds.
		{ttl: 0, refresh: 5 * s, most: 300 * s, want: 5 * s},
		{ttl: 4 * s, refresh: 5 * s, most: 300 * s, want: 5 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, want: 60 * s},
		{ttl: 86400 * s, refresh: 5 * s, most: 300 * s, want: 300 * s},
		{ttl: maxTTL, refresh: 5 * s, most: 300 * s, want: 300 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 0, want: 5 * s},
		// Jitter goes down by a tenth, and not below refresh.
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, random: 0.5, want: 57 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, random: 1, want: 54 * s},
		{ttl: 5 * s, refresh: 5 * s, most: 300 * s, random: 1, want: 5 * s},
		{ttl: 5200 * time.Millisecond, refresh: 5 * s, most: 300 * s, random: 1, want: 5 * s},
		// After failures the TTL doesn't matter.
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, failures: 1, want: 5 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, failures: 2, want: 10 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, failures: 3, want: 20 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, failures: 4, want: 30 * s},
		{ttl: 60 * s, refresh: 5 * s, most: 300 * s, failures: 1 << 40, want: 30 * s},
		{refresh: 5 * s, most: 300 * s, failures: 3, random: 1, want: 18 * s},
		{refresh: 5 * s, most: 12 * s, failures: 9, want: 12 * s},
		{refresh: 60 * s, most: 300 * s, failures: 9, want: 60 * s},
	} {
		if got := nextIn(c.ttl, c.refresh, c.most, c.failures, c.random); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Whatever comes, the wait is within its bounds.
func TestNextInBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		refresh := time.Duration(1 + random.Int64N(int64(time.Hour)))
		most := time.Duration(random.Int64N(int64(100 * time.Hour)))
		ttl := time.Duration(random.Uint32()) * time.Second
		got := nextIn(ttl, refresh, most, random.IntN(100), random.Float64())
		if got < refresh || got > max(refresh, most) {
			t.Fatalf("%v for a TTL of %v within %v and %v", got, ttl, refresh, most)
		}
	}
}
