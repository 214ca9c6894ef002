package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestManyChecks has a thousand endpoints checked every two seconds: all come up, all go down when their server ends, and all come back. They are
// addresses of this machine, and one server.
func TestManyChecks(t *testing.T) {
	const endpoints = 1000
	open := func(addr string) net.Listener {
		t.Helper()
		ln, err := net.Listen("tcp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
		return ln
	}
	_, port := split(t, freePort(t)) // which no client gets while the server is gone
	server := open("0.0.0.0:" + port)
	var addrs []string
	for i := range endpoints {
		addrs = append(addrs, fmt.Sprintf("127.1.%d.%d:%s", i/250, i%250+1, port))
	}
	w := weir(t, "process.log_level = \"debug\"\n"+simple(addrs...)+`
[clusters.out.health]
interval = "2s"
fast_interval = "250ms"
fall = 2
`)
	at := w.at()
	began, cpuBegan := time.Now(), cpuOf(t, w.cmd.Process.Pid)
	// all waits for so many lines in all, and then for a report that says so of each: asking for it all the time would cost more than the checks.
	all := func(state, health string, lines int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d lines say that an endpoint is %s", lines, state), func() bool {
			return strings.Count(w.out.String(), "\"endpoint "+state+"\"") >= lines
		})
		eventually(t, fmt.Sprintf("%d endpoints are %s", endpoints, state), func() bool {
			n := 0
			for _, e := range w.cluster("out").Endpoints {
				if e.Check != nil && e.Check.State == state && e.Health == health {
					n++
				}
			}
			return n == endpoints
		})
	}
	all("up", "healthy", endpoints)
	if c := w.cluster("out"); c.InUse != endpoints || c.Panic {
		t.Errorf("%d are in use, panic %v", c.InUse, c.Panic)
	}
	_ = server.Close()
	all("down", "unhealthy", endpoints)
	if c := w.cluster("out"); !c.Panic {
		t.Error("all are down, and the cluster does not panic")
	}
	for _, e := range w.cluster("out").Endpoints {
		if e.Check.Result != "connection refused" || e.Check.Downs != 1 {
			t.Fatalf("%s is down %d times: %q", e.Address, e.Check.Downs, e.Check.Result)
		}
	}
	open("0.0.0.0:" + port)
	all("up", "healthy", 2*endpoints)
	if c := w.cluster("out"); c.InUse != endpoints || c.Panic {
		t.Errorf("%d are in use, panic %v", c.InUse, c.Panic)
	}
	if !accepts(at) {
		t.Error("weir does not accept")
	}

	var r condition
	w.statsInto(&r)
	took, cpu := time.Since(began), cpuOf(t, w.cmd.Process.Pid)-cpuBegan
	checks := r.Process.Checks
	t.Logf("%d checks of %d endpoints in %.1f s, %d of them late; %.2f s of CPU time", checks.Done, checks.Targets, took.Seconds(), checks.Late, cpu.Seconds())
	if checks.Targets != endpoints || checks.Done < 3*endpoints || checks.Late > checks.Done/10 {
		t.Errorf("checks: %+v", checks)
	}
	for state, want := range map[string]int{"up": 2 * endpoints, "down": endpoints} {
		if lines := strings.Count(w.out.String(), "\"endpoint "+state+"\""); lines != want {
			t.Errorf("%d lines about endpoints that are %s, want %d", lines, state, want)
		}
	}
}

// cpuOf is the CPU time that a process has had so far.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// After the name, which is in brackets, user time is the 12th and system time the 13th field (proc(5)), in hundredths of a second.
	_, fields, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(fields)
	return time.Duration((number(t, f[11]) + number(t, f[12])) * float64(time.Second/100))
}
