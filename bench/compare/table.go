package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"weir/bench/measure"
)

// write prints everything for people.
func write(out io.Writer, before, after measure.Report) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "OLD: %s, %d rounds\n", day(before), before.Rounds)
	fmt.Fprintf(t, "NEW: %s, %d rounds\n", day(after), after.Rounds)
	fmt.Fprintf(t, "%s: %s\n", after.Subject, subjectsOf(before, after))
	for _, w := range warningsOf(before, after) {
		fmt.Fprintf(t, "warning: %s\n", w)
	}
	ratios, changes := ratiosOf(before, after), changesOf(before, after)
	if len(ratios) > 0 {
		fmt.Fprintf(t, "\n%s over the best peer, round by round: what survives another machine\n", after.Subject)
		fmt.Fprintf(t, "workload\tpeer\told\tnew\tchange\tp\trounds\t\n")
		for _, c := range ratios {
			fmt.Fprintf(t, "%s\t%s\t%.3f\t%.3f\t%s\n", c.workload, c.contender, c.before, c.after, c.tail())
		}
	}
	fmt.Fprintf(t, "\nfigures: costs over direct, latencies and memory; lower is better\n")
	fmt.Fprintf(t, "workload\tcontender\told\tnew\tunit\tchange\tp\trounds\t\n")
	tally := map[verdict]int{}
	for _, c := range changes {
		tally[c.verdict]++
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.workload, c.contender, side(c.failed[0], c.before), side(c.failed[1], c.after), c.unit, c.tail())
	}
	fmt.Fprintf(t, "\n%d worse, %d better, %d ~, %d ? of %d; p alone would call one in twenty changed where nothing did\n",
		tally[worse], tally[better], tally[same], tally[unknown], len(changes))
	for _, c := range changes {
		for i, when := range []string{"OLD", "NEW"} {
			if c.failed[i] != "" {
				fmt.Fprintf(t, "%s: %s failed in %s: %s\n", when, c.contender, c.workload, c.failed[i])
			}
		}
	}
	for _, run := range []struct {
		when string
		measure.Report
	}{{"OLD", before}, {"NEW", after}} {
		for _, row := range run.Summary.Rows {
			if row.Lost > 0 && row.Failed == "" {
				fmt.Fprintf(t, "%s: %s lost %d datagrams in %s\n", run.when, row.Contender, row.Lost, row.Workload)
			}
		}
	}
	return t.Flush()
}

func day(r measure.Report) string {
	if r.Machine.Time.IsZero() {
		return "no date"
	}
	return r.Machine.Time.UTC().Format("2006-01-02 15:04")
}

func side(failed string, figure float64) string {
	if failed != "" {
		return "failed"
	}
	return measure.Number(figure)
}

// tail is change, p, rounds and verdict.
func (c change) tail() string {
	percent, p, n := "", "", ""
	if !math.IsNaN(c.percent()) && c.failed == [2]string{} {
		percent = fmt.Sprintf("%+.1f %%", c.percent())
	}
	if !math.IsNaN(c.p) {
		p, n = fmt.Sprintf("%.3f", c.p), fmt.Sprintf("%d, %d", c.n[0], c.n[1])
	}
	return percent + "\t" + p + "\t" + n + "\t" + string(c.verdict)
}
