package measure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

type ctx = context.Context

// fakeRunner measures nothing: sample makes what a cell yields.
func fakeRunner(sample func(Contender, Workload) Sample) *Runner {
	tcp := []string{"tcp"}
	both := []string{"tcp", "udp"}
	r := &Runner{
		Contenders: []Contender{
			{Name: Direct}, {Name: Weir, Protocols: both}, {Name: "haproxy", Protocols: tcp}, {Name: "haproxy-best", Protocols: tcp},
			{Name: "nginx", Protocols: both}, {Name: "nginx-best", Protocols: both}, {Name: "envoy", Protocols: both}, {Name: "envoy-best", Protocols: both},
			{Name: "gnet", Protocols: tcp}, {Name: "go", Protocols: tcp}, {Name: "c", Protocols: both}, {Name: DirectAgain},
		},
		Rounds: 1, Quiet: 1,
	}
	r.measure = func(_ ctx, c Contender, w Workload) (Sample, error) {
		s := sample(c, w)
		s.Workload, s.Contender = w.Name, c.Name
		return s, nil
	}
	return r
}

func fine(_ Contender, w Workload) Sample {
	return Sample{Amount: w.Amount, Busy: 1, Wall: 1, Load: []byte(`{"seconds":1,"latency_us":{"p99_9":100}}`)}
}

func onlyTCP(name string) []Workload { return []Workload{{Name: name, Protocol: "tcp", Amount: 1}} }

// A quick run has so many cells: 19 workloads over TCP by 12 and six over UDP by
// eight; memory by 10 and by six. The rates come from as many that aren't direct.
const (
	quickCells       = 19*12 + 6*8 + 10 + 6
	quickCalibration = 10 + 6
)

func TestQuickPlan(t *testing.T) {
	cells := 0
	r := fakeRunner(func(c Contender, w Workload) Sample { cells++; return fine(c, w) })
	r.Quick, r.Workloads = true, AllWorkloads(true)
	report, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Samples) != quickCells || cells != quickCells+quickCalibration || len(report.Calibration) != quickCalibration {
		t.Errorf("%d samples and %d of calibration in %d cells, want %d and %d", len(report.Samples), len(report.Calibration), cells, quickCells, quickCalibration)
	}
	if want := 7 * 4; len(report.Skipped) != want {
		t.Errorf("%d skips, want %d: %+v", len(report.Skipped), want, report.Skipped)
	}
	for _, s := range report.Samples {
		if s.Round != 1 {
			t.Fatalf("a sample of round %d", s.Round)
		}
	}
}

func TestCalibration(t *testing.T) {
	seconds := map[string]string{"envoy": "2", "c": "0.5", "nginx": "9"}
	var used []string
	r := fakeRunner(func(c Contender, w Workload) Sample {
		s := Sample{Amount: 1000, Busy: 1}
		if w.Name == "open" {
			used = append(used, strings.Join(w.args("A", w.Amount, false), " "))
			s.Load = []byte(`{"latency_us":{"p99_9":100}}`)
			return s
		}
		took := seconds[c.Name]
		if took == "" {
			took = "1"
		}
		s.Load = []byte(`{"seconds":` + took + `}`)
		if c.Name == "nginx" {
			s.Failed = "lost data" // the slowest by far, but who loses data has no speed
		}
		return s
	})
	var err error
	if r.Workloads, err = ChooseWorkloads(AllWorkloads(false), []string{"open"}); err != nil {
		t.Fatal(err)
	}
	original := r.Workloads
	report, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Envoy does 500 a second; half of that for 1.5 s.
	if w := report.Workloads[0]; w.Rate != 250 || w.Amount != 750 {
		t.Errorf("rate %v, amount %d, want 250 and 750", w.Rate, w.Amount)
	}
	if len(used) != 12 || used[0] != "open -conns 64 -size 64 -rate 250 -addr A -n 750 -realtime" {
		t.Errorf("%d cells with %q", len(used), used[0])
	}
	if original[0].Rate != 0 {
		t.Error("the caller's workload was changed")
	}
	r.Rate = 4000
	r.Workloads = original
	if report, err = r.Run(t.Context()); err != nil || report.Workloads[0].Rate != 4000 || len(report.Calibration) != 0 {
		t.Errorf("a given rate: %+v, %v", report.Workloads[0], err)
	}
}

func TestCalibrationThatNobodyPasses(t *testing.T) {
	r := fakeRunner(func(c Contender, w Workload) Sample { return Sample{Amount: 1, Failed: "lost data"} })
	r.Workloads, _ = ChooseWorkloads(AllWorkloads(false), []string{"open"})
	report, err := r.Run(t.Context())
	if err != nil || len(report.Samples) != 0 || len(report.Skipped) != 1 || report.Skipped[0].Workload != "open" {
		t.Errorf("samples %+v, skipped %+v, %v", report.Samples, report.Skipped, err)
	}
}

