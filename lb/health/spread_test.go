package health

import (
	"math"
	"slices"
	"testing"
	"time"

	"weir/lb"
)

// slots counts times by slots of 10 ms and returns the fullest.
func slots(times []int64, from, to int64) (most int) {
	counts := make([]int, (to-from)/(10*ms)+1)
	for _, at := range times {
		if at >= from && at < to {
			counts[(at-from)/(10*ms)]++
		}
	}
	return slices.Max(counts)
}

// HAProxy's configuration manual, section 5.2, "inter": the checks of all servers start a little apart, so that servers on
// one machine aren't all checked at once. Envoy's API reference, config.core.v3.HealthCheck, initial_jitter: the first
// check comes at a random time up to that. Here each has a place of its own as well, and a few don't wait for long.
func TestSpread(t *testing.T) {
	tests := []struct {
		name     string
		n        int
		interval time.Duration
		within   time.Duration
	}{
		{"one", 1, 2 * time.Second, time.Millisecond},
		{"a few", 10, 2 * time.Second, 10 * time.Millisecond},
		{"as many as milliseconds", 2000, 2 * time.Second, 2 * time.Second},
		{"one more", 2001, 2 * time.Second, 2 * time.Second},
		{"ten thousand", 10_000, 2 * time.Second, 2 * time.Second},
		{"ten thousand in more time", 10_000, 10 * time.Second, 10 * time.Second},
		{"ten thousand in much more time", 10_000, time.Minute, 10 * time.Second},
		{"more than there are nanoseconds", 100, 30, 30},
		{"the longest interval", 100, math.MaxInt64, 100 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(20) {
				rand := lb.NewRand(seed)
				var times []int64
				for i := range test.n {
					times = append(times, int64(Spread(i, test.n, test.interval, rand)))
				}
				if !slices.IsSorted(times) {
					t.Fatal("one comes before one that has a place before it")
				}
				if first, last := times[0], times[test.n-1]; first < 0 || last >= int64(test.within) || int64(test.within)-last > int64(test.within)/int64(test.n)+1 {
					t.Fatalf("from %v to %v, want all of %v", time.Duration(first), time.Duration(last), test.within)
				}
				share := float64(test.n) * float64(10*ms) / float64(max(test.within, 10*time.Millisecond))
				if most := slots(times, 0, int64(test.within)); float64(most) > share+2 {
					t.Fatalf("%d in 10 ms, where the share is %.1f", most, share)
				}
			}
		})
	}
}

// Endpoints aren't checked at the same moments by two processes.
func TestSpreadIsRandom(t *testing.T) {
	same := 0
	a, b := lb.NewRand(1), lb.NewRand(2)
	for i := range 1000 {
		if Spread(i, 1000, time.Second, a) == Spread(i, 1000, time.Second, b) {
			same++
		}
	}
	if same > 3 {
		t.Errorf("%d of 1000 times are the same", same)
	}
}

func TestSpreadOfNothing(t *testing.T) {
	rand := lb.NewRand(1)
	for _, d := range []time.Duration{
		Spread(0, 0, time.Second, rand), Spread(0, -1, time.Second, rand),
		Spread(3, 7, 0, rand), Spread(3, 7, -1, rand),
	} {
		if d != 0 {
			t.Error(d)
		}
	}
	for _, i := range []int{math.MinInt, -1, 7, math.MaxInt} {
		if d := Spread(i, 7, time.Second, rand); d < 0 || d >= 7*time.Millisecond {
			t.Errorf("endpoint %d of 7: %v", i, d)
		}
	}
	if d := Spread(math.MaxInt-1, math.MaxInt, math.MaxInt64, rand); d < math.MaxInt64-1 {
		t.Errorf("the last of very many: %v", d)
	}
}

// Checks that began spread stay spread: 10,000 endpoints for a minute, some of which go down and come back.
func TestChecksStaySpread(t *testing.T) {
	const n, interval = 10_000, 2 * time.Second
	r := &Rules{Interval: interval, FastInterval: 500 * time.Millisecond, Rise: 2, Fall: 3}
	rand := lb.NewRand(7)
	machines := make([]Machine, n)
	var s Schedule
	for i := range n {
		s.Put(uint32(i), int64(Spread(i, n, interval, rand)))
	}
	var times []int64
	for {
		now, _ := s.Next()
		if now > 60*sec {
			break
		}
		id, _ := s.Pop(now)
		times = append(times, now)
		m := &machines[id]
		m.Observe(r, rand.Below(50) > 0)
		s.Put(id, now+int64(m.Wait(r, rand)))
	}
	// 50 checks in 10 ms, and some faster ones. By chance alone the fullest of 6,000 slots has 4 deviations more, 28.
	if most := slots(times, 0, 60*sec); most > 100 {
		t.Errorf("%d checks in 10 ms, where the share is 50", most)
	}
	if len(times) < n*29 || len(times) > n*35 {
		t.Errorf("%d checks in a minute", len(times))
	}
}
