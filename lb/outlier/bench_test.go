package outlier

import (
	"fmt"
	"testing"
	"time"
)

var benchRules = &Rules{
	Consecutive: 5, Stdev: 1.9, Interval: 10 * time.Second,
	Ejection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxEjected: 0.1,
}

// traffic returns samples of n members, of which each tenth is bad.
func traffic(n int) []Sample {
	samples := make([]Sample, n)
	for i := range samples {
		samples[i] = Sample{990 + uint64(i%7), uint64(i % 5)}
		if i%10 == 3 {
			samples[i].Failures = 500 + uint64(i*31%97)
		}
	}
	return samples
}

// BenchmarkJudge judges a cluster of which a tenth is ejected, and ends those ejections.
func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			members, samples := cluster(n), traffic(n)
			out, back := make([]int, 0, n), make([]int, 0, n)
			now := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				out = benchRules.Judge(members, samples, now, out[:0])
				now += 300 * sec
				if back = benchRules.Due(members, now, back[:0]); len(back) != len(out) || len(out) != n/10 {
					b.Fatal(len(out), len(back))
				}
			}
		})
	}
}

// BenchmarkEject ejects one for its failures, and has it return.
func BenchmarkEject(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			members := cluster(n)
			b.ReportAllocs()
			for b.Loop() {
				if !benchRules.Eject(members, n/2, 1, ConsecutiveFailures) || !members[n/2].Return() {
					b.Fatal("refused")
				}
			}
		})
	}
}

func TestAllocatesNothing(t *testing.T) {
	const n = 100
	members, samples := cluster(n), traffic(n)
	indexes := make([]int, 0, n)
	now := int64(0)
	ejections := 0
	if allocs := testing.AllocsPerRun(1000, func() {
		indexes = benchRules.Judge(members, samples, now, indexes[:0])
		ejections += len(indexes)
		benchRules.Eject(members, 0, now, ConsecutiveFailures)
		if at, ok := Next(members); ok {
			now = at
		}
		indexes = benchRules.Due(members, now, indexes[:0])
	}); allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
	if ejections < 1000 {
		t.Errorf("only %d ejections", ejections)
	}
}
