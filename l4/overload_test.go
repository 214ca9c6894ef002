package l4

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A stage begins at its pressure and ends 0.03 below it, wherever the pressure comes from.
func TestStageNext(t *testing.T) {
	const calm, shorten, shed, refuse = StageCalm, StageShorten, StageShed, StageRefuse
	for _, tc := range []struct {
		from     Stage
		pressure float64
		want     Stage
	}{
		{calm, 0, calm}, {calm, 0.8999, calm}, {calm, 0.90, shorten}, {calm, 0.9499, shorten}, {calm, 0.95, shed}, {calm, 0.9899, shed}, {calm, 0.99, refuse}, {calm, 7, refuse},
		{shorten, 0.8701, shorten}, {shorten, 0.8699, calm}, {shorten, 0.9499, shorten}, {shorten, 0.95, shed}, {shorten, 1, refuse}, {shorten, 0, calm},
		{shed, 0.9201, shed}, {shed, 0.9199, shorten}, {shed, 0.8701, shorten}, {shed, 0.8699, calm}, {shed, 0.9899, shed}, {shed, 0.99, refuse},
		{refuse, 0.9601, refuse}, {refuse, 0.9599, shed}, {refuse, 0.9201, shed}, {refuse, 0.9199, shorten}, {refuse, 0.8699, calm}, {refuse, 1, refuse},
	} {
		if got := tc.from.Next(tc.pressure); got != tc.want {
			t.Errorf("at %v %v becomes %v, want %v", tc.pressure, tc.from, got, tc.want)
		}
		if again := tc.want.Next(tc.pressure); again != tc.want {
			t.Errorf("at %v %v does not stay, it becomes %v", tc.pressure, tc.want, again)
		}
	}
	for s := range NumStages + 1 {
		if (s.String() == "unknown") != (s == NumStages) {
			t.Errorf("stage %d is called %s", s, s)
		}
	}
}

func TestShortened(t *testing.T) {
	for idle, want := range map[time.Duration]time.Duration{
		0: 450 * time.Second, time.Hour: 450 * time.Second, 80 * time.Second: 10 * time.Second, 8 * time.Second: time.Second,
		7 * time.Second: time.Second, time.Second: time.Second, 999 * time.Millisecond: 999 * time.Millisecond, time.Millisecond: time.Millisecond,
	} {
		if got := time.Duration(Shortened(int64(idle))); got != want {
			t.Errorf("%v becomes %v, want %v", idle, got, want)
		}
	}
}

// An Oldest has the first of a sorted list of all that it was offered.
func TestOldest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		type one struct {
			index uint32
			since int64
		}
		var o Oldest
		var all []one
		for i := range rng.IntN(100) {
			all = append(all, one{uint32(i), rng.Int64N(60)})
			o.Offer(uint32(i), all[i].since)
		}
		slices.SortStableFunc(all, func(a, b one) int { return int(a.since - b.since) })
		of := rng.IntN(4000)
		want := all[:min(len(all), oldestMost, max(1, of/oldestShare))]
		due := o.Due(of)
		if !slices.EqualFunc(due, want, func(i uint32, w one) bool { return i == w.index }) {
			t.Fatalf("of %v, for %d, it has %v", all, of, due)
		}
	}
}
