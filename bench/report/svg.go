package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// canvas is an SVG that notes how long each text was thought to be.
type canvas struct {
	*vgsvg.Canvas
	lengths []vg.Length
}

func (c *canvas) FillString(face font.Face, at vg.Point, s string) {
	c.lengths = append(c.lengths, face.Width(s))
	c.Canvas.FillString(face, at, s)
}

// figure is a drawing with room for labels beside its axes.
type figure struct {
	*plot.Plot
	canvas *canvas
	whole  draw.Canvas
	w, h   vg.Length

	data draw.Canvas // once frame was called
	x, y func(float64) vg.Length
}

const textSize = 12

// style is the lettering of all figures.
func style(p *plot.Plot, i ink, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: textSize}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: i.rgb(), Font: f, Handler: p.TextHandler}
}

func newFigure(w, h vg.Length) *figure {
	f := &figure{Plot: plot.New(), canvas: &canvas{Canvas: vgsvg.New(w, h)}, w: w, h: h}
	f.whole = draw.New(f.canvas)
	f.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&f.X, &f.Y} {
		axis.LineStyle = line(inkAxis, 0.75)
		axis.Tick.LineStyle = line(inkAxis, 0.75)
		axis.Tick.Length = 4
		axis.Padding = 0
		axis.Label.Padding = 3
		label, tick := style(f.Plot, inkMuted, false), style(f.Plot, inkMuted, false)
		// Where plot.New puts them.
		label.XAlign, label.YAlign = axis.Label.TextStyle.XAlign, axis.Label.TextStyle.YAlign
		label.Rotation = axis.Label.TextStyle.Rotation
		tick.XAlign, tick.YAlign = axis.Tick.Label.XAlign, axis.Tick.Label.YAlign
		axis.Label.TextStyle, axis.Tick.Label = label, tick
	}
	return f
}

func line(i ink, width vg.Length, dashes ...vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: i.rgb(), Width: width, Dashes: dashes}
}

// frame draws the axes and leaves room at the sides; data, x and y are good
// from then on.
func (f *figure) frame(left, right vg.Length) {
	area := draw.Crop(f.whole, left, -right, 0, -4)
	f.Draw(area)
	f.data = f.DataCanvas(area)
	f.x, f.y = f.Transforms(&f.data)
}

// grid draws a line for each labelled tick of an axis.
func (f *figure) grid(vertical bool, at []float64) {
	for _, v := range at {
		if vertical {
			f.whole.StrokeLine2(line(inkGrid, 0.75), f.x(v), f.data.Min.Y, f.x(v), f.data.Max.Y)
		} else {
			f.whole.StrokeLine2(line(inkGrid, 0.75), f.data.Min.X, f.y(v), f.data.Max.X, f.y(v))
		}
	}
}

func (f *figure) box(i ink, x0, y0, x1, y1 vg.Length) {
	f.whole.FillPolygon(i.rgb(), []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

func (f *figure) write(s string, i ink, bold bool, align text.XAlignment, x, y vg.Length) {
	st := style(f.Plot, i, bold)
	st.XAlign, st.YAlign = align, draw.YCenter
	f.whole.FillText(st, vg.Point{X: x, Y: y}, s)
}

var (
	svgHead   = regexp.MustCompile(`(?s)^.*?<svg[^>]*>`)
	svgStyle  = regexp.MustCompile(`style="[^"]*"`)
	svgColour = regexp.MustCompile(`#[0-9A-Fa-f]{6}`)
	svgFont   = regexp.MustCompile(`font-family:[^;]*;font-variant:[^;]*;|font-weight:normal;|font-style:normal;`)
)

// html is the drawing, to stand in a page that declares the inks' variables.
func (f *figure) html(label string) (template.HTML, error) {
	var b bytes.Buffer
	if _, err := f.canvas.WriteTo(&b); err != nil {
		return "", err
	}
	variables := map[string]string{}
	for _, i := range inks() {
		variables[fmt.Sprintf("#%06x", i.light)] = string(i.css())
	}
	// Text can't hold a quote, so what looks like a style is one.
	s := svgStyle.ReplaceAllStringFunc(b.String(), func(s string) string {
		s = svgColour.ReplaceAllStringFunc(s, func(c string) string {
			if v, ok := variables[strings.ToLower(c)]; ok {
				return v
			}
			return c
		})
		return svgFont.ReplaceAllString(s, "")
	})
	parts := strings.Split(s, "<text ")
	for i, length := range f.canvas.lengths {
		if i+1 < len(parts) && length > 0 {
			parts[i+1] = fmt.Sprintf(`textLength="%.4g" lengthAdjust="spacingAndGlyphs" `, length.Points()) + parts[i+1]
		}
	}
	s = strings.Join(parts, "<text ")
	head := fmt.Sprintf(`<svg viewBox="0 0 %g %g" width="%g" height="%g" role="img" aria-label="%s">`,
		f.w.Points(), f.h.Points(), f.w.Points(), f.h.Points(), html.EscapeString(label))
	return template.HTML(head + svgHead.ReplaceAllString(s, "")), nil
}
