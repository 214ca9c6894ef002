package report

import (
	"fmt"
	"html/template"
	"slices"

	"weir/bench/measure"
)

// matrix is workloads by contenders.
type matrix struct {
	Subject string
	Columns []column
	Groups  []matrixGroup
	Notes   []*note // by number, from 1
	Tally   []tally
	Span    int // columns in all
}

// note is why cells have no figure, or one that isn't all there is to say.
type note struct {
	Why string
	Who []string // contenders
}

type column struct {
	Name string
	Ink  template.CSS
}

type matrixGroup struct {
	Name string
	Rows []matrixRow
}

type matrixRow struct {
	Name, Title, Unit string
	Direct, Null      string
	Ratio             ratioCell
	Cells             []matrixCell
}

// ratioCell is the subject's figure against the best peer's.
type ratioCell struct {
	Text, Span, Peer, Class, Title string
	Verdict                        measure.Verdict
}

type matrixCell struct {
	Text, Title, Class string
	Note               int // 0: none
}

// tally is in how many workloads a verdict was given.
type tally struct {
	Verdict measure.Verdict
	N       int
	Class   string
}

// sentence is a section's name as a heading.
func sentence(name string) string {
	if name == "udp" {
		return "UDP"
	}
	if len(name) > 1 && name[0] >= 'a' && name[0] <= 'z' && (name[1] < '0' || name[1] > '9') { // p99.9 stays
		return string(name[0]-'a'+'A') + name[1:]
	}
	return name
}

func classOf(v measure.Verdict) string {
	switch v {
	case measure.Cheaper:
		return "cheaper"
	case measure.Dearer:
		return "dearer"
	case measure.Same:
		return "same"
	default:
		return "unknown"
	}
}

func isDirect(name string) bool { return name == measure.Direct || name == measure.DirectAgain }

// matrixOf has the contenders of the run and those that were skipped whole.
func matrixOf(r measure.Report) matrix {
	m := matrix{Subject: r.Subject}
	var names []string
	for _, c := range r.Contenders {
		names = append(names, c.Name)
	}
	for _, s := range r.Skipped {
		names = append(names, s.Contender)
	}
	seen := map[string]bool{}
	for _, name := range names {
		if !seen[name] && !isDirect(name) && name != "" {
			m.Columns = append(m.Columns, column{Name: name, Ink: inkOf(name, r.Subject).css()})
		}
		seen[name] = true
	}
	m.Span = len(m.Columns) + 5
	tallies := map[measure.Verdict]int{}
	for _, group := range groupsOf(r.Workloads) {
		g := matrixGroup{Name: sentence(group)}
		for _, w := range r.Workloads {
			if w.Group != group {
				continue
			}
			row := m.row(r, w)
			if row.Ratio.Verdict != "" {
				tallies[row.Ratio.Verdict]++
			}
			g.Rows = append(g.Rows, row)
		}
		m.Groups = append(m.Groups, g)
	}
	for _, v := range []measure.Verdict{measure.Cheaper, measure.Same, measure.Dearer, measure.Unknown} {
		if tallies[v] > 0 {
			m.Tally = append(m.Tally, tally{v, tallies[v], classOf(v)})
		}
	}
	return m
}

// groupsOf are the sections in their order, and then what is in none of them.
func groupsOf(workloads []measure.Workload) []string {
	list := slices.DeleteFunc(measure.Groups(), func(g string) bool {
		return !slices.ContainsFunc(workloads, func(w measure.Workload) bool { return w.Group == g })
	})
	for _, w := range workloads {
		if !slices.Contains(list, w.Group) {
			list = append(list, w.Group)
		}
	}
	return list
}

