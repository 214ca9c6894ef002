package load

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newLatencies holds 1 ns to a minute, to three digits.
func newLatencies() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 3)
}

// record clamps to what the histogram holds: a minute is long enough.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 1), h.HighestTrackableValue()))
}

func spread(h *hdrhistogram.Histogram) *Spread {
	us := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	return &Spread{
		Mean: h.Mean() / 1e3, P50: us(50), P90: us(90), P99: us(99), P999: us(99.9), Max: float64(h.Max()) / 1e3,
	}
}

// curve is the distribution at steps that are even on an axis of nines: every
// 5 % below 90 %, then nine steps to each further nine, up to 99.999 %, and 100.
// Where there are fewer values than a step needs, the steps repeat the largest.
func curve(h *hdrhistogram.Histogram) []Point {
	if h.TotalCount() == 0 {
		return nil
	}
	points := make([]Point, 0, 64)
	add := func(percent float64) {
		percent = math.Round(percent*1e3) / 1e3
		points = append(points, Point{Percent: percent, US: float64(h.ValueAtQuantile(percent)) / 1e3})
	}
	for p := 0.0; p < 90; p += 5 {
		add(p)
	}
	for _, step := range []float64{1, 0.1, 0.01, 0.001} {
		for i := 10.0; i > 1; i-- {
			add(100 - i*step)
		}
	}
	add(99.999)
	return append(points, Point{Percent: 100, US: float64(h.Max()) / 1e3})
}
