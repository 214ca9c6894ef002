package access

import (
	"math"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const ns = int64(time.Second)

func TestNewRate(t *testing.T) {
	tests := []struct {
		name            string
		perSecond       float64
		burst           int64
		interval, holds int64 // ticks, tokens
	}{
		{"a thousand", 1000, 2000, ticks * 1e6, 2000},
		{"one second's worth", 1000, 0, ticks * 1e6, 1000},
		{"a negative burst", 20, -5, ticks * 5e7, 20},
		{"less than one a second", 0.1, 0, ticks * 1e10, 1},
		{"no whole number", 2.5, 0, ticks * 4e8, 2},
		{"rounded up", 3, 1, 5333333334, 1},
		{"one in a nanosecond", 1e9, 1, ticks, 1},
		{"too many", 1e30, 5, 1, 5},
		{"one second of too many", 1e30, 0, 1, longest},
		{"too few", 1e-30, 3, longest, 1},
		{"a burst that takes too long", 1, math.MaxInt64, int64(second), longest / int64(second)},
		{"none", 0, 5, 0, 0},
		{"less than none", -1, 5, 0, 0},
		{"all", math.Inf(1), 5, 0, 0},
		{"no number", math.NaN(), 5, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := NewRate(test.perSecond, test.burst)
			if want := (Rate{test.interval, test.interval * test.holds}); r != want {
				t.Errorf("got %+v, want %+v", r, want)
			}
			if r.Limited() != (test.interval > 0) {
				t.Errorf("Limited() = %v", r.Limited())
			}
		})
	}
}

// model is a bucket as it is told to children: it holds tokens, and time fills it. Amounts are in ticks, interval ticks a token.
type model struct {
	missing int64
	now     int64
}

func (m *model) take(r Rate, now int64) bool {
	m.missing = max(0, m.missing-(now-m.now)*ticks)
	m.now = now
	if m.missing+r.interval > r.capacity {
		return false
	}
	m.missing += r.interval
	return true
}

func TestBucketAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		rate := NewRate(math.Pow(10, 9*r.Float64()-1), 1+r.Int64N(50))
		now := []int64{0, -5 * ns, 1e18, math.MaxInt64/ticks - 1000, math.MaxInt64 - 1e15}[seed%5] // ticks wrap around in the last two
		var b Bucket
		m := model{now: now}
		for range 2000 {
			switch r.IntN(10) {
			case 0:
				now += r.Int64N(rate.capacity/ticks + 2)
			case 1, 2, 3:
				now += r.Int64N(rate.interval/ticks + 2)
			}
			level := b.Level(rate, now)
			got, want := b.Take(rate, now), m.take(rate, now)
			if got != want {
				t.Fatalf("seed %d: Take(%+v, %d) = %v, want %v", seed, rate, now, got, want)
			}
			if (level >= 1) != want {
				t.Fatalf("seed %d: a level of %v, and Take = %v", seed, level, want)
			}
		}
	}
}

// Who asks whenever a token is due gets them in exactly the time that they take: not one too early, and each late by less than a tick.
func TestBucketInTheLongRun(t *testing.T) {
	for _, perSecond := range []float64{0.3, 3, 7, 1000, 1e6 / 3, 700_000, 1e6} {
		rate := NewRate(perSecond, 2) // with 1, a token that is due within a nanosecond would wait for its end, and the next one for it
		var b Bucket
		b.Take(rate, ns)
		const tokens = 100_000
		now := ns
		for taken := 0; ; {
			if b.Take(rate, now) {
				if taken++; taken == tokens+1 { // the first was there
					break
				}
			}
			now += (max(0, debt(b.debt.Load()).since(now)-rate.interval) + ticks - 1) / ticks
		}
		elapsed := big.NewRat(now-ns, ns)
		ideal := new(big.Rat).Quo(big.NewRat(tokens, 1), new(big.Rat).SetFloat64(perSecond))
		late, _ := new(big.Rat).Sub(elapsed, ideal).Float64()
		if late < -1e-15*tokens || late*float64(second) > tokens+ticks {
			t.Errorf("%v a second: %d tokens came %g s late", perSecond, tokens, late)
		}
		if now-ns != (tokens*rate.interval+ticks-1)/ticks {
			t.Errorf("%v a second: %d tokens took %d ns of %d ticks each", perSecond, tokens, now-ns, rate.interval)
		}
	}
}

func TestBucketLevel(t *testing.T) {
	var b Bucket
	rate := NewRate(10, 5)
	level := func(now int64, want float64) {
		t.Helper()
		if got := b.Level(rate, now); math.Abs(got-want) > 1e-9 {
			t.Errorf("a level of %v, want %v", got, want)
		}
	}
	level(0, 5)
	for range 5 {
		b.Take(rate, ns)
	}
	level(ns, 0)
	level(ns-ns/100, 0)
	level(ns+ns/20, 0.5)
	level(ns+ns/10, 1)
	level(2*ns, 5)
	level(9*ns, 5)
	if got := b.Level(Rate{}, ns); got != 0 {
		t.Errorf("no limit has %v tokens", got)
	}
	if !b.Take(Rate{}, ns) || b.Level(rate, ns) != 0 {
		t.Error("no limit is one, or takes a token")
	}
}

