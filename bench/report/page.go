package report

import (
	"fmt"
	"html/template"
	"strings"

	"weir/bench/measure"
)

// view is what the template draws.
type view struct {
	Title       string
	Style       template.CSS
	Light, Dark template.CSS
	Subject     string
	Machine     measure.Machine
	Date        string
	Rounds      int
	Target      string // of make, to do it again
	Warnings    []string
	Contenders  []contender
	Matrix      matrix
	Sections    []section
	Data        data
}

type contender struct {
	Name, Version, Command, Config string
	Ink                            template.CSS
}

// section is a group of workloads.
type section struct {
	Name, ID, About string
	Curve           template.HTML // growth
	Growth          []growthRow
	Works           []work
	Calibration     rawTable // latency: where the rate comes from
}

type growthRow struct {
	Contender, Ratio, Span, From, To string
	Ink                              template.CSS
}

// work is a workload with its drawings and samples.
type work struct {
	Name, ID, Title, Unit string
	What                  string // the axis in words
	Null                  string
	Command               string
	Strip, Curve          template.HTML
	Raw                   rawTable
}

func viewOf(r measure.Report) (view, error) {
	v := view{
		Title: r.Subject + " and its peers", Subject: r.Subject, Machine: r.Machine, Rounds: r.Rounds,
		Style: template.CSS(styleText), Light: cssVariables(false), Dark: cssVariables(true),
		Target: "bench", Warnings: warningsOf(r), Matrix: matrixOf(r),
	}
	if !r.Machine.Time.IsZero() {
		v.Date = r.Machine.Time.UTC().Format("2006-01-02 15:04 UTC")
	}
	if r.Quick {
		v.Target = "bench-quick"
	}
	for _, c := range r.Contenders {
		if !isDirect(c.Name) {
			v.Contenders = append(v.Contenders, contender{
				Name: c.Name, Version: c.Version, Command: strings.Join(c.Command, " "), Config: c.Config, Ink: inkOf(c.Name, r.Subject).css(),
			})
		}
	}
	for i, group := range groupsOf(r.Workloads) {
		s, err := sectionOf(r, group, i)
		if err != nil {
			return v, err
		}
		v.Sections = append(v.Sections, s)
	}
	var err error
	v.Data, err = dataOf(r)
	return v, err
}

// fewRounds are too few for a verdict.
const fewRounds = 3

func warningsOf(r measure.Report) []string {
	var list []string
	if r.Quick {
		list = append(list, "A quick run: a fraction of the work in each cell. It shows that everything works and what is far apart, and is no result.")
	}
	if r.Rounds < fewRounds {
		list = append(list, fmt.Sprintf("%s: fewer than three give no verdicts.", plural(r.Rounds, "round")))
	}
	last := 0
	for _, s := range r.Samples {
		last = max(last, s.Round)
	}
	if last < r.Rounds {
		list = append(list, fmt.Sprintf("Interrupted: samples of %s of %d.", plural(last, "round"), r.Rounds))
	}
	for _, row := range r.Summary.Rows {
		if row.Contender == r.Subject && row.Failed != "" {
			list = append(list, fmt.Sprintf("%s failed in %s: %s", row.Contender, row.Workload, row.Failed))
		} else if row.Contender == r.Subject && row.Lost > 0 {
			list = append(list, fmt.Sprintf("%s lost datagrams: %s", row.Contender, lossOf(row.Workload, row.Lost)))
		}
	}
	return list
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// abouts say what a section's figures mean.
var abouts = map[string]string{
	"round trips": "A message goes to the backend and comes back, one under way on each connection.",
	"bulk":        "As many bytes as will go; every byte is compared.",
	"connections": "Connect, 64 bytes, the same 64 back, the backend's FIN, close.",
	"latency":     "An open loop at a fixed rate below saturation: each message is timed from when it should have been sent, so a stall counts for all who would have come meanwhile.",
	"memory":      "Growth of Pss over all of the contender's processes, for each connection more.",
	"growth":      "The same round trips over ever more connections. What grows is the price of looking after many.",
	"udp":         "Datagrams, each flow with a port of its own on the client's side. At a fixed rate a lost datagram counts as one that took until it was given up.",
}

func sectionOf(r measure.Report, group string, index int) (section, error) {
	s := section{Name: sentence(group), ID: fmt.Sprintf("g%d", index+1), About: abouts[group]}
	if group == "growth" {
		lines, marks := growthCurves(r)
		var err error
		s.Curve, err = drawCurves(lines, axes{
			x: "connections", y: "machine, us for a round trip", xMarks: marks, dots: true,
		}, r.Subject, "machine time for a round trip against the number of connections")
		if err != nil {
			return s, err
		}
		for _, g := range r.Summary.Growth {
			if g.Contender == measure.DirectAgain {
				continue
			}
			s.Growth = append(s.Growth, growthRow{
				Contender: g.Contender, Ratio: fmt.Sprintf("%.2f", g.Ratio.Median), Span: fmt.Sprintf("%.2f to %.2f", g.Ratio.Min, g.Ratio.Max),
				From: count(int64(g.From)), To: count(int64(g.To)), Ink: inkOf(g.Contender, r.Subject).css(),
			})
		}
	}
	if group == "latency" || group == "udp" {
		s.Calibration = calibrationOf(r, group)
	}
	for i, w := range r.Workloads {
		if w.Group != group {
			continue
		}
		one, err := workOf(r, w, i)
		if err != nil {
			return s, fmt.Errorf("workload %s: %w", w.Name, err)
		}
		s.Works = append(s.Works, one)
	}
	return s, nil
}

// commandOf is the load as it was called, but for the address.
func commandOf(w measure.Workload) string {
	words := append([]string{"load"}, w.Command...)
	if w.AmountFlag != "" {
		words = append(words, w.AmountFlag, fmt.Sprint(w.Amount))
	}
	if w.Realtime {
		words = append(words, "-realtime")
	}
	return strings.Join(append(words, "-addr", "ADDR"), " ")
}

func workOf(r measure.Report, w measure.Workload, index int) (work, error) {
	v := work{
		Name: w.Name, ID: fmt.Sprintf("w%d", index+1), Title: sentence(w.Title), Unit: w.Unit,
		Command: commandOf(w), Raw: rawOf(r, w),
	}
	switch w.Figure {
	case measure.Memory:
		v.What = w.Unit + " for a connection"
		if w.Protocol == "udp" {
			v.What = w.Unit + " for a flow"
		}
	case measure.Latency:
		v.What = strings.ReplaceAll(w.Percentile, "_", ".") + ", " + w.Unit
	default:
		v.What = w.Unit + " over direct"
	}
	null, ok := nullOf(r, w.Name)
	if ok {
		v.Null = num(null)
	}
	strips := stripsOf(r, w)
	if len(strips) == 0 {
		return v, nil
	}
	var err error
	if v.Strip, err = drawStrips(strips, r.Subject, v.What, null, w.Title+": every round of every contender"); err != nil {
		return v, err
	}
	if w.Figure == measure.Latency {
		v.Curve, err = drawCurves(latencyCurves(r, w), axes{x: "percentile", y: "latency, us", xMarks: nineMarks}, r.Subject,
			w.Title+": latency by percentile")
	}
	return v, err
}
