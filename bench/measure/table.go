package measure

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the summary for people: the machine and the versions, a
// block for each workload, and all workloads by all contenders at the end.
func WriteTable(w io.Writer, r Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	m := r.Machine
	fmt.Fprintf(t, "%s, %d CPUs, Linux %s, %s, sched_autogroup %s, %s\n", m.CPU, m.CPUs, m.Kernel, m.Congestion, m.Autogroup, m.Time.Format("2006-01-02 15:04 MST"))
	if r.Quick {
		fmt.Fprintf(t, "QUICK: small amounts of work, %d round: a look, not a result\n", r.Rounds)
	}
	for _, c := range r.Contenders {
		if !c.isDirect() {
			fmt.Fprintf(t, "%s: %s\n", c.Name, c.Version)
		}
	}
	for _, s := range r.Skipped {
		if s.Workload == "" || s.Contender == "" {
			fmt.Fprintf(t, "left out: %s: %s\n", strings.TrimSpace(s.Contender+" "+s.Workload), s.Why)
		}
	}
	for _, work := range r.Workloads {
		if slices.ContainsFunc(r.Summary.Rows, func(row Row) bool { return row.Workload == work.Name }) {
			writeWorkload(t, r, work)
		}
	}
	writeGrowth(t, r.Summary.Growth)
	writeMatrix(t, r)
	return t.Flush()
}

func writeWorkload(w io.Writer, r Report, work Workload) {
	figure := map[Figure]string{Memory: "memory", Latency: "latency"}[work.Figure]
	if figure == "" {
		figure = "cost over direct"
	}
	fmt.Fprintf(w, "\n%s: %s, %s: median (least to most)\n", work.Name, work.Title, work.Unit)
	if work.seconds > 0 {
		fmt.Fprintf(w, "%.0f messages a second, %d in all\n", work.Rate, work.Amount)
	}
	lost := ""
	if work.Protocol == "udp" {
		lost = "\tlost"
	}
	fmt.Fprintf(w, "contender\t%s\tmachine\tprocess\trounds\tthrown away%s\n", figure, lost)
	for _, row := range r.Summary.Rows {
		if row.Workload == work.Name {
			writeRow(w, work, row)
		}
	}
	for _, row := range r.Summary.Nulls {
		if row.Workload == work.Name {
			fmt.Fprintf(w, "direct less direct\t%s\t\t\t%d\t\n", row.Cost, row.Cost.N)
		}
	}
	for _, c := range r.Summary.Comparisons {
		if c.Workload != work.Name {
			continue
		}
		peer := c.Peer
		if c.Better {
			peer += " (the best)"
		}
		fmt.Fprintf(w, "%s / %s\t%s\t%s\t\t%d\t\n", c.Subject, peer, c.Ratio, c.Verdict, c.Ratio.N)
	}
}

func writeRow(w io.Writer, work Workload, row Row) {
	if row.Failed != "" {
		fmt.Fprintf(w, "%s\tfailed: %s\n", row.Contender, strings.Join(strings.Fields(row.Failed), " "))
		return
	}
	cost, total, process, n := row.Cost.String(), "", "", row.Cost.N
	direct := row.Contender == Direct || row.Contender == DirectAgain
	if row.Process != nil {
		total, process = row.Total.String(), row.Process.String()
		if direct {
			cost, process, n = "", "", row.Total.N
		}
	}
	lost := ""
	if work.Protocol == "udp" {
		lost = fmt.Sprintf("\t%d", row.Lost)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d%s\n", row.Contender, cost, total, process, n, row.Discarded, lost)
}

func writeGrowth(w io.Writer, list []Growth) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\nmachine time of a round trip over %d connections / over %d: median (least to most)\n", list[0].To, list[0].From)
	for _, g := range list {
		fmt.Fprintf(w, "%s\t%s\t\t\t%d\t\n", g.Contender, g.Ratio, g.Ratio.N)
	}
}

// writeMatrix writes medians: workloads down, contenders across.
func writeMatrix(w io.Writer, r Report) {
	var names []string
	for _, c := range r.Contenders {
		if c.Name != DirectAgain {
			names = append(names, c.Name)
		}
	}
	rows := map[[2]string]Row{}
	for _, row := range r.Summary.Rows {
		rows[[2]string{row.Workload, row.Contender}] = row
	}
	fmt.Fprintf(w, "\nmedians; direct is the whole machine's, the others' cost is over it; * is the best peer\n")
	fmt.Fprintf(w, "workload\tunit\t%s\t%s / best\n", strings.Join(names, "\t"), r.Subject)
	for _, work := range r.Workloads {
		line := []string{work.Name, work.Unit}
		i := slices.IndexFunc(r.Summary.Comparisons, func(c Comparison) bool { return c.Workload == work.Name && c.Better })
		best, against := "", "-"
		if i >= 0 {
			c := r.Summary.Comparisons[i]
			best, against = c.Peer, fmt.Sprintf("%.2f %s", c.Ratio.Median, c.Verdict)
		}
		for _, name := range names {
			row, ok := rows[[2]string{work.Name, name}]
			text := medianOf(row, ok, name == Direct)
			if name == best {
				text += "*"
			}
			line = append(line, text)
		}
		fmt.Fprintln(w, strings.Join(append(line, against), "\t"))
	}
}

// medianOf is a matrix' entry: - where nothing was to be measured, none where
// every sample was thrown away. A figure that datagrams were lost for says so.
func medianOf(row Row, there, direct bool) string {
	s := row.Cost
	if direct && row.Total != nil {
		s = *row.Total
	}
	switch {
	case !there:
		return "-"
	case row.Failed != "":
		return "failed"
	case s.N == 0:
		return "none"
	case row.Lost > 0:
		return fmt.Sprintf("%s (%d lost)", digits(s.Median), row.Lost)
	default:
		return digits(s.Median)
	}
}

// String gives three significant digits: the method yields no more.
func (s Spread) String() string {
	if s.N == 0 {
		return "none"
	}
	if s.N == 1 {
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits are three of a number; what floating point leaves of a difference of
// equals is none.
func digits(x float64) string {
	if math.Abs(x) < 1e-6 {
		return "0"
	}
	return fmt.Sprintf("%.3g", x)
}
