package e2e

import (
	"fmt"
	"os"
	"testing"
)

// Pipelines that stay connected, and a connection for every request, while the configuration changes a hundred times. Sessions
// of the endpoint that goes away would be ended over drain_timeout, which is too far away to end any here.
func TestReload(t *testing.T) {
	a, b := redisServer(t), redisServer(t)
	variant := func(i int) string {
		minutes, endpoints := 5, quote(a.addr, b.addr)
		if i%2 == 1 {
			minutes, endpoints = 10, quote(a.addr)
		}
		return fmt.Sprintf(`
process.drain_timeout = "10000h"
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
idle_timeout = "%dm"
[clusters.out]
connect_timeout = "%ds"
endpoints = [%s]
`, minutes, minutes, endpoints)
	}
	w := weir(t, variant(0))
	const tests = "set,get"
	load := func(args ...string) *program {
		t.Helper()
		return launch(t, redisBenchmark(t, w.at(), tests, args...), os.Kill)
	}
	lasting := []string{"-P", "16", "-c", "20", "-n", "200000"}
	short := []string{"-k", "0", "-c", "10", "-n", "3000"}
	loads := []*program{load(lasting...), load(short...)}
	during := [2]int{}
	for i := 1; i <= 100; i++ {
		w.reload(variant(i))
		for k, args := range [][]string{lasting, short} {
			if loads[k].running() {
				during[k]++
				continue
			}
			checkBenchmark(t, loads[k].succeeds(), tests)
			loads[k] = load(args...)
		}
	}
	for _, l := range loads {
		checkBenchmark(t, l.succeeds(), tests)
	}
	if during[0] == 0 || during[1] == 0 {
		t.Errorf("of the reloads, %d were under the one load and %d under the other", during[0], during[1])
	}
	if r := w.stats().Process.Reloads; r.Applied != 100 || r.Failed != 0 {
		t.Errorf("weir counts %+v", r)
	}
	l := w.settled("downstream_closed", "downstream_reset")
	if ga, gb := a.connections(), b.connections(); gb == 0 || ga <= gb {
		t.Errorf("%d connections to the one, %d to the other, which is there half of the time", ga, gb)
	}
	t.Logf("%d sessions; %d reloads under pipelines, %d under short connections", l.Connections.Total, during[0], during[1])
}
