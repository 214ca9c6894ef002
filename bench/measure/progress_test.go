package measure

import (
	"slices"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	var p pace
	if got := p.left([]string{"a"}); got != 0 {
		t.Errorf("nothing measured: %s", got)
	}
	p.took("a", 2*time.Second)
	p.took("a", 4*time.Second)
	p.took("b", 6*time.Second)
	// a takes 3 s, b 6 s, and an unknown one what any took: 4 s.
	if got := p.left([]string{"a", "b", "new"}); got != 13*time.Second {
		t.Errorf("left %s, want 13s", got)
	}
}

func TestStepString(t *testing.T) {
	for _, c := range []struct {
		step Step
		want string
	}{
		{Step{Rounds: 5, Workload: "rtt64", Contender: "weir", Cells: 50}, "  0 %, calibration, rtt64, weir"},
		{Step{Round: 2, Rounds: 5, Workload: "bulk", Contender: "nginx", Done: 25, Cells: 50, Left: 42 * time.Second}, " 50 %, round 2 of 5, bulk, nginx, 42 s left"},
		{Step{Round: 2, Rounds: 5, Workload: "bulk", Contender: "nginx", Done: 25, Cells: 50, Left: 150 * time.Second}, " 50 %, round 2 of 5, bulk, nginx, 2.5 min left"},
		{Step{Round: 2, Rounds: 5, Workload: "bulk", Contender: "nginx", Done: 25, Cells: 50, Left: 29*time.Minute + 40*time.Second}, " 50 %, round 2 of 5, bulk, nginx, 30 min left"},
	} {
		if got := c.step.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// Every cell takes as long as its workload does; the estimate is right from the
// second round on, and counts down to the last cell.
func TestProgressOfARun(t *testing.T) {
	takes := map[string]time.Duration{"slow": 10 * time.Second, "fast": time.Second}
	var steps []Step
	r := fakeRunner(func(_ Contender, w Workload) Sample { return Sample{Amount: 1, Busy: 1} })
	clock := time.Unix(0, 0)
	measure := r.measure
	r.now = func() time.Time { return clock }
	r.measure = func(ctx ctx, c Contender, w Workload) (Sample, error) {
		clock = clock.Add(takes[w.Name])
		return measure(ctx, c, w)
	}
	r.Workloads = []Workload{{Name: "slow", Protocol: "tcp"}, {Name: "fast", Protocol: "tcp"}}
	r.Rounds = 2
	r.Before = func(s Step) { steps = append(steps, s) }
	if _, err := r.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	cells := 2 * 2 * len(r.Contenders)
	if len(steps) != cells {
		t.Fatalf("%d steps, want %d", len(steps), cells)
	}
	end := clock
	clock = time.Unix(0, 0)
	for i, s := range steps {
		if s.Done != i || s.Cells != cells || s.Rounds != 2 {
			t.Errorf("step %d: %+v", i, s)
		}
		if left := end.Sub(clock); s.Round == 2 && s.Left != left {
			t.Errorf("step %d: %s left, want %s", i, s.Left, left)
		}
		clock = clock.Add(takes[s.Workload])
	}
	if !slices.IsSortedFunc(steps, func(a, b Step) int { return a.Round - b.Round }) {
		t.Error("rounds out of order")
	}
}
