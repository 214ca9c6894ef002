package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// toggled are web servers of one nginx, each of which is well as long as a file is there.
type toggled struct {
	t     *testing.T
	roots []string
	addrs []string
}

func newToggled(t *testing.T, n int) *toggled {
	t.Helper()
	s := &toggled{t: t, addrs: ports(t, n)}
	var b strings.Builder
	for i, addr := range s.addrs {
		s.roots = append(s.roots, t.TempDir())
		s.mend(i)
		fmt.Fprintf(&b, "server { listen %s; root %q; location = / { return 200 \"%d\\n\"; } }\n", addr, s.roots[i], i)
	}
	newSites(t, "server { listen $AT; }\n"+b.String())
	return s
}

func (s *toggled) mend(i int) { writeFile(s.t, filepath.Join(s.roots[i], "healthz"), "fine\n") }

func (s *toggled) fail(i int) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.roots[i], "healthz")); err != nil {
		s.t.Fatal(err)
	}
}

// are fails or mends servers, and waits until weir knows.
func (s *toggled) are(w *proxy, up ...bool) {
	s.t.Helper()
	for i, addr := range s.addrs {
		_, err := os.Stat(filepath.Join(s.roots[i], "healthz"))
		switch {
		case up[i] && err != nil:
			s.mend(i)
		case !up[i] && err == nil:
			s.fail(i)
		}
		if up[i] {
			w.up("out", addr)
		} else {
			w.down("out", addr, "status 404")
		}
	}
}

// visits are so many connections of ab, a few at a time.
func (p *proxy) visits(n int) (shares []int) {
	p.t.Helper()
	return p.shares(func() {
		said := run(p.t, command(p.t, need(p.t, "ab"), "-q", "-l", "-c", "4", "-n", fmt.Sprint(n), "http://"+p.at()+"/"))
		if !strings.Contains(said, "Failed requests:        0\n") || strings.Contains(said, "Non-2xx") {
			p.t.Errorf("ab had failures:\n%s", said)
		}
	})
}

// An endpoint that comes back gets a tenth of its share at first, and all of it in the end.
func TestSlowStart(t *testing.T) {
	need(t, "ab")
	s := newToggled(t, 2)
	// Of ten hours, the test sees the beginning; of a second, the end.
	config := func(over string) string {
		return strings.Replace(checked("type = \"http\"", s.addrs...), "[clusters.out.health]", "slow_start = \""+over+"\"\n[clusters.out.health]", 1)
	}
	w := weir(t, config("10h"))
	s.are(w, true, true)
	share := func(of []int) float64 { return float64(of[1]) / float64(of[0]+of[1]) }
	if n := w.visits(200); share(n) < 0.4 || share(n) > 0.6 || w.condition("out", s.addrs[1]).WeightPercent != 0 {
		t.Errorf("connections %v, want half with each: they were there when weir started", n)
	}
	s.are(w, true, false)
	if n := w.visits(100); n[1] != 0 {
		t.Errorf("connections %v, want none with the one that is down", n)
	}
	s.are(w, true, true)
	n := w.visits(440)
	percent := w.condition("out", s.addrs[1]).WeightPercent
	t.Logf("at %d %% of its weight: %v", percent, n)
	if percent == 0 || percent > 20 || share(n) < 0.03 || share(n) > 0.2 {
		t.Errorf("connections %v, want an eleventh with the one that has %d %% of its weight", n, percent)
	}
	if first := w.condition("out", s.addrs[0]).WeightPercent; first != 0 {
		t.Errorf("the other has %d %% of its weight", first)
	}

	w.reload(config("1s"))
	s.are(w, true, false)
	s.are(w, true, true)
	eventually(t, "it has all of its weight", func() bool { return w.condition("out", s.addrs[1]).WeightPercent == 0 })
	if n := w.visits(200); share(n) < 0.4 || share(n) > 0.6 {
		t.Errorf("connections %v, want half with each", n)
	}
	w.settled("downstream_closed", "upstream_closed")
}

// Priorities in their order, and then backups, take over from those that are down, and give back.
func TestLevels(t *testing.T) {
	need(t, "ab")
	s := newToggled(t, 5)
	for _, threshold := range []string{"0.5", "0.0"} {
		config := strings.Replace(checked("type = \"http\"", s.addrs...), "panic_threshold = 0.0", "panic_threshold = "+threshold, 1)
		config = strings.Replace(config, "endpoints = ["+quote(s.addrs...)+"]", fmt.Sprintf(`endpoints = [
	%q,
	{ address = %q, weight = 2 },
	{ address = %q, priority = 1 },
	{ address = %q, priority = 2 },
	{ address = %q, backup = true },
]`, s.addrs[0], s.addrs[1], s.addrs[2], s.addrs[3], s.addrs[4]), 1)
		w := weir(t, config)
		s.are(w, true, true, true, true, true)
		const yes, no = true, false
		for _, c := range []struct {
			up   []bool
			used []int
		}{
			{[]bool{yes, yes, yes, yes, yes}, []int{0, 1}},
			{[]bool{no, yes, yes, yes, yes}, []int{1}},
			{[]bool{no, no, yes, yes, yes}, []int{2}},
			{[]bool{no, no, no, yes, yes}, []int{3}},
			{[]bool{no, no, no, no, yes}, []int{4}},
			{[]bool{no, no, yes, no, yes}, []int{2}},
			{[]bool{yes, no, yes, no, yes}, []int{0}},
			{[]bool{yes, yes, yes, yes, yes}, []int{0, 1}},
		} {
			s.are(w, c.up...)
			n := w.visits(30)
			for i, got := range n {
				if (got > 0) != slices.Contains(c.used, i) {
					t.Errorf("panic_threshold %s, up %v: connections %v, want them with %v", threshold, c.up, n, c.used)
					break
				}
			}
			if c := w.cluster("out"); c.Panic {
				t.Error("the cluster panics, while one is up")
			}
		}
		// When nobody is up, a panic has those of the first priority used, which serve; without it nobody is.
		s.are(w, no, no, no, no, no)
		code := launch(t, curl(t, "http://"+w.at()+"/"), os.Kill).code()
		if panics := threshold != "0.0"; w.cluster("out").Panic != panics || (code == 0) != panics {
			t.Errorf("panic_threshold %s: panic %v, curl's exit code %d", threshold, w.cluster("out").Panic, code)
		}
		if threshold == "0.0" {
			w.says(`msg="cluster has no endpoint left" cluster=out endpoints=5`)
		} else {
			w.says(`msg="cluster panics: too few endpoints are healthy, all are used" cluster=out endpoints=5`)
		}
		s.are(w, no, no, no, no, yes)
		if n := w.visits(30); n[4] < 30 || n[0]+n[1]+n[2]+n[3] > 0 {
			t.Errorf("connections %v, want all with the backup", n)
		}
		w.says(`msg="cluster recovers" cluster=out in_use=1 endpoints=5`)
		w.settled("downstream_closed", "upstream_closed", "no_endpoint")
	}
}