// Each protocol has a rate of its own, of those who speak it.
func TestCalibrationByProtocol(t *testing.T) {
	r := fakeRunner(func(c Contender, w Workload) Sample {
		seconds := `{"seconds":1,"latency_us":{"p99_9":100}}`
		if c.Name == "haproxy" || w.Name == "udp-rtt" && c.Name == "nginx" {
			seconds = `{"seconds":4,"latency_us":{"p99_9":100}}`
		}
		if w.Name == "udp-rtt" && c.Name == "envoy" {
			seconds = `{"seconds":8,"lost":1}`
			return Sample{Amount: 1000, Busy: 1, Load: []byte(seconds), Failed: "datagrams lost"}
		}
		return Sample{Amount: 1000, Busy: 1, Load: []byte(seconds)}
	})
	r.Workloads, _ = ChooseWorkloads(AllWorkloads(false), []string{"udp-open", "open"})
	report, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Calibration) != quickCalibration {
		t.Errorf("%d samples of calibration, want %d", len(report.Calibration), quickCalibration)
	}
	for _, w := range report.Workloads {
		// Half, and a quarter, of 1,000 in 4 s, down to two digits.
		if want := map[string]float64{"open": 120, "udp-open": 62}[w.Name]; w.Rate != want {
			t.Errorf("%s: rate %v, want %v", w.Name, w.Rate, want)
		}
		if w.Name == "udp-open" && strings.Join(w.args("A", w.Amount, false), " ") != "udpopen -conns 64 -size 64 -loss 0.001 -rate 62 -addr A -n 186 -realtime" {
			t.Errorf("arguments %q", w.args("A", w.Amount, false))
		}
	}
}

// Loss on a machine that others held up says nothing of the contender; on a quiet
// one it is a failure.
func TestLossOnADisturbedMachine(t *testing.T) {
	for _, c := range []struct {
		steal  float64
		failed bool
	}{{0.5, false}, {0, true}} {
		tries := 0
		r := fakeRunner(func(who Contender, w Workload) Sample {
			s := fine(who, w)
			if tries++; tries == 1 {
				s.Steal, s.Failed, s.Load = c.steal, "datagrams lost: 1 of 9", []byte(`{"lost":1}`)
			}
			return s
		})
		r.Contenders, r.Workloads = r.Contenders[1:2], []Workload{{Name: "u", Protocol: "udp", Amount: 1}}
		report, err := r.Run(t.Context())
		if err != nil || len(report.Samples) == 0 {
			t.Fatalf("samples %+v, %v", report.Samples, err)
		}
		first := report.Samples[0]
		if c.failed != (first.Failed != "") || c.failed == strings.Contains(first.Discarded, "lost datagrams") || c.failed != (len(report.Samples) == 1) {
			t.Errorf("steal %g: samples %+v", c.steal, report.Samples)
		}
		if row := report.Summary.Rows[0]; c.failed != (row.Failed != "") || c.failed != (row.Lost == 1) {
			t.Errorf("steal %g: row %+v", c.steal, row)
		}
	}
}

