package measure

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Runner measures. Zero fields mean the documented defaults.
type Runner struct {
	Binaries   Binaries
	Contenders []Contender // with direct first and last, as NewContenders gives them
	Workloads  []Workload  // Run gives open loops their rate
	Skipped    []Skip      // what is left out already; Run adds to it in its report
	Subject    string      // who is compared with the others; empty = weir
	Quick      bool        // a look that may not take long, whoever else runs: other defaults, and said in the report
	Rate       float64     // of open loops, messages per second; 0 = a part of the slowest contender's most, over TCP and over UDP
	Rounds     int         // 0 = 5; quick 1
	Repeats    int         // how often a disturbed cell is repeated before it is given up; 0 = 10; quick 1, and 30 in all
	MaxSteal   float64     // share of all time stolen above which a cell is thrown away; 0 = 0.01; quick 0.05
	MaxForeign float64     // share of busy time taken by others above which it is; 0 = 0.02; quick 0.1

	// Quiet is how long to wait for others to finish before a cell; 0 = 1 min,
	// quick 0.3 s.
	Quiet time.Duration

	Before     func(Step)         // called before each cell; nil = nobody is told
	Progress   func(Sample)       // called with each sample; nil = nobody is told
	AfterRound func(Report) error // called with what there is after each round; nil = nobody keeps it

	measure func(context.Context, Contender, Workload) (Sample, error) // one cell; nil = measureCell
	now     func() time.Time                                           // nil = time.Now

	ports  ports
	report Report
	pace   pace

	repeated int // cells, in all
	done     int
	calm     time.Time       // when the machine was last seen to be so
	failed   map[string]bool // "workload contender" that has no figure any more
	started  map[string]bool // contenders that have
	refused  map[string]int  // how often one that hasn't didn't
}

// planned is a cell to be measured.
type planned struct {
	round     int
	workload  Workload
	contender Contender
}

func (c planned) key() string { return c.workload.Name + " " + c.contender.Name }

// quickRepeats is how many disturbed cells a quick run repeats in all: enough
// for a machine that is quiet but for moments; one that isn't mustn't hold it up.
const quickRepeats = 30

// refusals is how often a contender that has never started is tried.
const refusals = 3

