package measure_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/bench/measure"
)

func Example() {
	s := measure.SpreadOf([]float64{14.1, 13.2, 19.7})
	fmt.Println(s)
	// Output: 14.1 (13.2 to 19.7)
}

// build makes the load generators' program.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "load")
	if out, err := exec.Command("go", "build", "-o", path, "weir/bench/cmd/load").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// tiny is all workloads but idle, with next to nothing to do.
func tiny(t *testing.T) []measure.Workload {
	t.Helper()
	list, err := measure.ChooseWorkloads(measure.AllWorkloads(true), []string{"rtt1", "bulk", "conn"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		list[i].Amount = 200
	}
	return list
}

// A run of direct alone, through every process there is but a proxy.
func TestRunDirect(t *testing.T) {
	contenders, err := measure.NewContenders([]string{"haproxy"}, measure.Binaries{HAProxy: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	r := measure.Runner{
		Binaries:   measure.Binaries{Load: build(t)},
		Contenders: []measure.Contender{contenders[0], contenders[2]},
		Workloads:  tiny(t),
		Rounds:     2, MaxSteal: 1, MaxForeign: 1e9, Quiet: 1,
	}
	report, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range report.Samples {
		if s.Failed != "" || s.Discarded != "" {
			t.Errorf("sample %+v", s)
		}
		if s.Workload == "rtt1" {
			order = append(order, fmt.Sprint(s.Round, " ", s.Contender))
		}
	}
	if got, want := strings.Join(order, ", "), "1 direct, 1 direct-again, 2 direct-again, 2 direct"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	var table, raw bytes.Buffer
	if err := measure.WriteTable(&table, report); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"direct less direct", "QUICK", "weir / best", "left out"} {
		if there := strings.Contains(table.String(), want); there == (want == "QUICK" || want == "left out") {
			t.Errorf("%q in the table: %t\n%s", want, there, &table)
		}
	}
	if err := measure.WriteJSON(&raw, report); err != nil {
		t.Fatal(err)
	}
	var back measure.Report
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil || len(back.Samples) != len(report.Samples) || back.Rounds != 2 {
		t.Errorf("read back %d of %d samples, %v", len(back.Samples), len(report.Samples), err)
	}
}

// A contender that doesn't start fails with its complaint; the run goes on.
func TestRunBrokenContender(t *testing.T) {
	load := build(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "weir")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho it is broken >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	contenders, err := measure.NewContenders([]string{measure.Weir}, measure.Binaries{Weir: script})
	if err != nil {
		t.Fatal(err)
	}
	r := measure.Runner{
		Binaries: measure.Binaries{Load: load}, Contenders: contenders, Workloads: tiny(t)[:1], Rounds: 1, MaxSteal: 1, MaxForeign: 1e9, Quiet: 1,
	}
	report, err := r.Run(t.Context())
	if err != nil || len(report.Samples) != 3 {
		t.Fatalf("error %v, samples %+v", err, report.Samples)
	}
	if s := report.Samples[1]; !strings.Contains(s.Failed, "doesn't start") || !strings.Contains(s.Failed, "it is broken") {
		t.Errorf("weir's sample %+v", s)
	}
	if s := report.Samples[2]; s.Failed != "" {
		t.Errorf("the next sample %+v", s)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	contenders, err := measure.NewContenders([]string{measure.Weir}, measure.Binaries{Weir: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	r := measure.Runner{Binaries: measure.Binaries{Load: "/bin/true"}, Contenders: contenders, Workloads: tiny(t), Rounds: 1}
	if report, err := r.Run(ctx); err == nil {
		t.Fatalf("no error; samples %+v", report.Samples)
	}
}
