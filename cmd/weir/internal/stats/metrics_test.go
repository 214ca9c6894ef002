package stats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"weir/l4"
	"weir/lb"
)

// parse reads metrics as Prometheus does.
func parse(t testing.TB, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("not the Prometheus text format: %v\n%s", err, text)
	}
	return parsed
}

// own returns the families that weir makes, without those of the Go runtime.
func own(t testing.TB, r *Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeFamilies(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMetricsGolden(t *testing.T) {
	s := newScene(t)
	s.busy(t)
	golden(t, "testdata/busy.prom", own(t, s.report()))
}

// TestTableIsWhatIsEmitted holds every family against its row of the table: type, help, exactly its labels, and no series twice.
func TestTableIsWhatIsEmitted(t *testing.T) {
	s := newScene(t)
	s.busy(t)
	parsed := parse(t, own(t, s.report()))
	for _, s := range sections() {
		for _, f := range s.families {
			got := parsed[f.name]
			if got == nil {
				t.Errorf("%s is in the table and not emitted", f.name)
				continue
			}
			delete(parsed, f.name)
			if want := map[kind]dto.MetricType{gauge: dto.MetricType_GAUGE, counter: dto.MetricType_COUNTER, histogram: dto.MetricType_HISTOGRAM}[f.kind]; got.GetType() != want {
				t.Errorf("%s: type %v, want %v", f.name, got.GetType(), want)
			}
			if got.GetHelp() != f.help || f.help == "" {
				t.Errorf("%s: help %q, want %q", f.name, got.GetHelp(), f.help)
			}
			checkSeries(t, &f, got.GetMetric())
		}
	}
	for name := range parsed {
		t.Errorf("%s is emitted and not in the table", name)
	}
}

func checkSeries(t *testing.T, f *family, series []*dto.Metric) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range series {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName())
		}
		if !slices.Equal(labels, f.labels) {
			t.Errorf("%s: labels %q, want %q", f.name, labels, f.labels)
		}
		key := fmt.Sprint(m.GetLabel())
		if seen[key] {
			t.Errorf("%s: twice with %s", f.name, key)
		}
		seen[key] = true
		if f.kind == histogram {
			checkHistogram(t, f.name, m.GetHistogram())
		}
	}
}

func checkHistogram(t *testing.T, name string, h *dto.Histogram) {
	t.Helper()
	var last float64
	var seen uint64
	for _, b := range h.GetBucket() {
		if b.GetUpperBound() <= last || b.GetCumulativeCount() < seen {
			t.Errorf("%s: bucket %v with %d after %v with %d", name, b.GetUpperBound(), b.GetCumulativeCount(), last, seen)
		}
		last, seen = b.GetUpperBound(), b.GetCumulativeCount()
	}
	if !math.IsInf(last, 1) || seen != h.GetSampleCount() {
		t.Errorf("%s: the last bucket, %v, has %d of %d", name, last, seen, h.GetSampleCount())
	}
}

// TestNames holds the table to the conventions of Prometheus, and to the labels that are allowed: none is a client's.
func TestNames(t *testing.T) {
	known := map[string]bool{}
	for _, l := range labelHelp() {
		known[l[0]] = true
	}
	seen := map[string]bool{}
	for _, s := range sections() {
		for _, f := range s.families {
			if seen[f.name] {
				t.Errorf("%s is in the table twice", f.name)
			}
			seen[f.name] = true
			if !strings.HasPrefix(f.name, "weir_") && f.name != "process_open_fds" && f.name != "process_max_fds" {
				t.Errorf("%s: no weir_ before it", f.name)
			}
			if strings.HasSuffix(f.name, "_total") != (f.kind == counter) {
				t.Errorf("%s is a %s: counters, and nothing else, end in _total", f.name, f.kind)
			}
			if !strings.HasSuffix(f.help, ".") || strings.Contains(f.help, "|") {
				t.Errorf("%s: help %q: want whole sentences that fit in a table", f.name, f.help)
			}
			for _, l := range f.labels {
				if !known[l] {
					t.Errorf("%s: unknown label %s", f.name, l)
				}
			}
		}
	}
}