func (r *Runner) defaults() {
	quick := func(full, quick float64) float64 {
		if r.Quick {
			return quick
		}
		return full
	}
	setDefault(&r.Subject, Weir)
	setDefault(&r.Rounds, int(quick(5, 1)))
	setDefault(&r.Repeats, int(quick(10, 1)))
	setDefault(&r.MaxSteal, quick(0.01, 0.05))
	setDefault(&r.MaxForeign, quick(0.02, 0.1))
	setDefault(&r.Quiet, time.Duration(quick(60_000, 300))*time.Millisecond)
	if r.Before == nil {
		r.Before = func(Step) {}
	}
	if r.Progress == nil {
		r.Progress = func(Sample) {}
	}
	if r.AfterRound == nil {
		r.AfterRound = func(Report) error { return nil }
	}
	if r.measure == nil {
		r.measure = func(ctx context.Context, c Contender, w Workload) (Sample, error) {
			return measureCell(ctx, r.Binaries, &r.ports, c, w)
		}
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.failed, r.started, r.refused = map[string]bool{}, map[string]bool{}, map[string]int{}
	r.Workloads = slices.Clone(r.Workloads) // calibration changes them
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Run does all rounds and reports every sample, thrown away ones too. In odd
// rounds the contenders go forward, in even rounds backward, one workload after
// the other, so that what is compared lies close together in time. A contender
// that fails is not measured again in that workload, and the run goes on. On an
// error of its own, or when ctx ends, it returns what it has.
func (r *Runner) Run(ctx context.Context) (Report, error) {
	r.defaults()
	r.report = Report{Machine: DescribeMachine(), Subject: r.Subject, Rounds: r.Rounds, Quick: r.Quick, Contenders: r.Contenders}
	r.report.Skipped = slices.Clone(r.Skipped)
	descriptors, err := raiseDescriptors()
	if err != nil {
		return r.report, err
	}
	r.leaveOut(descriptors)
	err = r.calibrate(ctx)
	for round := 1; err == nil && round <= r.Rounds; round++ {
		if err = r.round(ctx, round); err == nil {
			err = r.AfterRound(r.summary())
		}
	}
	return r.summary(), err
}

func (r *Runner) summary() Report {
	report := r.report
	report.Workloads = r.Workloads
	report.Summary = Summarize(report.Workloads, report.Contenders, report.Samples, report.Subject)
	return report
}

func (r *Runner) round(ctx context.Context, round int) error {
	cells := r.plan(round)
	for i, c := range cells {
		if r.failed[c.key()] {
			continue
		}
		got, err := r.timed(ctx, c, cells[i+1:])
		r.report.Samples = append(r.report.Samples, got...)
		if err != nil {
			return err
		}
		r.judgeStart(c, got[len(got)-1])
	}
	return nil
}

// plan is the order of a round's cells.
func (r *Runner) plan(round int) []planned {
	order := slices.Clone(r.Contenders)
	if round%2 == 0 {
		slices.Reverse(order)
	}
	var list []planned
	for _, w := range r.Workloads {
		for _, c := range order {
			p := planned{round, w, c}
			if nothing := w.Figure == Memory && c.isDirect(); !nothing && !r.failed[p.key()] {
				list = append(list, p)
			}
		}
	}
	return list
}

// leaveOut finds out what can't be measured: workloads that need more
// descriptors than a process may have, and protocols that a contender lacks.
func (r *Runner) leaveOut(descriptors uint64) {
	for _, w := range r.Workloads {
		if need := w.descriptors(); need > descriptors {
			r.skip(Skip{Workload: w.Name, Why: fmt.Sprintf("a contender needs %d descriptors for it, and RLIMIT_NOFILE is %d (ulimit -Hn)", need, descriptors)})
			continue
		}
		for _, c := range r.Contenders {
			if why := c.lacks(w, descriptors); why != "" {
				r.skip(Skip{Contender: c.Name, Workload: w.Name, Why: why})
			}
		}
	}
}

// skip notes it, and that the cells it means are not to be measured.
func (r *Runner) skip(s Skip) {
	r.report.Skipped = append(r.report.Skipped, s)
	for _, w := range r.Workloads {
		for _, c := range r.Contenders {
			if (s.Workload == "" || s.Workload == w.Name) && (s.Contender == "" || s.Contender == c.Name) {
				r.failed[planned{0, w, c}.key()] = true
			}
		}
	}
}

// judgeStart takes a contender that failed out of the workload, and one that has
// never started, by and by, out of the run. Direct stays: a failure of it is the
// load's, and the other rounds may do without.
func (r *Runner) judgeStart(c planned, s Sample) {
	name := c.contender.Name
	switch {
	case s.Failed == "":
		r.started[name] = true
	case c.contender.isDirect():
	default:
		r.failed[c.key()] = true
		if s.refused && !r.started[name] {
			if r.refused[name]++; r.refused[name] == refusals {
				r.skip(Skip{Contender: name, Why: s.Failed})
			}
		}
	}
}

// timed measures a cell and keeps the books of progress; rest is what follows in
// the same round.
func (r *Runner) timed(ctx context.Context, c planned, rest []planned) ([]Sample, error) {
	left := []string{c.workload.Name}
	for _, p := range rest {
		if !r.failed[p.key()] {
			left = append(left, p.workload.Name)
		}
	}
	for range r.Rounds - c.round {
		for _, p := range r.plan(1) {
			left = append(left, p.workload.Name)
		}
	}
	r.Before(Step{
		Round: c.round, Rounds: r.Rounds, Workload: c.workload.Name, Contender: c.contender.Name,
		Done: r.done, Cells: r.done + len(left), Left: r.pace.left(left),
	})
	start := r.now()
	got, err := r.cell(ctx, c)
	if err != nil {
		return got, fmt.Errorf("round %d, %s, %s: %w", c.round, c.workload.Name, c.contender.Name, err)
	}
	r.pace.took(c.workload.Name, r.now().Sub(start))
	r.done++
	return got, nil
}

// cell measures until a sample counts, or fails, or the repeats are used up.
func (r *Runner) cell(ctx context.Context, c planned) ([]Sample, error) {
	var samples []Sample
	for try := 0; ; try++ {
		if c.workload.Figure != Memory { // memory doesn't mind who else runs
			if err := r.quiet(ctx); err != nil {
				return samples, err
			}
		}
		s, err := r.measure(ctx, c.contender, c.workload)
		if err != nil {
			return samples, err
		}
		s.Round = c.round
		if (s.Failed == "" || s.Lost() > 0) && c.workload.Figure != Memory {
			s.Discarded = r.disturbed(s)
			if s.Discarded != "" && s.Failed != "" {
				// Whose processor was taken away can't empty its buffers.
				s.Discarded, s.Failed = s.Discarded+", and it lost datagrams: "+s.Failed, ""
			}
			if s.Discarded == "" && s.Foreign <= calm*s.Wall {
				r.calm = time.Now()
			}
		}
		r.Progress(s)
		samples = append(samples, s)
		if s.Discarded == "" || try == r.Repeats || r.Quick && r.repeated == quickRepeats {
			return samples, nil
		}
		r.repeated++
	}
}

// disturbed says why a sample is to be thrown away, or nothing. What the clocks
// can't tell from nothing is no reason, however short the cell: one tick of
// steal, two of all the other processes.
func (r *Runner) disturbed(s Sample) string {
	stolen := s.Steal * s.Wall * float64(runtime.NumCPU())
	switch {
	case s.Steal > r.MaxSteal && stolen > 1.5*tick:
		return fmt.Sprintf("steal was %.1f %% of the time", 100*s.Steal)
	case s.Foreign > r.MaxForeign*max(s.Busy, tick) && s.Foreign > 2.5*tick:
		return fmt.Sprintf("other processes took %.1f %% of the busy time", 100*s.Foreign/max(s.Busy, tick))
	default:
		return ""
	}
}

const (
	calm     = 0.1             // of one CPU, used by others
	calmLast = 5 * time.Second // how long a machine that was calm over a cell is taken to be so still
)

// quiet waits, not for ever, until the machine has nothing else to do. A cell
// that went undisturbed a moment ago has shown it. It looks for longer after a
// look that found something, to be no burden itself.
func (r *Runner) quiet(ctx context.Context) error {
	if time.Since(r.calm) < calmLast {
		return ctx.Err()
	}
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

// raiseDescriptors lets this process and those it starts have as many
// descriptors as are allowed, and returns how many. Go raises its own limit but
// gives its children the old one, unless it was set.
func raiseDescriptors() (uint64, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("RLIMIT_NOFILE: %w", err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("RLIMIT_NOFILE %d: %w", l.Max, err)
	}
	return l.Cur, nil
}
