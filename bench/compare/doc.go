// Compare says what changed between two runs of bench/run beyond noise.
//
//	go run ./bench/compare OLD NEW
//
// OLD and NEW are files that a run left (results.json), or directories that hold
// one. For each workload and contender that both have, it prints the median
// figure of both, the change in percent and p, by the Mann-Whitney U test over
// the rounds (golang.org/x/perf/benchmath): how often chance alone would part
// equal contenders so far. A change is better or worse when p is below 0.05 and
// the medians differ by more than direct differed from itself in either run;
// else it is ~. It is ? where there are too few rounds for p to come that low: it
// takes four in each run, or three and five.
//
// Figures of two machines can't be compared, nor those of one machine in two
// years. What survives is the subject's ratio to a peer in the same round, so
// that comes first: against NEW's best peer, in both. A warning says what else
// isn't the same: machine, kernel, versions, configurations, loads.
//
// What changed is on top: failures, then worse, then better. The exit code is 1
// only when a run can't be read.
//
// State: none. Layer: bench, imports measure.
package main
