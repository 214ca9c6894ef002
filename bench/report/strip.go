package report

import (
	"html/template"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"weir/bench/measure"
)

// The size of all figures, in CSS pixels.
const (
	figureWidth = 500
	rowHeight   = 20
	curveHeight = 310
)

// strip is a line of points.
type strip struct {
	name   string
	values []float64 // one a round
	failed bool
}

// median is of no values, too: NaN.
func (s strip) median() float64 {
	if len(s.values) == 0 {
		return math.NaN()
	}
	return measure.SpreadOf(s.values).Median
}

func (s strip) figure() string {
	if s.failed {
		return "failed"
	}
	return num(s.median())
}

// stripsOf are the contenders that did anything in a workload, in their order.
func stripsOf(r measure.Report, w measure.Workload) []strip {
	values := measure.Values(w, r.Samples)
	failed := map[string]bool{}
	for _, row := range r.Summary.Rows {
		failed[row.Contender] = failed[row.Contender] || row.Workload == w.Name && row.Failed != ""
	}
	var list []strip
	for _, c := range r.Contenders {
		s := strip{name: c.Name, failed: failed[c.Name]}
		for _, round := range slices.Sorted(maps.Keys(values[c.Name])) {
			s.values = append(s.values, values[c.Name][round])
		}
		if s.failed || len(s.values) > 0 {
			list = append(list, s)
		}
	}
	return list
}

// drawStrips draws every round of every contender. Around the subject's median
// lies a band as wide as the null on either side.
func drawStrips(list []strip, subject, axis string, null float64, label string) (template.HTML, error) {
	lo, hi := reach(list)
	n := len(list)
	f := newFigure(figureWidth, vg.Length(n*rowHeight+44))
	f.HideY()
	f.X.Min, f.X.Max = lo, hi
	f.Y.Min, f.Y.Max = -0.5, float64(n)-0.5
	f.X.Label.Text = axis
	at := ticks(f.X.Min, f.X.Max, 5)
	f.X.Tick.Marker = marks(at)

	// Names, then medians, then the points.
	bold := style(f.Plot, inkText, true)
	var names, medians vg.Length
	for _, s := range list {
		names = max(names, bold.Width(short(s.name)))
		medians = max(medians, bold.Width(s.figure()))
	}
	f.frame(names+medians+22, 8)
	for i := range list {
		if i%2 == 0 {
			y := f.y(float64(n - 1 - i))
			f.box(inkStripe, 0, y-rowHeight/2.0, f.data.Max.X, y+rowHeight/2.0)
		}
	}
	for _, s := range list {
		if m := s.median(); s.name == subject && null > 0 && !math.IsNaN(m) {
			from, to := max(m-null, f.X.Min), min(m+null, f.X.Max)
			f.box(inkBand, f.x(from), f.data.Min.Y, f.x(to), f.data.Max.Y)
		}
	}
	f.grid(true, at)
	if lo < 0 && hi > 0 {
		f.whole.StrokeLine2(line(inkAxis, 1), f.x(0), f.data.Min.Y, f.x(0), f.data.Max.Y)
	}
	for i, s := range list {
		y := f.y(float64(n - 1 - i))
		own := s.name == subject
		colour := inkText
		if own {
			colour = inkSubject
		}
		f.write(short(s.name), colour, own, draw.XLeft, 4, y)
		if s.failed {
			colour = inkMuted
		}
		f.write(s.figure(), colour, own, draw.XRight, names+medians+14, y)
		if len(s.values) == 0 {
			continue
		}
		f.strip(s, inkOf(s.name, subject), own, y)
	}
	return f.html(label)
}

// reach is what the axis shows: from zero where that costs less than a third
// of it, and else as much as lets the rounds be told apart.
func reach(list []strip) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range list {
		for _, v := range s.values {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		return 0, 1
	}
	if lo >= 0 && lo < hi/3 {
		lo = 0
	}
	margin := (hi - lo) * 0.04
	if margin == 0 {
		margin = max(math.Abs(hi)/10, 1e-6)
	}
	if lo == 0 {
		return -margin / 4, hi + margin
	}
	return lo - margin, hi + margin
}

func (f *figure) strip(s strip, i ink, own bool, y vg.Length) {
	all := measure.SpreadOf(s.values)
	radius, width := vg.Length(2.5), vg.Length(1.25)
	if own {
		radius, width = 3, 2
	}
	f.whole.StrokeLine2(line(i, width), f.x(all.Min), y, f.x(all.Max), y)
	f.whole.StrokeLine2(line(i, 2.5), f.x(all.Median), y-7.5, f.x(all.Median), y+7.5)
	// Rounds lie one below the other, the first on top, so that equal ones are seen.
	step := min(2.4, 10/vg.Length(len(s.values)))
	for k, v := range s.values {
		at := vg.Point{X: f.x(v), Y: y + step*(vg.Length(len(s.values)-1)/2-vg.Length(k))}
		f.whole.DrawGlyphNoClip(draw.GlyphStyle{Color: i.rgb(), Radius: radius, Shape: draw.CircleGlyph{}}, at)
	}
}

func marks(at []float64) plot.ConstantTicks {
	var list plot.ConstantTicks
	for _, v := range at {
		list = append(list, plot.Tick{Value: v, Label: tickLabel(v)})
	}
	return list
}

// short is a name that fits beside a plot.
func short(name string) string {
	if r := []rune(name); len(r) > 20 {
		return string(r[:19]) + "…"
	}
	return name
}
