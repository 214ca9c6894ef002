package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/bench/measure"
)

var update = flag.Bool("update", false, "write the golden files anew")

// made is a run of a few workloads whose costs over direct are given, in us.
func made(rounds int, seed uint64, costs map[string]map[string]float64) measure.Report {
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := measure.Report{
		Subject: "weir", Rounds: rounds,
		Machine: measure.Machine{
			CPU: "Some Processor 9000", CPUs: 2, Kernel: "6.18.1", MemoryKiB: "8000000 kB", Congestion: "cubic", Autogroup: "1",
			Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
	for _, name := range []string{measure.Direct, "weir", "haproxy", "nginx-best", measure.DirectAgain} {
		r.Contenders = append(r.Contenders, measure.Contender{Name: name, Version: name + " 1.0", Config: "# " + name})
	}
	for _, name := range []string{"rtt64", "conn", "bulk"} {
		r.Workloads = append(r.Workloads, measure.Workload{
			Name: name, Title: name, Group: "round trips", Figure: measure.Cost, Protocol: "tcp", Command: []string{name}, Amount: 100_000, Unit: "us", Scale: 1e6,
		})
	}
	const direct = 12.0
	for round := 1; round <= rounds; round++ {
		for _, w := range r.Workloads {
			for _, c := range r.Contenders {
				noise := 1 + 0.004*(2*rnd.Float64()-1)
				r.Samples = append(r.Samples, measure.Sample{
					Workload: w.Name, Contender: c.Name, Round: round, Amount: w.Amount,
					Busy: (direct + costs[w.Name][c.Name]) * noise / 1e6 * float64(w.Amount),
				})
			}
		}
	}
	summarize(&r)
	return r
}

func summarize(r *measure.Report) {
	r.Summary = measure.Summarize(r.Workloads, r.Contenders, r.Samples, r.Subject)
}

func usual() map[string]map[string]float64 {
	return map[string]map[string]float64{
		"rtt64": {"weir": 11, "haproxy": 15, "nginx-best": 13},
		"conn":  {"weir": 80, "haproxy": 82, "nginx-best": 98},
		"bulk":  {"weir": 7, "haproxy": 70, "nginx-best": 40},
	}
}

func fail(r *measure.Report, workload, contender, why string) {
	for i, s := range r.Samples {
		if s.Workload == workload && s.Contender == contender && s.Round == 2 {
			r.Samples[i].Failed = why
		}
	}
	summarize(r)
}

func TestTables(t *testing.T) {
	changed := usual()
	changed["rtt64"]["weir"] = 14
	changed["conn"]["weir"] = 60
	elsewhere := map[string]map[string]float64{}
	for w, costs := range usual() { // everything takes longer there, weir's bulk more than that
		elsewhere[w] = map[string]float64{}
		for c, x := range costs {
			elsewhere[w][c] = 1.5 * x
		}
	}
	elsewhere["bulk"]["weir"] = 15
	tests := []struct {
		name          string
		before, after measure.Report
	}{
		{"same", made(5, 1, usual()), made(5, 2, usual())},
		{"changed", made(5, 1, usual()), made(5, 3, changed)},
		{"few", made(3, 1, usual()), made(3, 3, changed)},
		{"elsewhere", made(5, 1, usual()), made(6, 4, elsewhere)},
		{"failed", made(5, 1, usual()), made(5, 5, usual())},
		{"little", made(5, 1, usual()), made(5, 6, usual())},
	}
	tests[3].after.Machine.CPU, tests[3].after.Machine.Kernel, tests[3].after.Quick = "Another", "7.0.1", true
	tests[3].after.Contenders[1].Version, tests[3].after.Contenders[2].Version = "weir 1.1", "haproxy 1.1"
	tests[3].after.Contenders[3].Config, tests[3].after.Workloads[1].Amount = "# tuned", 50_000
	for i, s := range tests[3].after.Samples {
		if s.Workload == "conn" {
			tests[3].after.Samples[i].Amount, tests[3].after.Samples[i].Busy = 50_000, s.Busy/2
		}
	}
	summarize(&tests[3].after)
	fail(&tests[4].before, "bulk", "haproxy", "data lost or altered")
	fail(&tests[4].after, "rtt64", "weir", "stalled")
	tests[5].after.Workloads = tests[5].after.Workloads[:1]
	tests[5].after.Contenders = tests[5].after.Contenders[:2]
	summarize(&tests[5].after)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got, test.before, test.after); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", test.name+".txt")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	low, high := []float64{1, 2, 3, 4}, []float64{11, 12, 13, 14}
	tests := []struct {
		before, after []float64
		null          float64
		want          verdict
	}{
		{low, high, 0, worse},
		{high, low, 0, better},
		{low, high, 10, same}, // just as wide as the null
		{low, high, 9.9, worse},
		{low, low, 0, same},
		{low[:3], high[:3], 0, unknown},
		{low[:3], append(high, 15), 0, worse},
		{[]float64{1}, high, 0, unknown},
		{[]float64{1, 1, 1, 1}, []float64{1, 1, 1, 1}, 0, same},
	}
	for _, test := range tests {
		var c change
		c.judge(test.before, test.after, test.null)
		if c.verdict != test.want || math.IsNaN(c.p) {
			t.Errorf("%v, %v, null %v: %s, p %v; want %s", test.before, test.after, test.null, c.verdict, c.p, test.want)
		}
	}
	if p := leastP(4, 4); math.Abs(p-2.0/70) > 1e-12 {
		t.Errorf("leastP(4, 4) is %v", p)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	save := func(name string, r measure.Report) string {
		var b bytes.Buffer
		if err := measure.WriteJSON(&b, r); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	save("results.json", made(5, 1, usual()))
	other := save("other.json", made(5, 2, usual()))
	var out, errs bytes.Buffer
	if err := run([]string{dir, other}, &out, &errs); err != nil || !strings.Contains(out.String(), "rtt64") {
		t.Errorf("%v, %s", err, out.String())
	}
	empty := save("empty.json", measure.Report{})
	for want, args := range map[string][]string{
		"not two":      {dir},
		"no workloads": {dir, empty},
		"nowhere":      {filepath.Join(dir, "nowhere"), other},
	} {
		if err := run(args, &out, &errs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if err := run([]string{dir, filepath.Join(dir, "nowhere")}, &out, &errs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// The example of the package: how far chance alone goes.
func Example() {
	c := change{}
	c.judge([]float64{11.1, 11.2, 11.3, 11.2, 11.1}, []float64{10.1, 10.2, 10.0, 10.1, 10.2}, 0.2)
	fmt.Printf("%.1f to %.1f: %s\n", c.before, c.after, c.verdict)
	// Output: 11.2 to 10.1: better
}
