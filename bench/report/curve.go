package report

import (
	"encoding/json"
	"html/template"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"weir/bench/load"
	"weir/bench/measure"
)

// dot is a point of a curve, with its range over the rounds.
type dot struct{ x, y, lo, hi float64 }

// curve is a contender's line.
type curve struct {
	name string
	dots []dot
}

// axes are what curves are drawn on. Y is logarithmic in both kinds: values at
// or below zero aren't drawn.
type axes struct {
	x, y   string
	xMarks []plot.Tick
	dots   bool // mark them, with their ranges
}

// positive leaves what a logarithm can show.
func positive(list []curve) []curve {
	var kept []curve
	for _, c := range list {
		c.dots = slices.DeleteFunc(slices.Clone(c.dots), func(d dot) bool { return !(d.lo > 0) || math.IsInf(d.hi, 0) || math.IsNaN(d.x) })
		if len(c.dots) > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}

// drawCurves names each line at its right end.
func drawCurves(list []curve, a axes, subject, label string) (template.HTML, error) {
	list = positive(list)
	if len(list) == 0 {
		return "", nil
	}
	f := newFigure(figureWidth, curveHeight)
	f.X.Min, f.X.Max, f.Y.Min, f.Y.Max = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, c := range list {
		for _, d := range c.dots {
			f.X.Min, f.X.Max = min(f.X.Min, d.x), max(f.X.Max, d.x)
			f.Y.Min, f.Y.Max = min(f.Y.Min, math.Log10(d.lo)), max(f.Y.Max, math.Log10(d.hi))
		}
	}
	if f.X.Max == f.X.Min {
		f.X.Max++
	}
	f.Y.Min, f.Y.Max = f.Y.Min-0.04, f.Y.Max+0.04
	f.X.Label.Text, f.Y.Label.Text = a.x, a.y
	f.X.Tick.Marker = plot.ConstantTicks(a.xMarks)
	var at []float64
	var yMarks plot.ConstantTicks
	for _, v := range logTicks(math.Pow(10, f.Y.Min), math.Pow(10, f.Y.Max)) {
		at = append(at, math.Log10(v))
		yMarks = append(yMarks, plot.Tick{Value: math.Log10(v), Label: tickLabel(v)})
	}
	f.Y.Tick.Marker = yMarks

	bold := style(f.Plot, inkText, true)
	var names vg.Length
	for _, c := range list {
		names = max(names, bold.Width(short(c.name)))
	}
	f.frame(0, names+30)
	f.grid(false, at)
	for _, m := range a.xMarks {
		if m.Label != "" && m.Value >= f.X.Min && m.Value <= f.X.Max {
			f.grid(true, []float64{m.Value})
		}
	}
	// The subject last, above the others.
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b curve) int { return rank(a.name, subject) - rank(b.name, subject) })
	for _, c := range order {
		f.curve(c, inkOf(c.name, subject), c.name == subject, a.dots)
	}
	f.nameCurves(list, subject)
	return f.html(label)
}

func rank(name, subject string) int {
	if name == subject {
		return 1
	}
	return 0
}

func (f *figure) curve(c curve, i ink, own, dots bool) {
	st := line(i, 1.5)
	switch {
	case own:
		st.Width = 3
	case i == inkDirect:
		st.Dashes = []vg.Length{5, 3}
	case i == inkBaseline || i == inkBaseline2 || i == inkBaseline3:
		st.Dashes = []vg.Length{2, 2}
	}
	var path []vg.Point
	for _, d := range c.dots {
		at := vg.Point{X: f.x(d.x), Y: f.y(math.Log10(d.y))}
		path = append(path, at)
		if dots {
			f.whole.StrokeLine2(line(i, 1), at.X, f.y(math.Log10(d.lo)), at.X, f.y(math.Log10(d.hi)))
			radius := vg.Length(2.25)
			if own {
				radius = 3.25
			}
			f.whole.DrawGlyphNoClip(draw.GlyphStyle{Color: i.rgb(), Radius: radius, Shape: draw.CircleGlyph{}}, at)
		}
	}
	f.whole.StrokeLines(st, path)
}

// nameCurves writes the names beside the ends, apart from each other, each with
// a thin line to its end.
func (f *figure) nameCurves(list []curve, subject string) {
	const apart = 14.5
	type name struct {
		curve
		end vg.Point
		y   vg.Length
	}
	var names []name
	for _, c := range list {
		d := c.dots[len(c.dots)-1]
		end := vg.Point{X: f.x(d.x), Y: f.y(math.Log10(d.y))}
		names = append(names, name{c, end, end.Y})
	}
	slices.SortStableFunc(names, func(a, b name) int {
		switch {
		case a.y < b.y:
			return -1
		case a.y > b.y:
			return 1
		}
		return 0
	})
	for i := 1; i < len(names); i++ { // upwards, from the lowest
		names[i].y = max(names[i].y, names[i-1].y+apart)
	}
	if n := len(names); n > 0 { // and down again from the top
		names[n-1].y = min(names[n-1].y, f.h-8)
		for i := n - 2; i >= 0; i-- {
			names[i].y = min(names[i].y, names[i+1].y-apart)
		}
	}
	x := f.data.Max.X + 22
	for _, n := range names {
		i, own := inkOf(n.name, subject), n.name == subject
		f.whole.StrokeLines(line(i, 0.75), []vg.Point{{X: n.end.X + 4, Y: n.end.Y}, {X: x - 10, Y: n.y}, {X: x - 3, Y: n.y}})
		colour := inkText
		if own {
			colour = inkSubject
		}
		f.write(short(n.name), colour, own, draw.XLeft, x, n.y)
	}
}