// TestWholeExposition parses all that /metrics answers, with what the library adds.
func TestWholeExposition(t *testing.T) {
	s := newScene(t)
	var b bytes.Buffer
	if err := WriteMetrics(&b, s.report()); err != nil {
		t.Fatal(err)
	}
	parsed := parse(t, b.Bytes())
	for _, name := range []string{"weir_connections", "process_resident_memory_bytes", "go_goroutines"} {
		if parsed[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	failing := errors.New("full")
	for _, after := range []int{0, 1} {
		if err := WriteMetrics(&failingWriter{after, failing}, s.report()); !errors.Is(err, failing) {
			t.Errorf("a writer that fails after %d writes: %v", after, err)
		}
	}
}

// failingWriter takes some writes and fails then.
type failingWriter struct {
	takes int
	err   error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.takes--; w.takes < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestEmptyReport(t *testing.T) {
	parsed := parse(t, own(t, NewSampler(Options{}).Report()))
	if parsed["weir_build_info"] == nil {
		t.Error("weir_build_info is missing")
	}
	for name := range parsed {
		if strings.HasPrefix(name, "weir_loop") || strings.HasPrefix(name, "weir_listener") || strings.HasPrefix(name, "weir_cluster") {
			t.Errorf("%s: a family without series", name)
		}
	}
}

func TestReference(t *testing.T) {
	var b bytes.Buffer
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../../../docs/reference/metrics.md", b.Bytes())
	for reason, meaning := range closeMeaning {
		if meaning == "" || strings.Contains(meaning, "|") {
			t.Errorf("%s: meaning %q", l4.CloseReason(reason), meaning)
		}
	}
	for reason, meaning := range dropMeaning {
		if meaning == "" || strings.Contains(meaning, "|") {
			t.Errorf("%s: meaning %q", l4.Drop(reason), meaning)
		}
	}
}

func FuzzLabelValue(f *testing.F) {
	for _, seed := range []string{"web", "", `a"b`, `a\`, "a\nb", `\n`, "\xff", "ключ", "a\x00b", "\u2028", "}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text := appendLabel([]byte("m"), '{', "l", value)
		text = append(text, "} 1\n"...)
		if n := bytes.Count(text, []byte("\n")); n != 1 {
			t.Fatalf("%d lines from %q", n, value)
		}
		m := parse(t, text)["m"]
		if m == nil || len(m.GetMetric()) != 1 || len(m.GetMetric()[0].GetLabel()) != 1 {
			t.Fatalf("%q became %v", value, m)
		}
		if got, want := m.GetMetric()[0].GetLabel()[0].GetValue(), strings.ToValidUTF8(value, "\uFFFD"); got != want {
			t.Fatalf("%q came back as %q", want, got)
		}
	})
}

// many adds a cluster of so many endpoints.
func (s *scene) many(t testing.TB, n int) {
	t.Helper()
	members := make([]lb.Member, n)
	for i := range members {
		members[i] = lb.Member{Endpoint: lb.NewEndpoint(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)), Weight: 1}
	}
	s.cluster(t, "many", members...)
}

// TestPieces holds that nothing is lost or doubled where an exposition of many pieces was cut.
func TestPieces(t *testing.T) {
	s := newScene(t)
	s.many(t, 1500)
	s.endpoints[len(s.endpoints)-1].Loops[0].Resets.Store(7)
	text := own(t, s.report())
	if len(text) < 10*pieceSize {
		t.Fatalf("%d bytes are no test of pieces of %d", len(text), pieceSize)
	}
	parsed := parse(t, text)
	resets := parsed["weir_endpoint_resets_total"].GetMetric()
	if n := len(resets); n != 1505 {
		t.Fatalf("%d endpoints, want 1505", n)
	}
	if v := resets[1500].GetCounter().GetValue(); v != 7 {
		t.Errorf("the last endpoint of many has %v, want 7", v)
	}
}

// BenchmarkMetrics reads and writes 10,000 endpoints, as a scrape does.
func BenchmarkMetrics(b *testing.B) {
	s := newScene(b)
	s.many(b, 10_000)
	s.sample()
	b.ReportAllocs()
	for b.Loop() {
		if err := WriteMetrics(io.Discard, s.report()); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(own(b, s.report()))))
}
