package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func Example() {
	err := run(context.Background(), []string{"-contenders", "envoy"}, io.Discard, io.Discard)
	fmt.Println(err)
	// Output: contender envoy: unknown; there are weir, haproxy, haproxy-best, nginx, nginx-best
}

func TestCommandLineIsRefused(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-rounds many", "invalid value"},
		{"more", "unexpected argument"},
		{"-contenders haproxy -haproxy /nowhere/haproxy", "/nowhere/haproxy"},
		{"-contenders haproxy -haproxy /bin/true -workloads rtt2", "workload rtt2: unknown"},
	} {
		err := run(context.Background(), strings.Fields(c.args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.args, err, c.want)
		}
	}
}

// A contender that can't be started ends the run, but what was measured before
// is printed and kept.
func TestBrokenContenderKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	load, out := filepath.Join(dir, "load"), filepath.Join(dir, "out.json")
	if text, err := exec.Command("go", "build", "-o", load, "weir/bench/cmd/load").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	var table, errs bytes.Buffer
	// true is no HAProxy: it ends at once.
	args := "-contenders haproxy -haproxy /bin/true -workloads idle -rounds 1 -load " + load + " -out " + out
	err := run(context.Background(), strings.Fields(args), &table, &errs)
	if err == nil || !strings.Contains(err.Error(), "round 1, idle, haproxy: ") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(table.String(), "idle, KiB") {
		t.Errorf("table:\n%s", &table)
	}
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), `"machine"`) {
		t.Errorf("%s: %v", text, err)
	}
}
