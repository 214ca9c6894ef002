package measure

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// Runner measures. Zero fields mean the documented defaults.
type Runner struct {
	Binaries   Binaries
	Contenders []Contender // with direct first and last, as NewContenders gives them
	Workloads  []Workload
	Rounds     int           // 0 = 5
	Repeats    int           // how often a disturbed cell is repeated before it is given up; 0 = 10
	MaxSteal   float64       // share of all time stolen above which a cell is thrown away; 0 = 0.01
	MaxForeign float64       // share of busy time taken by others above which it is; 0 = 0.02
	Quiet      time.Duration // how long to wait for others to finish before a cell; 0 = 1 min
	Progress   func(Sample)  // called with each sample; nil = nobody is told

	ports ports
}

func (r *Runner) defaults() {
	set := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&r.MaxSteal, 0.01)
	set(&r.MaxForeign, 0.02)
	if r.Rounds == 0 {
		r.Rounds = 5
	}
	if r.Repeats == 0 {
		r.Repeats = 10
	}
	if r.Quiet == 0 {
		r.Quiet = time.Minute
	}
	if r.Progress == nil {
		r.Progress = func(Sample) {}
	}
}

// Run does all rounds and returns every sample, thrown away ones too. In odd
// rounds the contenders go forward, in even rounds backward, one workload after
// the other, so that what is compared lies close together in time. On an error,
// or when ctx ends, it returns what it has.
func (r *Runner) Run(ctx context.Context) ([]Sample, error) {
	r.defaults()
	var samples []Sample
	for round := 1; round <= r.Rounds; round++ {
		order := slices.Clone(r.Contenders)
		if round%2 == 0 {
			slices.Reverse(order)
		}
		for _, w := range r.Workloads {
			for _, c := range order {
				if w.Figure == Memory && c.isDirect() {
					continue // nothing lies between
				}
				got, err := r.cell(ctx, c, w, round)
				samples = append(samples, got...)
				if err != nil {
					return samples, fmt.Errorf("round %d, %s, %s: %w", round, w.Name, c.Name, err)
				}
			}
		}
	}
	return samples, nil
}

// cell measures until a sample counts, or fails, or the repeats are used up.
func (r *Runner) cell(ctx context.Context, c Contender, w Workload, round int) ([]Sample, error) {
	var samples []Sample
	for range r.Repeats + 1 {
		if w.Figure != Memory { // memory doesn't mind who else runs
			if err := r.quiet(ctx); err != nil {
				return samples, err
			}
		}
		s, err := measureCell(ctx, r.Binaries, &r.ports, c, w)
		if err != nil {
			return samples, err
		}
		s.Round = round
		if s.Failed == "" && w.Figure != Memory {
			s.Discarded = r.disturbed(s)
		}
		r.Progress(s)
		samples = append(samples, s)
		if s.Discarded == "" {
			break
		}
	}
	return samples, nil
}

// disturbed says why a sample is to be thrown away, or nothing.
func (r *Runner) disturbed(s Sample) string {
	switch {
	case s.Steal > r.MaxSteal:
		return fmt.Sprintf("steal was %.1f %% of the time", 100*s.Steal)
	case s.Foreign > r.MaxForeign*max(s.Busy, tick):
		return fmt.Sprintf("other processes took %.1f %% of the busy time", 100*s.Foreign/max(s.Busy, tick))
	default:
		return ""
	}
}

// quiet waits, not for ever, until the machine has nothing else to do. It looks
// for longer after a look that found something, to be no burden itself.
func (r *Runner) quiet(ctx context.Context) error {
	const calm = 0.1 // of one CPU
	limit := time.Now().Add(r.Quiet)
	pids := map[int]bool{os.Getpid(): true, os.Getppid(): true}
	from, err := readProcesses()
	if err != nil {
		return err
	}
	for look := 100 * time.Millisecond; time.Now().Before(limit); look = time.Second {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		to, err := readProcesses()
		if err != nil {
			return err
		}
		if foreignTime(to, nil, pids)-foreignTime(from, nil, pids) <= calm*look.Seconds() {
			return nil
		}
		from = to
	}
	return ctx.Err()
}
