package stats

import (
	"io"
	"strconv"
	"strings"

	"weir/l4"
)

// kind is a family's type in the Prometheus text format.
type kind string

const (
	gauge     kind = "gauge"
	counter   kind = "counter"
	histogram kind = "histogram"
)

// family is one metric: all its series have the same name, type and labels.
type family struct {
	name   string
	kind   kind
	labels []string
	help   string
	write  func(x *exposition, r *Report)
}

// exposition writes the Prometheus text format 0.0.4, piece by piece: with many endpoints the whole is tens of megabytes. Label
// values are given in the order of the family's labels.
type exposition struct {
	w      io.Writer
	err    error  // w's first
	text   []byte // not yet written
	of     *family
	series int // of the family
}

// pieceSize is how much text is written at once.
const pieceSize = 64 << 10

// family writes a family; nothing if it has no series.
func (x *exposition) family(f *family, r *Report) {
	x.of, x.series = f, 0
	start := len(x.text)
	x.text = append(x.text, "# HELP "...)
	x.text = append(x.text, f.name...)
	x.text = append(x.text, ' ')
	x.text = append(x.text, escapeHelp.Replace(f.help)...)
	x.text = append(x.text, "\n# TYPE "...)
	x.text = append(x.text, f.name...)
	x.text = append(x.text, ' ')
	x.text = append(x.text, f.kind...)
	x.text = append(x.text, '\n')
	if f.write(x, r); x.series == 0 {
		x.text = x.text[:start]
	}
}

// flush writes what there is.
func (x *exposition) flush() {
	if x.err == nil {
		_, x.err = x.w.Write(x.text)
	}
	x.text = x.text[:0]
}

func (x *exposition) uint(v uint64, labels ...string) {
	x.begin("", "", labels)
	x.text = strconv.AppendUint(x.text, v, 10)
	x.end()
}

func (x *exposition) int(v int64, labels ...string) {
	x.begin("", "", labels)
	x.text = strconv.AppendInt(x.text, v, 10)
	x.end()
}

func (x *exposition) bool(v bool, labels ...string) {
	if v {
		x.uint(1, labels...)
		return
	}
	x.uint(0, labels...)
}

func (x *exposition) float(v float64, labels ...string) {
	x.begin("", "", labels)
	x.number(v)
}

func (x *exposition) number(v float64) {
	x.text = strconv.AppendFloat(x.text, v, 'g', -1, 64)
	x.end()
}

func (x *exposition) histogram(h *Histogram, labels ...string) {
	x.distribution(h.reading.Buckets[:], bucketBounds[:], h.reading.Sum.Seconds(), labels)
}

func (x *exposition) sizes(s *Sizes, labels ...string) {
	x.distribution(s.Buckets[:], sizeBounds[:], float64(s.sum), labels)
}

// distribution writes the series of a histogram; bounds are the values of the label le, one for each bucket.
func (x *exposition) distribution(buckets []uint64, bounds []string, sum float64, labels []string) {
	var seen uint64
	for i, n := range buckets {
		seen += n
		x.begin("_bucket", bounds[i], labels)
		x.text = strconv.AppendUint(x.text, seen, 10)
		x.end()
	}
	x.begin("_sum", "", labels)
	x.number(sum)
	x.begin("_count", "", labels)
	x.text = strconv.AppendUint(x.text, seen, 10)
	x.end()
}

// bucketBounds are those of histograms of durations, in seconds.
var bucketBounds = func() (bounds [l4.HistogramBuckets]string) {
	for i := range bounds {
		bounds[i] = infinity
		if bound, ok := l4.BucketBound(i); ok {
			bounds[i] = strconv.FormatFloat(bound.Seconds(), 'g', -1, 64)
		}
	}
	return bounds
}()

// sizeBounds are those of histograms of batches, in datagrams.
var sizeBounds = func() (bounds [l4.SizeBuckets]string) {
	for i := range bounds {
		bounds[i] = infinity
		if bound, ok := l4.SizeBound(i); ok {
			bounds[i] = strconv.Itoa(bound)
		}
	}
	return bounds
}()

// infinity is the bound of a last bucket.
const infinity = "+Inf"

// end ends a series' line.
func (x *exposition) end() {
	x.text = append(x.text, '\n')
	if len(x.text) >= pieceSize {
		x.flush()
	}
}

// begin writes a series' name and labels, le among them unless it is "".
func (x *exposition) begin(suffix, le string, labels []string) {
	x.series++
	x.text = append(x.text, x.of.name...)
	x.text = append(x.text, suffix...)
	open := byte('{')
	for i, name := range x.of.labels {
		x.text = appendLabel(x.text, open, name, labels[i])
		open = ','
	}
	if le != "" {
		x.text = appendLabel(x.text, open, "le", le)
		open = ','
	}
	if open == ',' {
		x.text = append(x.text, '}')
	}
	x.text = append(x.text, ' ')
}

func appendLabel(text []byte, open byte, name, value string) []byte {
	text = append(text, open)
	text = append(text, name...)
	text = append(text, '=', '"')
	text = appendEscaped(text, value)
	return append(text, '"')
}

// appendEscaped appends a label value: valid UTF-8, with backslash, quote and line feed escaped.
func appendEscaped(text []byte, value string) []byte {
	if plain(value) {
		return append(text, value...)
	}
	value = strings.ToValidUTF8(value, "\uFFFD")
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '\\', '"':
			text = append(text, '\\', c)
		case '\n':
			text = append(text, '\\', 'n')
		default:
			text = append(text, c)
		}
	}
	return text
}

// plain reports whether a value is ASCII with nothing to escape, as nearly all are.
func plain(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c >= 0x80 || c == '\\' || c == '"' || c == '\n' {
			return false
		}
	}
	return true
}

var escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
