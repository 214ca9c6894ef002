package main

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"weir/bench/measure"
)

// alpha is the p below which a difference counts.
const alpha = 0.05

// verdict is what a change comes to. Lower figures are better.
type verdict string

const (
	worse   verdict = "worse"
	better  verdict = "better"
	same    verdict = "~"
	unknown verdict = "?"
)

// change is a figure in two runs.
type change struct {
	workload, contender, unit string
	before, after             float64 // medians
	n                         [2]int  // rounds
	p                         float64
	verdict                   verdict
	failed                    [2]string // then there is no figure
}

// judge compares rounds; a difference of medians up to null is none.
func (c *change) judge(before, after []float64, null float64) {
	c.before, c.after = measure.SpreadOf(before).Median, measure.SpreadOf(after).Median
	c.n = [2]int{len(before), len(after)}
	t := &benchmath.Thresholds{CompareAlpha: alpha}
	c.p = benchmath.AssumeNothing.Compare(benchmath.NewSample(before, t), benchmath.NewSample(after, t)).P
	switch {
	case leastP(len(before), len(after)) >= alpha:
		c.verdict = unknown
	case c.p >= alpha || math.Abs(c.after-c.before) <= null:
		c.verdict = same
	case c.after > c.before:
		c.verdict = worse
	default:
		c.verdict = better
	}
}

// leastP is p of two samples of which one is wholly below the other: two of all
// the ways to deal n+m ranks.
func leastP(n, m int) float64 {
	p := 2.0
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(m+i)
	}
	return p
}

// percent is the change relative to before; NaN where that isn't above zero.
func (c change) percent() float64 {
	if !(c.before > 0) {
		return math.NaN()
	}
	return 100 * (c.after/c.before - 1)
}

// changesOf are those of all contenders in what both runs have.
func changesOf(before, after measure.Report) []change {
	var list []change
	for _, pair := range shared(before, after) {
		a, b := measure.Values(pair[0], before.Samples), measure.Values(pair[1], after.Samples)
		null := max(nullOf(before, pair[0].Name), nullOf(after, pair[1].Name))
		for _, who := range after.Contenders {
			c := change{workload: pair[1].Name, contender: who.Name, unit: pair[1].Unit, p: math.NaN()}
			c.failed = [2]string{failureOf(before, c.workload, who.Name), failureOf(after, c.workload, who.Name)}
			old, now := figures(a[who.Name]), figures(b[who.Name])
			switch {
			case c.failed[0] != "" && c.failed[1] == "" && len(now) > 0:
				c.verdict, c.after = better, measure.SpreadOf(now).Median
			case c.failed[1] != "" && c.failed[0] == "" && len(old) > 0:
				c.verdict, c.before = worse, measure.SpreadOf(old).Median
			case len(old) > 0 && len(now) > 0:
				c.failed = [2]string{}
				c.judge(old, now, null)
			default:
				continue
			}
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, order)
	return list
}

// ratiosOf are the subject's to one peer in each workload: the best of the new
// run that the old one has as well.
func ratiosOf(before, after measure.Report) []change {
	var list []change
	if before.Subject != after.Subject {
		return nil
	}
	for _, pair := range shared(before, after) {
		a, b := measure.Values(pair[0], before.Samples), measure.Values(pair[1], after.Samples)
		for _, peer := range []string{bestOf(after, pair[1].Name), bestOf(before, pair[0].Name)} {
			old, now := ratios(a[before.Subject], a[peer]), ratios(b[after.Subject], b[peer])
			if len(old) == 0 || len(now) == 0 {
				continue
			}
			c := change{workload: pair[1].Name, contender: peer}
			c.judge(old, now, max(share(nullOf(before, c.workload), a[peer]), share(nullOf(after, c.workload), b[peer])))
			list = append(list, c)
			break
		}
	}
	slices.SortStableFunc(list, order)
	return list
}

// order puts failures first, then worse, better, all else as it comes; within
// worse and better the largest first.
func order(a, b change) int {
	rank := func(c change) int {
		switch {
		case c.failed[1] != "":
			return 0
		case c.failed[0] != "":
			return 1
		case c.verdict == worse:
			return 2
		case c.verdict == better:
			return 3
		}
		return 4
	}
	if d := cmp.Compare(rank(a), rank(b)); d != 0 || rank(a) < 2 || rank(a) > 3 {
		return d
	}
	return cmp.Compare(math.Abs(b.percent()), math.Abs(a.percent()))
}

// shared are the workloads of the same name, unit and figure, old and new.
func shared(before, after measure.Report) [][2]measure.Workload {
	var list [][2]measure.Workload
	for _, b := range after.Workloads {
		i := slices.IndexFunc(before.Workloads, func(a measure.Workload) bool {
			return a.Name == b.Name && a.Unit == b.Unit && a.Figure == b.Figure && a.Percentile == b.Percentile
		})
		if i >= 0 {
			list = append(list, [2]measure.Workload{before.Workloads[i], b})
		}
	}
	return list
}

// figures are in the order of rounds.
func figures(byRound map[int]float64) []float64 {
	var list []float64
	for _, round := range slices.Sorted(maps.Keys(byRound)) {
		list = append(list, byRound[round])
	}
	return list
}

// ratios of rounds in which both are above zero.
func ratios(subject, peer map[int]float64) []float64 {
	var list []float64
	for _, round := range slices.Sorted(maps.Keys(subject)) {
		if subject[round] > 0 && peer[round] > 0 {
			list = append(list, subject[round]/peer[round])
		}
	}
	return list
}

// share is a null as a part of a peer's figure.
func share(null float64, peer map[int]float64) float64 {
	if m := measure.SpreadOf(figures(peer)).Median; m > 0 {
		return null / m
	}
	return 0
}

// nullOf is the widest that direct differed from itself.
func nullOf(r measure.Report, workload string) float64 {
	for _, n := range r.Summary.Nulls {
		if n.Workload == workload {
			return max(n.Cost.Max, -n.Cost.Min)
		}
	}
	return 0
}

func failureOf(r measure.Report, workload, contender string) string {
	for _, row := range r.Summary.Rows {
		if row.Workload == workload && row.Contender == contender {
			return row.Failed
		}
	}
	return ""
}

func bestOf(r measure.Report, workload string) string {
	for _, c := range r.Summary.Comparisons {
		if c.Workload == workload && c.Better {
			return c.Peer
		}
	}
	return ""
}
