package report

import (
	"fmt"
	"strings"

	"weir/bench/measure"
)

// rawTable is every sample of a workload.
type rawTable struct {
	Head []string
	Rows []rawRow
}

type rawRow struct {
	Cells []string // numbers
	Who   string
	Note  string // failed or thrown away
	Out   bool   // doesn't count
}

func rawOf(r measure.Report, w measure.Workload) rawTable {
	t := rawTable{Head: []string{"contender", "round"}}
	switch w.Figure {
	case measure.Memory:
		t.Head = append(t.Head, "figure, "+w.Unit, "few, KiB", "many, KiB")
	case measure.Latency:
		t.Head = append(t.Head, "figure, "+w.Unit, "p50, us", "p99, us", "max, us", "own lag p99, us")
	default:
		t.Head = append(t.Head, "over direct, "+w.Unit, "machine, "+w.Unit, "process, "+w.Unit)
	}
	if w.Figure != measure.Memory {
		t.Head = append(t.Head, "busy, s", "wall, s", "process, s", "steal, %", "foreign, s")
	}
	if hasLoss(w) {
		t.Head = append(t.Head, "lost")
	}
	values := measure.Values(w, r.Samples)
	for _, c := range r.Contenders {
		for _, s := range r.Samples {
			if s.Workload == w.Name && s.Contender == c.Name {
				t.Rows = append(t.Rows, rawRowOf(w, s, values[c.Name]))
			}
		}
	}
	return t
}

// hasLoss reports whether datagrams can be lost and the rest be measured.
func hasLoss(w measure.Workload) bool { return w.Protocol == "udp" && w.Figure != measure.Memory }

func rawRowOf(w measure.Workload, s measure.Sample, values map[int]float64) rawRow {
	row := rawRow{Who: s.Contender, Out: s.Failed != "" || s.Discarded != ""}
	row.Note = noteOf(s)
	add := func(x float64) { row.Cells = append(row.Cells, num(x)) }
	row.Cells = append(row.Cells, fmt.Sprint(s.Round))
	if v, ok := values[s.Round]; ok && !row.Out {
		add(v)
	} else {
		row.Cells = append(row.Cells, "")
	}
	switch w.Figure {
	case measure.Memory:
		add(s.PssFew)
		add(s.PssMany)
		return row
	case measure.Latency:
		row.Cells = append(row.Cells, latencyCells(s)...)
	default:
		unit := w.Scale / float64(s.Amount)
		add(s.Busy * unit)
		add(s.Process * unit)
	}
	add(s.Busy)
	add(s.Wall)
	add(s.Process)
	row.Cells = append(row.Cells, fmt.Sprintf("%.2f", 100*s.Steal), fmt.Sprintf("%.3f", s.Foreign))
	if hasLoss(w) {
		row.Cells = append(row.Cells, count(s.Lost()))
	}
	return row
}

// noteOf says why a sample doesn't count.
func noteOf(s measure.Sample) string {
	var notes []string
	if s.Failed != "" {
		notes = append(notes, "failed: "+s.Failed)
	}
	if s.Discarded != "" {
		notes = append(notes, "thrown away: "+s.Discarded)
	}
	return strings.Join(notes, "; ")
}

func latencyCells(s measure.Sample) []string {
	cells := []string{"", "", "", ""}
	result, ok := resultOf(s)
	if ok && result.LatencyUS != nil {
		cells[0], cells[1], cells[2] = num(result.LatencyUS.P50), num(result.LatencyUS.P99), num(result.LatencyUS.Max)
	}
	if ok && result.SendLagUS != nil {
		cells[3] = num(result.SendLagUS.P99)
	}
	return cells
}

// calibrationOf is what gave the open loop of a section its rate. Datagrams have
// their own.
func calibrationOf(r measure.Report, group string) rawTable {
	t := rawTable{Head: []string{"contender", "round trips", "wall, s", "a second"}}
	for _, s := range r.Calibration {
		if strings.HasPrefix(s.Workload, "udp-") != (group == "udp") {
			continue
		}
		row := rawRow{Who: s.Contender, Out: s.Failed != "" || s.Discarded != "", Note: noteOf(s)}
		seconds := s.Wall
		if result, ok := resultOf(s); ok && result.Seconds > 0 {
			seconds = result.Seconds
		}
		row.Cells = []string{count(s.Amount), num(seconds), num(float64(s.Amount) / seconds)}
		t.Rows = append(t.Rows, row)
	}
	return t
}
