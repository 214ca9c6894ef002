package report

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"weir/bench/measure"
)

var keep = flag.String("page", "", "write the page of the made-up run to this file, to look at")

// some workloads: one of each kind.
var some = []string{"rtt1", "rtt10", "rtt8000", "bulk", "open", "idle", "udp-rtt"}

var packed = regexp.MustCompile(`data:application/gzip;base64,[^"]*`)

func page(t testing.TB, r measure.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWholeRun(t *testing.T) {
	r := fake(t, 5)
	text := page(t, r)
	if *keep != "" {
		if err := os.WriteFile(*keep, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(text) > 3<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
	for _, w := range r.Workloads {
		if !strings.Contains(text, "<code>"+w.Name+"</code></h3>") {
			t.Errorf("%s has no plot", w.Name)
		}
	}
	for _, c := range r.Contenders {
		if !isDirect(c.Name) && !strings.Contains(text, "</span><b>"+c.Name+"</b>") {
			t.Errorf("%s shows no configuration", c.Name)
		}
	}
	for _, want := range []string{"Some Processor 9000", "Linux 6.18.44", "cubic", "5, contenders in turn", "2026-11-23 22:00 UTC", "skipped: no C compiler <small>(c)",
		"skipped: forwards no UDP <small>(haproxy, haproxy-best, gnet, go)", "failed: data lost or altered", "thrown away: steal was 3.4 %", "make bench OUT=DIR", "load rtt -conns 64 -size 64 -n 120000 -addr ADDR", "Where the rate comes from", "udp-open: lost 3 datagrams <small>(nginx)", "KiB for a flow"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page doesn't say %q", want)
		}
	}
	if strings.Contains(text, `class="warn"`) {
		t.Error("a full run carries a warning")
	}
	if n := strings.Count(text, "Where the rate comes from"); n != 2 {
		t.Errorf("%d calibrations, want one over TCP and one over UDP", n)
	}
}

func TestSameBytes(t *testing.T) {
	r := fake(t, 5, some...)
	if first, second := page(t, r), page(t, r); first != second {
		t.Error("the same report gave another page")
	}
}

// Nothing of the page lies elsewhere.
func TestSelfContained(t *testing.T) {
	text := page(t, fake(t, 3, some...))
	for _, m := range regexp.MustCompile(`(?i)(?:src|href|url|@import)\s*[=(]\s*["']?([^"'\s)>]*)`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[1], "#") && !strings.HasPrefix(m[1], "data:") {
			t.Errorf("the page refers to %s", m[0])
		}
	}
	if strings.Contains(text, "<script") || strings.Contains(text, "://") {
		t.Error("the page has a script or an address")
	}
	if strings.Contains(text, "ZgotmplZ") {
		t.Error("the template refused a value")
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if ids[m[1]] {
			t.Errorf("two elements are called %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if !ids[m[1]] {
			t.Errorf("a link leads to #%s, which isn't there", m[1])
		}
	}
}

// The drawings have colours of the page alone, text as text, and are XML.
func TestDrawings(t *testing.T) {
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page(t, fake(t, 5, some...)), -1)
	if len(drawings) != len(some)+2 { // and two of curves
		t.Fatalf("%d drawings", len(drawings))
	}
	for _, d := range drawings {
		if err := xml.Unmarshal([]byte(d), new(struct{})); err != nil {
			t.Fatalf("%v in %.200s", err, d)
		}
		if m := regexp.MustCompile(`(fill|stroke):#\w*`).FindString(d); m != "" {
			t.Fatalf("a colour that dark can't change, %s, in %.200s", m, d)
		}
		if strings.Contains(d, "NaN") || strings.Contains(d, "Inf") {
			t.Fatalf("no number in %.200s", d)
		}
	}
	if !strings.Contains(drawings[0], ">haproxy-best</text>") || !strings.Contains(drawings[0], "var(--ink-weir)") {
		t.Errorf("names or colours are missing in %s", drawings[0])
	}
}

// The data in the page is what results.json holds.
func TestData(t *testing.T) {
	r := fake(t, 2, some...)
	m := regexp.MustCompile(`href="data:application/gzip;base64,([^"]*)"`).FindStringSubmatch(page(t, r))
	if m == nil {
		t.Fatal("the page has no data")
	}
	packed, err := base64.StdEncoding.DecodeString(strings.NewReplacer("&#43;", "+", "&#61;", "=", "%2b", "+", "%3d", "=").Replace(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := measure.WriteJSON(&want, r); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("the data in the page is not results.json")
	}
}

// What other programs call themselves is text.
func TestHostileNames(t *testing.T) {
	const bad = `"><script>alert(1)</script><text style="fill:#c9184a">&`
	r := fake(t, 1, some...)
	for i := range r.Contenders {
		if r.Contenders[i].Name == "envoy" {
			r.Contenders[i] = measure.Contender{Name: bad, Version: bad, Command: []string{bad}, Config: bad}
		}
	}
	for i := range r.Samples {
		if r.Samples[i].Contender == "envoy" {
			r.Samples[i].Contender = bad
		}
		if r.Samples[i].Contender == "nginx" {
			r.Samples[i].Failed = bad
		}
		r.Samples[i].Discarded = strings.Replace(r.Samples[i].Discarded, "steal", bad, 1)
	}
	for i := range r.Workloads {
		r.Workloads[i].Title, r.Workloads[i].Unit, r.Workloads[i].Command = bad, bad, []string{bad}
	}
	r.Workloads[0].Group = bad
	r.Machine.CPU, r.Machine.Kernel = bad, bad
	r.Skipped = append(r.Skipped, measure.Skip{Contender: bad, Workload: bad, Why: bad}, measure.Skip{Contender: "x" + bad, Why: bad})
	r.Summary = measure.Summarize(r.Workloads, r.Contenders, r.Samples, r.Subject)
	text := page(t, r)
	for _, markup := range []string{"<script", `<text style="fill:#c9184a">&`, `">&amp;<`} {
		if i := strings.Index(text, markup); i >= 0 {
			t.Errorf("a name became markup: %s", text[max(i-200, 0):i+200])
		}
	}
	if !strings.Contains(text, "&lt;script&gt;") {
		t.Error("the name isn't there at all")
	}
}

// A page comes of whatever a run leaves.
func TestPoorReports(t *testing.T) {
	change := func(f func(*measure.Report)) measure.Report {
		r := fake(t, 1, some...)
		f(&r)
		r.Summary = measure.Summarize(r.Workloads, r.Contenders, r.Samples, r.Subject)
		return r
	}
	tests := map[string]struct {
		r    measure.Report
		want string
	}{
		"nothing":       {measure.Report{}, "fewer than three"},
		"quick":         {change(func(r *measure.Report) { r.Quick = true }), "bench-quick"},
		"one round":     {change(func(*measure.Report) {}), "1 round: fewer than three"},
		"interrupted":   {change(func(r *measure.Report) { r.Rounds = 5 }), "Interrupted: samples of 1 round of 5"},
		"no samples":    {change(func(r *measure.Report) { r.Samples = nil }), "Nothing was measured"},
		"no contenders": {change(func(r *measure.Report) { r.Contenders = nil }), "Nothing was measured"},
		"no subject":    {change(func(r *measure.Report) { r.Subject = "nobody" }), "haproxy"},
		"all failed": {change(func(r *measure.Report) {
			for i := range r.Samples {
				r.Samples[i].Failed = "stalled"
			}
		}), "weir failed in rtt1: stalled"},
		"lost datagrams": {change(func(r *measure.Report) {
			for i := range r.Samples {
				if r.Samples[i].Workload == "udp-rtt" {
					r.Samples[i].Load = []byte(`{"lost":7}`)
				}
			}
		}), "weir lost datagrams: udp-rtt: lost 7 datagrams"},
		"all thrown away": {change(func(r *measure.Report) {
			for i := range r.Samples {
				r.Samples[i].Discarded = "steal"
			}
		}), "every sample was thrown away"},
		"no work": {change(func(r *measure.Report) {
			for i := range r.Samples {
				r.Samples[i].PssFew, r.Samples[i].PssMany = 0, 0
				if !isDirect(r.Samples[i].Contender) {
					r.Samples[i].Busy = 0 // less than direct's
				}
			}
		}), "no ratio, a cost is not above 0"},
		"no curves": {change(func(r *measure.Report) {
			for i := range r.Samples {
				r.Samples[i].Load = []byte(`"what"`)
			}
		}), "p99.9 of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := page(t, test.r)
			if !strings.Contains(text, test.want) {
				t.Errorf("the page doesn't say %q", test.want)
			}
			if strings.Contains(packed.ReplaceAllString(text, ""), "NaN") {
				t.Error("the page has a number that is none")
			}
		})
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteFails(t *testing.T) {
	if err := Write(full{}, fake(t, 1, "rtt1")); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}

func TestTicks(t *testing.T) {
	if got := fmt.Sprint(ticks(0, 1, 5)); got != "[0 0.2 0.4 0.6000000000000001 0.8 1]" {
		t.Errorf("ticks from 0 to 1: %s", got)
	}
	if got := fmt.Sprint(logTicks(3, 120)); got != "[5 10 20 50 100]" {
		t.Errorf("ticks from 3 to 120: %s", got)
	}
}