// Its being full at tick 0 is something else than the zero value.
func TestBucketAroundZero(t *testing.T) {
	rate := NewRate(1e9, 1)
	for now := int64(-3); now <= 3; now++ {
		var b Bucket
		if !b.Take(rate, now) || b.Take(rate, now) || !b.Take(rate, now+2) { // a tick later than now+1, at worst
			t.Errorf("at %d ns not one token each", now)
		}
	}
}

// A changed rate finds what was taken as the time until it is back, but not more than an empty bucket.
func TestBucketWhoseRateChanges(t *testing.T) {
	var b Bucket
	slow, fast := NewRate(1.0/3600, 100), NewRate(10, 5)
	now := ns
	for range 100 {
		b.Take(slow, now)
	}
	if b.Take(fast, now) {
		t.Error("an empty bucket has a token for a faster rate")
	}
	now += ns / 10
	if !b.Take(fast, now) {
		t.Error("a correction of the rate takes as long as the old rate")
	}
	if b.Take(fast, now) {
		t.Error("a second token in a tenth of a second")
	}
	now += ns
	if !b.Take(slow, now) {
		t.Error("a full bucket has no token for a slower rate")
	}

	b = Bucket{}
	for range 5 {
		b.Take(fast, now)
	}
	for range 99 { // half a second is a fraction of a token of the slow rate
		if !b.Take(slow, now) {
			t.Fatal("half a second is more than a token a 3600 s")
		}
	}
	if b.Take(slow, now) {
		t.Error("what has been taken is forgotten")
	}
}

// No more than what a bucket holds, and what time has brought it since, whatever the callers' clocks say within a second.
func TestBucketWithClocksApart(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		rate := NewRate(math.Pow(10, 6*r.Float64()), 1+r.Int64N(20))
		apart := 1 + r.Int64N([]int64{1e3, 5e6, 9e8}[seed%3])
		var b Bucket
		now, taken := ns, int64(0)
		earliest, latest := int64(math.MaxInt64), int64(math.MinInt64)
		for range 3000 {
			now += r.Int64N(rate.interval/ticks/2 + 2)
			reading := now - r.Int64N(apart)
			earliest, latest = min(earliest, reading), max(latest, reading)
			if b.Take(rate, reading) {
				taken++
			}
			if taken*rate.interval > rate.capacity+(latest-earliest)*ticks {
				t.Fatalf("seed %d: %d tokens of %+v in %d ns", seed, taken, rate, latest-earliest)
			}
		}
		if enough := (rate.capacity + (now-ns-apart)*ticks) / rate.interval / 8; taken < enough {
			t.Errorf("seed %d: only %d tokens of %+v, of some %d", seed, taken, rate, enough)
		}
	}
}

// together runs f in so many goroutines that begin at once.
func together(n int, f func(i int)) {
	var begin, end sync.WaitGroup
	begin.Add(1)
	for i := range n {
		end.Go(func() {
			begin.Wait()
			f(i)
		})
	}
	begin.Done()
	end.Wait()
}

func TestBucketConcurrently(t *testing.T) {
	const callers, burst = 8, 5000
	rate := NewRate(1000, burst)
	var b Bucket
	var taken atomic.Int64
	together(callers, func(int) {
		for range burst {
			if b.Take(rate, ns) {
				taken.Add(1)
			}
		}
	})
	if taken.Load() != burst {
		t.Errorf("%d tokens of %d", taken.Load(), burst)
	}

	// A second later, by clocks that are some milliseconds apart and a thousand steps long: those and what a second brought, to the token.
	taken.Store(0)
	together(callers, func(i int) {
		for step := int64(1); step <= 1000; step++ {
			for range 4 {
				if b.Take(rate, ns+min(ns, step*ns/1000+int64(i)*ns/500)) {
					taken.Add(1)
				}
			}
		}
	})
	for b.Take(rate, 2*ns) {
		taken.Add(1)
	}
	if taken.Load() != 1000 {
		t.Errorf("%d tokens in a second, want 1000", taken.Load())
	}
}

// FuzzBucket reads a rate, a burst, and pairs of how long to wait and how far behind the caller's clock is.
func FuzzBucket(f *testing.F) {
	f.Add(uint32(1000), uint8(3), []byte{0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 9})
	f.Add(uint32(1_000_000), uint8(1), []byte{0, 0, 10, 3, 10, 0, 255, 255, 0, 0})
	f.Add(uint32(0), uint8(0), []byte{1, 1})
	f.Fuzz(func(t *testing.T, millis uint32, burst uint8, steps []byte) {
		rate := NewRate(float64(millis)/1000, int64(burst))
		var b, ordered Bucket
		m := model{now: ns}
		now, taken := ns, int64(0)
		earliest, latest := int64(math.MaxInt64), int64(math.MinInt64)
		for ; len(steps) >= 2; steps = steps[2:] {
			now += int64(steps[0]) * int64(steps[0]) * rate.interval / ticks / 4096
			reading := now - int64(steps[1])*int64(steps[1])*10_000 // up to 650 ms
			earliest, latest = min(earliest, reading), max(latest, reading)
			if b.Take(rate, reading) {
				taken++
			}
			if !rate.Limited() {
				continue
			}
			if taken*rate.interval > rate.capacity+(latest-earliest)*ticks {
				t.Fatalf("%d tokens of %+v in %d ns", taken, rate, latest-earliest)
			}
			if got, want := ordered.Take(rate, now), m.take(rate, now); got != want {
				t.Fatalf("Take(%+v, %d) = %v, want %v", rate, now, got, want)
			}
		}
	})
}
