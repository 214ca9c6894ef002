package stats

import (
	"testing"
	"time"

	"weir/l4"
)

func TestRate(t *testing.T) {
	type step struct {
		after time.Duration // since the one before
		count uint64        // of the thing; ignored with gone
		gone  bool
	}
	every := func(n int, by uint64) (steps []step) {
		for i := range n {
			steps = append(steps, step{after: sampleEvery, count: uint64(i) * by})
		}
		return steps
	}
	for name, c := range map[string]struct {
		samples []step
		after   time.Duration
		count   uint64
		want    float64
	}{
		"never sampled":           {after: time.Second, count: 5, want: 0},
		"too young":               {samples: every(1, 0), after: rateAfter - 1, count: 50, want: 0},
		"one sample":              {samples: every(1, 0), after: time.Second, count: 50, want: 50},
		"two samples":             {samples: every(2, 10), after: sampleEvery, count: 20, want: 5},
		"steady for long":         {samples: every(100, 10), after: sampleEvery, count: 1000, want: 5},
		"only the last ten count": {samples: append(every(3, 1000), []step{{sampleEvery, 2000, false}, {sampleEvery, 2000, false}, {sampleEvery, 2000, false}, {sampleEvery, 2000, false}, {sampleEvery, 2000, false}}...), after: time.Second, count: 2000, want: 0},
		"the oldest kept counts":  {samples: append(every(3, 0), []step{{sampleEvery, 100, false}, {sampleEvery, 100, false}, {sampleEvery, 100, false}, {sampleEvery, 100, false}, {sampleEvery, 100, false}}...), after: 10 * time.Second, count: 100, want: 5},
		"began anew":              {samples: []step{{0, 100, false}, {sampleEvery, 110, false}}, after: time.Second, count: 3, want: 0},
		"gone and back":           {samples: append(every(4, 10), step{after: sampleEvery, gone: true}, step{after: sampleEvery, count: 0}), after: 2 * time.Second, count: 8, want: 4},
		"late samples":            {samples: []step{{0, 0, false}, {time.Minute, 60, false}}, after: time.Minute, count: 120, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var w window
			at, key := now, new(int)
			for _, s := range c.samples {
				at = at.Add(s.after)
				w.sample(at, func(add func(any, counts)) {
					if !s.gone {
						add(key, counts{
							connections: s.count, failed: 2 * s.count, datagramsUp: 3 * s.count,
							dropped: &[l4.NumDrops]uint64{1: s.count}, closed: &[l4.NumReasons]uint64{2: s.count},
						})
					}
				})
			}
			got := w.rate(at.Add(c.after), key, counts{
				connections: c.count, failed: 2 * c.count, datagramsUp: 3 * c.count,
				dropped: &[l4.NumDrops]uint64{1: c.count}, closed: &[l4.NumReasons]uint64{2: c.count},
			})
			if got.closed != [l4.NumReasons]float64{2: c.want} {
				t.Errorf("ends %v, want %v a second of one reason", got.closed, c.want)
			}
			if got.connections != c.want || got.failed != 2*c.want || got.toUpstream != 0 || got.datagramsUp != 3*c.want || got.dropped != [l4.NumDrops]float64{1: c.want} {
				t.Errorf("got %+v, want %v connections a second", got, c.want)
			}
		})
	}
}

// TestWindowForgets holds that what has left the View leaves the window.
func TestWindowForgets(t *testing.T) {
	var w window
	for i := range 100 {
		w.sample(now.Add(time.Duration(i)*sampleEvery), func(add func(any, counts)) { add(new(int), counts{}) })
	}
	if n := len(w.tracks); n != 1 {
		t.Errorf("%d things remembered, want 1", n)
	}
}
