package outlier_test

import (
	"fmt"
	"time"

	"weir/lb/outlier"
)

// One of ten endpoints refuses connections, and again after it has come back.
func Example() {
	rules := &outlier.Rules{
		Consecutive: 5, Stdev: 1.9, Interval: 10 * time.Second,
		Ejection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxEjected: 0.1,
	}
	members := make([]*outlier.Record, 10)
	for i := range members {
		members[i] = new(outlier.Record)
	}
	now := time.Duration(0)
	failed := 0
	fail := func(i int) {
		if failed++; failed < rules.Consecutive {
			return
		}
		failed = 0
		if rules.Eject(members, i, int64(now), outlier.ConsecutiveFailures) {
			fmt.Println(now, "out:", i, members[i].Why())
		}
	}
	for range 2 {
		for range 5 {
			fail(3)
		}
		at, _ := outlier.Next(members) // a caller waits until then
		now = time.Duration(at)
		for _, i := range rules.Due(members, at, nil) {
			fmt.Println(now, "back:", i)
		}
	}
	// Of 200 connections to each, those to one endpoint fail more often than the others'.
	samples := make([]outlier.Sample, len(members))
	for i := range samples {
		samples[i] = outlier.Sample{Successes: 199, Failures: 1}
	}
	samples[7] = outlier.Sample{Successes: 150, Failures: 50}
	for _, i := range rules.Judge(members, samples, int64(now), nil) {
		fmt.Println(now, "out:", i, members[i].Why())
	}
	// Output:
	// 0s out: 3 consecutive_failures
	// 30s back: 3
	// 30s out: 3 consecutive_failures
	// 1m30s back: 3
	// 1m30s out: 7 success_rate
}