// nines is where a percentile lies on an axis on which 90, 99 and 99.9 % are
// equally far apart.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

var nineMarks = []plot.Tick{
	{Value: 0, Label: "0"}, {Value: nines(50), Label: "50"}, {Value: nines(90), Label: "90"}, {Value: nines(99), Label: "99"},
	{Value: nines(99.9), Label: "99.9"}, {Value: nines(99.99), Label: "99.99"}, {Value: nines(99.999), Label: "99.999"},
}

// latencyCurves merge the rounds of each contender: at each percentile that any
// round knows, the median of the rounds. Rounds of direct and of direct again
// are one line.
func latencyCurves(r measure.Report, w measure.Workload) []curve {
	rounds := map[string][][]load.Point{}
	failed := map[string]bool{}
	for _, s := range r.Samples {
		if s.Workload != w.Name {
			continue
		}
		name := s.Contender
		if name == measure.DirectAgain {
			name = measure.Direct
		}
		failed[name] = failed[name] || s.Failed != ""
		if result, ok := resultOf(s); ok && s.Discarded == "" && len(result.Curve) > 0 {
			rounds[name] = append(rounds[name], result.Curve)
		}
	}
	var list []curve
	for _, c := range r.Contenders {
		if dots := merge(rounds[c.Name]); len(dots) > 0 && !failed[c.Name] {
			list = append(list, curve{c.Name, dots})
		}
	}
	return list
}

func resultOf(s measure.Sample) (load.Result, bool) {
	var result load.Result
	return result, len(s.Load) > 0 && json.Unmarshal(s.Load, &result) == nil
}

func merge(rounds [][]load.Point) []dot {
	var percents []float64
	for _, points := range rounds {
		for _, p := range points {
			if p.Percent >= 0 && p.Percent < 100 && p.Percent <= 99.9995 {
				percents = append(percents, p.Percent)
			}
		}
	}
	slices.Sort(percents)
	var dots []dot
	for _, percent := range slices.Compact(percents) {
		var values []float64
		for _, points := range rounds {
			if i := slices.IndexFunc(points, func(p load.Point) bool { return p.Percent >= percent }); i >= 0 {
				values = append(values, points[i].US)
			}
		}
		if s := measure.SpreadOf(values); s.N > 0 {
			dots = append(dots, dot{nines(percent), s.Median, s.Min, s.Max})
		}
	}
	return thin(dots)
}

// thin leaves out points that lie closer than a pixel to the one before.
func thin(dots []dot) []dot {
	var kept []dot
	for i, d := range dots {
		if len(kept) == 0 || i == len(dots)-1 || d.x-kept[len(kept)-1].x > 0.01 {
			kept = append(kept, d)
		}
	}
	return kept
}

// growthCurves are the machine's whole time for a round trip of the size that
// the section growth has, over the number of connections.
func growthCurves(r measure.Report) (list []curve, marks []plot.Tick) {
	size := ""
	for _, w := range r.Workloads {
		if w.Group == "growth" && size == "" {
			size = valueOf(w.Command, "-size")
		}
	}
	conns := map[string]int{} // by workload
	for _, w := range r.Workloads {
		if w.Figure == measure.Cost && w.Conns >= 10 && len(w.Command) > 0 && w.Command[0] == "rtt" && valueOf(w.Command, "-size") == size {
			conns[w.Name] = w.Conns
		}
	}
	if len(conns) < 2 {
		return nil, nil
	}
	for _, c := range r.Contenders {
		var dots []dot
		for _, row := range r.Summary.Rows {
			if n, ok := conns[row.Workload]; ok && row.Contender == c.Name && c.Name != measure.DirectAgain && row.Failed == "" && row.Total != nil && row.Total.N > 0 {
				dots = append(dots, dot{math.Log10(float64(n)), row.Total.Median, row.Total.Min, row.Total.Max})
			}
		}
		slices.SortFunc(dots, func(a, b dot) int { return int(math.Copysign(1, a.x-b.x)) })
		if len(dots) > 0 {
			list = append(list, curve{c.Name, dots})
		}
	}
	for _, n := range slices.Compact(slices.Sorted(maps.Values(conns))) {
		marks = append(marks, plot.Tick{Value: math.Log10(float64(n)), Label: count(int64(n))})
	}
	return list, marks
}

// valueOf is the value of a flag of a command, or nothing.
func valueOf(command []string, flag string) string {
	if i := slices.Index(command, flag); i >= 0 && i+1 < len(command) {
		return command[i+1]
	}
	return ""
}
