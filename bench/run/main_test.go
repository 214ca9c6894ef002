package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/bench/measure"
)

func Example() {
	_, err := parse([]string{"-workloads", "rtt2"}, io.Discard)
	text, _, _ := strings.Cut(err.Error(), ";")
	fmt.Println(text)
	// Output: workload rtt2: unknown
}

func TestCommandLineIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"-rounds many", "invalid value"},
		{"-rounds -1", "no negative number"},
		{"more", "unexpected argument"},
		{"-contenders squid", "contender squid: unknown"},
		{"-workloads ,", "no workload"},
		{"-workloads rtt1,rtt2", "workload rtt2: unknown"},
		{"-contenders haproxy -load /bin/true -haproxy /nowhere/haproxy -out " + t.TempDir(), "/nowhere/haproxy"},
		{"-contenders direct -load /bin/true -out " + file, "folder of the results"},
	} {
		code, err := start(context.Background(), strings.Fields(c.args), io.Discard, io.Discard)
		if err == nil || code == 0 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: code %d, error %v, want %q in it", c.args, code, err, c.want)
		}
	}
}

func TestChosen(t *testing.T) {
	o, err := parse(strings.Fields("-quick -workloads udp,rtt1 -contenders direct"), io.Discard)
	if err != nil || len(o.runner.Workloads) != 8 || o.contenders == nil || len(o.contenders) != 0 || !o.runner.Quick {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parse(nil, io.Discard); err != nil || len(o.runner.Workloads) != len(measure.AllWorkloads(false)) || o.contenders != nil {
		t.Errorf("%+v, %v", o, err)
	}
}

// loadProgram builds the load generators.
func loadProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "load")
	if text, err := exec.Command("go", "build", "-o", path, "weir/bench/cmd/load").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	return path
}

// A contender that can't be started is a result, unless it is the subject; what
// was measured is printed and kept, the page too.
func TestBrokenContender(t *testing.T) {
	load := loadProgram(t)
	for _, c := range []struct{ subject, want string }{
		{measure.Weir, ""},
		{"haproxy", "round 1, idle, haproxy failed: doesn't start: "},
	} {
		out := filepath.Join(t.TempDir(), "new", "folder")
		var table, errs bytes.Buffer
		// true is no HAProxy: it ends at once.
		args := "-contenders haproxy -haproxy /bin/true -workloads idle -rounds 1 -subject " + c.subject + " -load " + load + " -out " + out
		o, err := parse(strings.Fields(args), &errs)
		if err == nil {
			err = o.prepare(t.Context(), &errs)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err = o.run(t.Context(), &table, &errs); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("subject %s: error %v, want %q", c.subject, err, c.want)
		}
		if !strings.Contains(table.String(), "failed: doesn't start") || !strings.Contains(errs.String(), "round 1 of 1, idle, haproxy") {
			t.Errorf("table:\n%s\nprogress:\n%s", &table, &errs)
		}
		var r measure.Report
		text, err := os.ReadFile(filepath.Join(out, "results.json"))
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err != nil || len(r.Samples) != 1 || r.Samples[0].Failed == "" {
			t.Errorf("%s: %v", text, err)
		}
		if page, err := os.ReadFile(filepath.Join(out, "report.html")); err != nil || !bytes.Contains(page, []byte("haproxy")) {
			t.Errorf("page of %d bytes, %v", len(page), err)
		}
		if left, err := filepath.Glob(filepath.Join(out, "*-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestFailures(t *testing.T) {
	r := measure.Report{Subject: measure.Weir, Samples: []measure.Sample{
		{Round: 1, Workload: "bulk", Contender: measure.Weir}, {Round: 1, Workload: "bulk", Contender: "nginx", Failed: "data lost"},
	}}
	var errs bytes.Buffer
	if err := failures(r, &errs); err != nil || !strings.Contains(errs.String(), "nginx failed: data lost") {
		t.Errorf("a peer's failure: %v, said %q", err, &errs)
	}
	for _, name := range []string{measure.Weir, measure.DirectAgain} {
		r.Samples[0].Contender, r.Samples[0].Failed = name, "stalled"
		if err := failures(r, io.Discard); err == nil || !strings.Contains(err.Error(), name+" failed: stalled") {
			t.Errorf("failure of %s: %v", name, err)
		}
	}
}

func TestReplaceKeepsTheOldOnFailure(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results.json")
	write := func(text string, err error) error {
		return replace(name, func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		})
	}
	if err := write("old", nil); err != nil {
		t.Fatal(err)
	}
	if err := write("half", errors.New("disk full")); err == nil {
		t.Error("no error")
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWatch(t *testing.T) {
	step := measure.Step{Round: 1, Rounds: 5, Workload: "bulk", Contender: "weir", Done: 1, Cells: 2, Left: time.Minute}
	fine := measure.Sample{Round: 1, Workload: "bulk", Contender: "weir", Busy: 1, Wall: 2}
	odd := fine
	odd.Failed = "data lost"

	var plain bytes.Buffer
	w := newWatch(&plain)
	w.before(step)
	w.sample(fine)
	w.end()
	if want := " 50 %, round 1 of 5, bulk, weir, 1.0 min left: busy 1.00 s, wall 2.00 s\n"; plain.String() != want {
		t.Errorf("not a terminal: %q, want %q", &plain, want)
	}

	var live bytes.Buffer
	w = &watch{out: &live, width: 20}
	w.before(step)
	w.sample(fine)
	w.sample(odd)
	line := clearLine + " 50 %, round 1 of 5" // one less than the width
	if want := line + clearLine + "round 1, bulk, weir: failed: data lost\n" + line; live.String() != want {
		t.Errorf("terminal: %q, want %q", &live, want)
	}
}
