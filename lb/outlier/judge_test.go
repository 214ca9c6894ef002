package outlier

import (
	"math"
	"slices"
	"testing"
	"time"
)

// of returns samples of 1,000 outcomes each, with so many failures.
func of(failures ...uint64) (samples []Sample) {
	for _, f := range failures {
		samples = append(samples, Sample{1000 - f, f})
	}
	return samples
}

// Who: Envoy's API reference, config.cluster.v3.OutlierDetection, and its architecture overview, "Outlier detection",
// Success Rate:
//
//   - success_rate_stdev_factor: a host is ejected below mean - factor * standard deviation, 1.9 unless said otherwise;
//   - success_rate_minimum_hosts: nothing is judged among fewer hosts with enough requests, 5;
//   - success_rate_request_volume: a host with fewer requests in the interval has no part in it, 100;
//   - failures are those of the connection and the server's alike; ejected hosts have no part.
//
// Why 1.9: one outlier among n equals is sqrt(n-1) deviations below the mean, whatever its success rate; that is 2 for the
// 5 who are needed. Of two outliers among 5 none is far enough away.
//
// On purpose different: a success rate has to be below the mean by MinGap as well; in Envoy a single failure is enough where the others have none. And
// where the cap allows fewer than there are, Envoy takes who comes first; here the worst go.
func TestJudge(t *testing.T) {
	with := func(samples []Sample, i int, s Sample) []Sample {
		samples[i] = s
		return samples
	}
	equals := func(n int, s Sample) []Sample { return slices.Repeat([]Sample{s}, n) }
	const most = math.MaxUint64
	tests := []struct {
		name    string
		stdev   float64
		share   float64
		out     []int // ejected before
		samples []Sample
		want    []int
	}{
		{"all well", 1.9, 1, nil, of(0, 0, 0, 0, 0), nil},
		{"all bad", 1.9, 1, nil, of(1000, 1000, 1000, 1000, 1000), nil},
		{"all equal", 1.9, 1, nil, of(7, 7, 7, 7, 7, 7, 7), nil},
		{"all equal, where sums are not exact", 0.001, 1, nil, equals(5, Sample{997, 3}), nil},
		{"one of five", 1.9, 1, nil, of(0, 0, 500, 0, 0), []int{2}},
		{"by too little", 1.9, 1, nil, of(0, 0, 12, 0, 0), nil},
		{"by enough", 1.9, 1, nil, of(0, 0, 13, 0, 0), []int{2}},
		{"one of five, none of whom is good", 1.9, 1, nil, of(900, 900, 900, 1000, 900), []int{3}},
		{"one that is better", 1.9, 1, nil, of(500, 0, 500, 500, 500), nil},
		{"two of five", 1.9, 1, nil, of(0, 500, 500, 0, 0), nil},
		{"two of ten", 1.9, 1, nil, of(0, 500, 0, 0, 0, 0, 0, 500, 0, 0), []int{1, 7}},
		{"half of them", 1.9, 1, nil, of(500, 500, 500, 500, 0, 0, 0, 0), nil},
		{"a greater factor", 2.01, 1, nil, of(0, 0, 500, 0, 0), nil},
		{"just at the threshold", 2, 1, nil, of(0, 0, 500, 0, 0), nil},
		{"a smaller factor", 1, 1, nil, of(0, 500, 500, 0, 0), []int{1, 2}},
		{"100 below the mean, deviation 63", 1.5, 1, nil, of(50, 50, 50, 150, 200), []int{4}},
		{"100 below the mean, deviation 63, further", 1.6, 1, nil, of(50, 50, 50, 150, 200), nil},

		{"four are too few", 1, 1, nil, of(0, 0, 0, 1000), nil},
		{"four with enough outcomes are too few", 1, 1, nil, with(of(0, 0, 0, 1000, 0), 4, Sample{99, 0}), nil},
		{"a hundred are enough", 1.9, 1, nil, with(of(0, 0, 0, 1000, 0), 4, Sample{99, 1}), []int{3}},
		{"of failures, too", 1.9, 1, nil, with(of(0, 0, 0, 0, 0), 4, Sample{0, 100}), []int{4}},
		{"one with too few isn't judged", 1.9, 1, nil, with(of(0, 0, 0, 0, 0, 0), 5, Sample{0, 99}), nil},
		{"and isn't part of the mean", 1.9, 1, nil, with(of(0, 0, 0, 0, 50, 0), 5, Sample{0, 99}), []int{4}},
		{"an idle cluster", 1.9, 1, nil, equals(9, Sample{}), nil},
		{"no cluster", 1.9, 1, nil, nil, nil},

		{"ejected ones aren't part of the mean", 1.9, 1, []int{0}, of(1000, 50, 0, 0, 0, 0), []int{1}},
		{"nor of the five", 1.9, 1, []int{0}, of(0, 1000, 0, 0, 0), nil},

		{"the worst first", 0.5, 1, nil, of(0, 500, 700, 0, 600, 0, 0, 0, 0, 0, 0, 0), []int{2, 4, 1}},
		{"no more than may", 0.5, 0.2, nil, of(0, 500, 700, 0, 600, 0, 0, 0, 0, 0, 0, 0), []int{2, 4}},
		{"one in any case", 0.5, 0, nil, of(0, 500, 700, 0, 600, 0, 0, 0, 0, 0, 0, 0), []int{2}},
		{"none when others are out", 0.5, 0, []int{0}, of(0, 500, 700, 0, 600, 0, 0, 0, 0, 0, 0, 0), nil},
		{"none when too many are out", 0.5, 0, []int{0, 3, 5}, of(0, 500, 700, 0, 600, 0, 0, 0, 0, 0, 0, 0), nil},
		{"of equals the first", 0.5, 0.2, nil, of(0, 500, 500, 0, 500, 0, 0, 0, 0, 0, 0, 0), []int{1, 2}},

		{"off", 0, 1, nil, of(0, 0, 1000, 0, 0), nil},
		{"a factor below zero", -1, 1, nil, of(0, 0, 1000, 0, 0), nil},
		{"no number", math.NaN(), 1, nil, of(0, 0, 1000, 0, 0), nil},
		{"an infinite factor", math.Inf(1), 1, nil, of(0, 0, 1000, 0, 0), nil},
		{"an infinite factor of none", math.Inf(1), 1, nil, of(0, 0, 0, 0, 0), nil},
		{"the smallest factor", math.SmallestNonzeroFloat64, 1, nil, equals(9, Sample{1 << 60, 3}), nil},
		{"counts beyond 64 bits", 1.9, 1, nil, with(equals(5, Sample{most, 0}), 3, Sample{most, most}), []int{3}},
		{"a difference beyond floating point", 1.9, 1, nil, with(equals(5, Sample{most, 0}), 3, Sample{most, 1}), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Rules{Stdev: test.stdev, Ejection: time.Second, MaxEjected: test.share}
			members := cluster(len(test.samples))
			for _, i := range test.out {
				r.eject(members[i], 0, ConsecutiveFailures)
			}
			if got := r.Judge(members, test.samples, 5, []int{77}); !slices.Equal(got[1:], test.want) || got[0] != 77 {
				t.Fatalf("%v are ejected, want 77 and %v", got, test.want)
			}
			if got, want := len(ejected(members)), len(test.out)+len(test.want); got != want {
				t.Errorf("%d are out, want %d", got, want)
			}
			for _, i := range test.want {
				if m := members[i]; m.Why() != SuccessRate || m.Until() != 5+sec || m.Multiplier() != 1 {
					t.Errorf("member %d: %v, until %d, multiplier %d", i, m.Why(), m.Until(), m.Multiplier())
				}
			}
		})
	}
}