func TestPartOfSlowest(t *testing.T) {
	sample := func(amount int64, load string) Sample {
		return Sample{Contender: load, Amount: amount, Load: []byte(load)}
	}
	for _, c := range []struct {
		name    string
		samples []Sample
		want    float64
	}{
		{"none", nil, 0},
		{"two digits, downward", []Sample{sample(73_999, `{"seconds":1}`), sample(99_999, `{"seconds":1.0}`)}, 36_000},
		{"no time", []Sample{sample(100, `{"seconds":0}`), sample(100, `{}`), sample(100, "")}, 0},
		{"failed", []Sample{{Contender: "a", Amount: 1, Load: []byte(`{"seconds":1}`), Failed: "lost"}, sample(100, `{"seconds":1}`)}, 50},
		{"disturbed, then not", []Sample{{Contender: "a", Amount: 1, Load: []byte(`{"seconds":1}`), Discarded: "steal"}, {Contender: "a", Amount: 100, Load: []byte(`{"seconds":1}`)}}, 50},
		{"disturbed", []Sample{{Contender: "a", Amount: 100, Load: []byte(`{"seconds":1}`), Discarded: "steal"}}, 50},
	} {
		if got := partOfSlowest(0.5, c.samples); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Who loses data is out of that workload, and of no other; direct is measured
// again, because without it nobody has a cost.
func TestFailureEndsAWorkloadForOne(t *testing.T) {
	count := map[string]int{}
	r := fakeRunner(func(c Contender, w Workload) Sample {
		count[w.Name+" "+c.Name]++
		s := fine(c, w)
		if w.Name == "a" && (c.Name == "nginx" || c.Name == Direct) {
			s.Failed = "lost data"
		}
		return s
	})
	r.Workloads, r.Rounds = append(onlyTCP("a"), onlyTCP("b")...), 3
	report, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for cell, want := range map[string]int{"a nginx": 1, "b nginx": 3, "a direct": 3, "a weir": 3} {
		if count[cell] != want {
			t.Errorf("%s: measured %d times, want %d", cell, count[cell], want)
		}
	}
	if len(report.Skipped) != 0 {
		t.Errorf("skipped %+v", report.Skipped)
	}
}

// Who never starts is tried three times, then left out of the run, which says so.
func TestContenderThatNeverStarts(t *testing.T) {
	tries := 0
	r := fakeRunner(func(c Contender, w Workload) Sample {
		s := fine(c, w)
		if c.Name == "envoy" {
			tries++
			s.Failed, s.refused = "doesn't start: no such library", true
		}
		return s
	})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		r.Workloads = append(r.Workloads, onlyTCP(name)...)
	}
	report, err := r.Run(t.Context())
	if err != nil || tries != refusals {
		t.Errorf("tried %d times, want %d; %v", tries, refusals, err)
	}
	if want := (Skip{Contender: "envoy", Why: "doesn't start: no such library"}); len(report.Skipped) != 1 || report.Skipped[0] != want {
		t.Errorf("skipped %+v", report.Skipped)
	}
}

func TestDisturbedCellsAreRepeated(t *testing.T) {
	tries := 0
	r := fakeRunner(func(c Contender, w Workload) Sample {
		s := fine(c, w)
		if tries++; tries < 3 {
			s.Foreign = 0.5
		}
		return s
	})
	r.Contenders, r.Workloads = r.Contenders[:1], onlyTCP("a")
	report, err := r.Run(t.Context())
	if err != nil || len(report.Samples) != 3 || report.Samples[1].Discarded == "" || report.Samples[2].Discarded != "" {
		t.Errorf("samples %+v, %v", report.Samples, err)
	}
	tries, r.Repeats = -100, 2
	if report, err = r.Run(t.Context()); err != nil || len(report.Samples) != 3 || report.Samples[2].Discarded == "" {
		t.Errorf("given up: samples %+v, %v", report.Samples, err)
	}
}

// A machine that is never quiet doesn't hold up a quick run.
func TestQuickRunRepeatsLittle(t *testing.T) {
	r := fakeRunner(func(c Contender, w Workload) Sample {
		s := fine(c, w)
		s.Foreign = 0.5
		return s
	})
	r.Quick, r.Quiet, r.Workloads = true, 1, AllWorkloads(true)
	report, err := r.Run(t.Context())
	if got, want := len(report.Samples)+len(report.Calibration), quickCells+quickCalibration+quickRepeats; err != nil || got != want {
		t.Errorf("%d samples, want %d; %v", got, want, err)
	}
}

func TestDisturbed(t *testing.T) {
	r := &Runner{}
	r.defaults()
	for _, c := range []struct {
		name string
		s    Sample
		want string
	}{
		{"quiet", Sample{Busy: 1, Wall: 1}, ""},
		{"others", Sample{Busy: 1, Wall: 1, Foreign: 0.03}, "other processes"},
		{"two ticks in a short cell", Sample{Busy: 0.1, Wall: 0.1, Foreign: 0.02}, ""},
		{"steal", Sample{Busy: 2, Wall: 1000, Steal: 0.02}, "steal"},
		{"one tick of steal", Sample{Busy: 0.1, Wall: 1e-6, Steal: 0.02}, ""},
	} {
		if got := r.disturbed(c.s); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTooFewDescriptors(t *testing.T) {
	r := fakeRunner(fine)
	r.defaults()
	var err error
	if r.Workloads, err = ChooseWorkloads(AllWorkloads(false), []string{"rtt1000", "rtt8000", "idle"}); err != nil {
		t.Fatal(err)
	}
	r.leaveOut(16_999)
	if len(r.report.Skipped) != 2 || !strings.Contains(r.report.Skipped[0].Why, "RLIMIT_NOFILE") {
		t.Errorf("skipped %+v", r.report.Skipped)
	}
	if got := len(r.plan(1)); got != 12 {
		t.Errorf("%d cells left, want 12", got)
	}
}

func TestAfterRoundKeepsWhatThereIs(t *testing.T) {
	var kept []int
	full := errors.New("disk full")
	r := fakeRunner(fine)
	r.Workloads, r.Rounds = onlyTCP("a"), 5
	r.AfterRound = func(r Report) error {
		kept = append(kept, len(r.Samples))
		if len(r.Summary.Rows) != 12 {
			t.Errorf("%d rows", len(r.Summary.Rows))
		}
		if len(kept) == 2 {
			return full
		}
		return nil
	}
	report, err := r.Run(t.Context())
	if !errors.Is(err, full) || fmt.Sprint(kept) != "[12 24]" || len(report.Samples) != 24 {
		t.Errorf("kept %v, %d samples, %v", kept, len(report.Samples), err)
	}
}
