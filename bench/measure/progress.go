package measure

import (
	"fmt"
	"time"
)

// Step is where a run is, before a cell is measured.
type Step struct {
	Round, Rounds       int // round 0 is the calibration
	Workload, Contender string
	Done, Cells         int           // cells measured, and cells in all; what is known to fail isn't counted
	Left                time.Duration // how long the rest will take; 0 = no cell has been measured yet
}

// String is a line for people.
func (s Step) String() string {
	where := fmt.Sprintf("round %d of %d", s.Round, s.Rounds)
	if s.Round == 0 {
		where = "calibration"
	}
	text := fmt.Sprintf("%3d %%, %s, %s, %s", 100*s.Done/max(s.Cells, 1), where, s.Workload, s.Contender)
	if s.Left > 0 {
		text += ", " + about(s.Left) + " left"
	}
	return text
}

// about rounds to what an estimate is good for.
func about(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f min", d.Minutes())
	default:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
}

// pace estimates how long cells take from those measured: repeats of disturbed
// ones and waiting for a quiet machine are in it. The zero pace knows nothing.
type pace struct {
	all        mean
	byWorkload map[string]*mean
}

type mean struct {
	sum time.Duration
	n   int
}

func (m *mean) add(d time.Duration) { m.sum, m.n = m.sum+d, m.n+1 }

func (m *mean) value() time.Duration { return m.sum / time.Duration(m.n) }

// took notes a cell.
func (p *pace) took(workload string, d time.Duration) {
	p.all.add(d)
	if p.byWorkload == nil {
		p.byWorkload = map[string]*mean{}
	}
	if p.byWorkload[workload] == nil {
		p.byWorkload[workload] = &mean{}
	}
	p.byWorkload[workload].add(d)
}

// left is the time for cells of these workloads: each as long as that workload
// took on the average, or as any did where it hasn't had its turn.
func (p *pace) left(cells []string) time.Duration {
	if p.all.n == 0 {
		return 0
	}
	var sum time.Duration
	for _, w := range cells {
		if m := p.byWorkload[w]; m != nil {
			sum += m.value()
		} else {
			sum += p.all.value()
		}
	}
	return sum
}