func (m *matrix) row(r measure.Report, w measure.Workload) matrixRow {
	row := matrixRow{Name: w.Name, Title: sentence(w.Title), Unit: w.Unit}
	rows := map[string]measure.Row{}
	for _, x := range r.Summary.Rows {
		if x.Workload == w.Name {
			rows[x.Contender] = x
		}
	}
	if d, ok := rows[measure.Direct]; ok && d.Total != nil && d.Total.N > 0 {
		row.Direct = num(d.Total.Median)
	}
	if null, ok := nullOf(r, w.Name); ok {
		row.Null = num(null)
	}
	best, found := bestOf(r, w.Name)
	if found {
		row.Ratio = ratioOf(best, rows)
	}
	for _, c := range m.Columns {
		cell := m.cell(r, w, c.Name, rows)
		if found && c.Name == best.Peer && cell.Class == "" {
			cell.Class += " best"
			cell.Title += "; the best peer here"
		}
		if c.Name == r.Subject {
			cell.Class += " subject"
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

// nullOf is the widest that direct differed from itself.
func nullOf(r measure.Report, workload string) (float64, bool) {
	for _, n := range r.Summary.Nulls {
		if n.Workload == workload && n.Cost.N > 0 {
			return max(n.Cost.Max, -n.Cost.Min), true
		}
	}
	return 0, false
}

func bestOf(r measure.Report, workload string) (measure.Comparison, bool) {
	for _, c := range r.Summary.Comparisons {
		if c.Workload == workload && c.Better && c.Subject == r.Subject {
			return c, true
		}
	}
	return measure.Comparison{}, false
}

// ratioOf gives no ratio where one of the two isn't above zero: it says nothing.
func ratioOf(c measure.Comparison, rows map[string]measure.Row) ratioCell {
	cell := ratioCell{Peer: c.Peer, Verdict: c.Verdict, Class: classOf(c.Verdict)}
	cell.Title = fmt.Sprintf("%s less %s: %s (%s) in %s; the null is %s", c.Subject, c.Peer, num(c.Diff.Median), span(c.Diff), plural(c.Diff.N, "round"), num(c.Null))
	if c.Ratio.N > 0 && rows[c.Subject].Cost.Min > 0 && rows[c.Peer].Cost.Min > 0 {
		cell.Text, cell.Span = fmt.Sprintf("%.2f", c.Ratio.Median), fmt.Sprintf("%.2f to %.2f", c.Ratio.Min, c.Ratio.Max)
	} else if c.Diff.N > 0 {
		cell.Text, cell.Span = num(c.Diff.Median), "less; no ratio, a cost is not above 0"
	}
	return cell
}

func (m *matrix) cell(r measure.Report, w measure.Workload, name string, rows map[string]measure.Row) matrixCell {
	row, ok := rows[name]
	switch {
	case ok && row.Failed != "":
		return m.without("failed", name, fmt.Sprintf("%s failed: %s", w.Name, row.Failed))
	case ok && row.Cost.N > 0:
		title := fmt.Sprintf("%s: %s %s (%s), %s", name, num(row.Cost.Median), w.Unit, span(row.Cost), plural(row.Cost.N, "round"))
		if row.Discarded > 0 {
			title += fmt.Sprintf(", %d thrown away", row.Discarded)
		}
		cell := matrixCell{Text: num(row.Cost.Median), Title: title}
		if row.Lost > 0 {
			why := lossOf(w.Name, row.Lost)
			cell.Note, cell.Title = m.note(name, why), title+"; "+why
		}
		return cell
	}
	for _, s := range r.Skipped {
		// Without a contender it is a workload that nobody did.
		if (s.Contender == name || s.Contender == "") && (s.Workload == w.Name || s.Workload == "") {
			return m.without("skipped", name, "skipped: "+s.Why)
		}
	}
	if ok && row.Discarded > 0 {
		return m.without("none", name, w.Name+": every sample was thrown away, or direct's of the same rounds")
	}
	return m.without("none", name, w.Name+": not measured")
}

// lossOf says what a figure doesn't.
func lossOf(workload string, lost int64) string {
	return fmt.Sprintf("%s: lost %s", workload, plural(int(lost), "datagram"))
}

// without is a cell that has no figure, with a footnote that says why.
func (m *matrix) without(text, who, why string) matrixCell {
	return matrixCell{Text: text, Title: who + ": " + why, Class: text, Note: m.note(who, why)}
}

// note is the number of the footnote that says why, of somebody else too.
func (m *matrix) note(who, why string) int {
	i := slices.IndexFunc(m.Notes, func(n *note) bool { return n.Why == why })
	if i < 0 {
		i = len(m.Notes)
		m.Notes = append(m.Notes, &note{Why: why})
	}
	if n := m.Notes[i]; !slices.Contains(n.Who, who) {
		n.Who = append(n.Who, who)
	}
	return i + 1
}
