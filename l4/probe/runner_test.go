package probe

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// checkFunc is a check of a test's own.
type checkFunc func(ctx context.Context, at netip.AddrPort) error

func (f checkFunc) Run(ctx context.Context, at netip.AddrPort) error { return f(ctx, at) }

var well = checkFunc(func(context.Context, netip.AddrPort) error { return nil })

// gate is a check that begins by saying so and ends when it is told to, or cancelled.
type gate struct {
	begun chan netip.AddrPort
	end   chan error
}

func newGate() *gate { return &gate{make(chan netip.AddrPort, 1000), make(chan error)} }

func (g *gate) Run(ctx context.Context, at netip.AddrPort) error {
	g.begun <- at
	select {
	case err := <-g.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newTestRunner(t *testing.T, o RunnerOptions) *Runner {
	t.Helper()
	r := NewRunner(o)
	t.Cleanup(r.Close)
	return r
}

func port(n int) netip.AddrPort { return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)) }

func once(results chan error) func(error, time.Duration) time.Duration {
	return func(err error, _ time.Duration) time.Duration {
		results <- err
		return time.Hour
	}
}

func never(t *testing.T) func(error, time.Duration) time.Duration {
	return func(err error, _ time.Duration) time.Duration {
		t.Errorf("reported %v", err)
		return time.Hour
	}
}

func TestRunnerReportsAgainAndAgain(t *testing.T) {
	r := newTestRunner(t, RunnerOptions{})
	bad := errors.New("status 503")
	answers := []error{nil, bad, bad, nil}
	results := make(chan error)
	var asked atomic.Int32
	target := &Target{
		Address: port(1),
		Check: checkFunc(func(_ context.Context, at netip.AddrPort) error {
			if at != port(1) {
				t.Errorf("asked %v", at)
			}
			return answers[int(asked.Add(1)-1)%len(answers)]
		}),
		Report: func(err error, took time.Duration) time.Duration {
			if took < 0 {
				t.Errorf("took %v", took)
			}
			results <- err
			return -1 // is a millisecond
		},
	}
	r.Add(target, 0)
	r.Add(target, 0) // it is there
	for range 3 {
		for _, want := range answers {
			if got := <-results; got != want {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	}
	r.Remove(target)
	select { // one may have begun
	case <-results:
	default:
	}
	if s := r.Stats(); s.Targets != 0 || s.Done < 12 {
		t.Errorf("%+v", s)
	}
}

// No more at once than it may, and who has been due for longest comes first.
func TestRunnerPlaces(t *testing.T) {
	const most, targets, rounds = 4, 20, 5
	r := newTestRunner(t, RunnerOptions{Most: most})
	g := newGate()
	var now, peak atomic.Int32
	results := make(chan error, targets*rounds)
	check := checkFunc(func(ctx context.Context, at netip.AddrPort) error {
		defer now.Add(-1)
		for n, p := now.Add(1), peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		return g.Run(ctx, at)
	})
	for i := range targets {
		r.Add(&Target{Check: check, Address: port(i), Report: func(err error, _ time.Duration) time.Duration {
			results <- err
			return 0
		}}, 0)
	}
	seen := map[netip.AddrPort]int{}
	for range most { // fill all places
		seen[<-g.begun]++
	}
	for k := range targets * rounds {
		if k >= most {
			seen[<-g.begun]++
		}
		if n := r.Stats().Running; n > most {
			t.Fatalf("%d at once", n)
		}
		g.end <- nil
		<-results
	}
	if peak.Load() != most {
		t.Errorf("up to %d at once", peak.Load())
	}
	for i := range targets {
		if n := seen[port(i)]; n < rounds-1 || n > rounds+1 {
			t.Errorf("target %d had %d turns of %d", i, n, rounds)
		}
	}
}

// Remove cuts a check under way, which isn't reported, and takes one that waits off the schedule.
func TestRunnerRemove(t *testing.T) {
	r := newTestRunner(t, RunnerOptions{Most: 1})
	g := newGate()
	cut := make(chan error, 1)
	running := &Target{Report: never(t), Check: checkFunc(func(ctx context.Context, at netip.AddrPort) error {
		err := g.Run(ctx, at)
		cut <- err
		return err
	})}
	waiting := &Target{Check: well, Report: never(t)}
	results := make(chan error, 1)
	r.Add(running, 0)
	<-g.begun
	r.Add(waiting, 0)
	r.Add(&Target{Check: well, Report: once(results)}, 0)
	r.Remove(waiting)
	r.Remove(waiting) // it is gone
	r.Remove(running)
	r.Hurry(running)
	if err := <-cut; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if err := <-results; err != nil { // its place was free
		t.Error(err)
	}
	eventually(t, "all is quiet", func() bool { return r.Stats().Running == 0 })
	if s := r.Stats(); s != (RunnerStats{Targets: 1, Done: 1}) {
		t.Errorf("%+v", s)
	}
}

// Remove neither waits for a Report, nor minds being called in one, or with a lock that one waits for.
func TestRunnerRemoveBesideReport(t *testing.T) {
	r := newTestRunner(t, RunnerOptions{})
	var mu sync.Mutex
	reporting, reported := make(chan struct{}), make(chan struct{})
	locked := &Target{Check: well, Report: func(error, time.Duration) time.Duration {
		close(reporting)
		mu.Lock()
		defer mu.Unlock()
		close(reported)
		return 0
	}}
	mu.Lock()
	r.Add(locked, 0)
	<-reporting
	r.Remove(locked)
	mu.Unlock()
	<-reported

	other := &Target{Check: well, Report: never(t)}
	r.Add(other, time.Hour)
	itself := &Target{Check: well}
	done := make(chan struct{})
	itself.Report = func(error, time.Duration) time.Duration {
		r.Remove(itself)
		r.Remove(other)
		r.Hurry(itself)
		r.Add(&Target{Check: well, Report: func(error, time.Duration) time.Duration {
			close(done)
			return time.Hour
		}}, 0)
		return 0 // would be at once, but it is gone
	}
	r.Add(itself, 0)
	<-done
	eventually(t, "only the last is left", func() bool { return r.Stats().Targets == 1 && r.Stats().Running == 0 })
}

// Two that remove each other in their Reports, at the same time.
func TestRunnerRemoveEachOther(t *testing.T) {
	r := newTestRunner(t, RunnerOptions{})
	for range 50 {
		var both, done sync.WaitGroup
		both.Add(2)
		done.Add(2)
		var pair [2]*Target
		for i := range pair {
			pair[i] = &Target{Check: well, Report: func(error, time.Duration) time.Duration {
				both.Done()
				both.Wait()
				r.Remove(pair[1-i])
				done.Done()
				return 0
			}}
		}
		// Both have to be in their Reports before either is removed.
		r.Add(pair[0], 0)
		r.Add(pair[1], 0)
		done.Wait()
	}
	if n := r.Stats().Targets; n != 0 {
		t.Errorf("%d targets are left", n)
	}
}

func TestRunnerHurry(t *testing.T) {
	r := newTestRunner(t, RunnerOptions{})
	g := newGate()
	results := make(chan error, 1)
	target := &Target{Check: g, Report: once(results)}
	r.Hurry(target) // isn't there
	r.Add(target, time.Hour)
	for range 3 {
		r.Hurry(target)
		<-g.begun
		r.Hurry(target) // the check under way will tell
		g.end <- nil
		<-results
		eventually(t, "it waits again", func() bool { return len(g.begun) == 0 && r.Stats().Running == 0 })
		eventually(t, "it is in the schedule", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.waiting.Len() == 1
		})
	}
	if n := r.Stats().Done; n != 3 {
		t.Errorf("%d checks", n)
	}
}

// With time of the test's own: what is due begins and nothing else does, and what begins late is counted.
func TestRunnerDue(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1000, 0)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	r := newTestRunner(t, RunnerOptions{Clock: clock, Most: 1})
	g := newGate()
	results := make(chan error)
	first, second := &Target{Check: g, Address: port(1), Report: once(results)}, &Target{Check: g, Address: port(2), Report: once(results)}
	r.Add(second, 20*time.Second)
	r.Add(first, 10*time.Second)
	mu.Lock()
	now = now.Add(22 * time.Second)
	mu.Unlock()
	r.Hurry(second) // is due: it only has the scheduler look
	for i := 1; i <= 2; i++ {
		if at := <-g.begun; at != port(i) {
			t.Fatalf("%v is the one of turn %d", at, i)
		}
		g.end <- nil
		<-results
	}
	if n := r.Stats().Late; n != 2 {
		t.Errorf("%d late", n)
	}
}

func TestRunnerTimeout(t *testing.T) {
	r := newTestRunner(t, RunnerOptions{})
	results := make(chan error, 1)
	r.Add(&Target{Check: newGate(), Timeout: 10 * time.Millisecond, Report: once(results)}, 0)
	if err := <-results; !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestRunnerClose(t *testing.T) {
	leaves(t, func() {
		r := NewRunner(RunnerOptions{Most: 3})
		g := newGate()
		for i := range 10 {
			r.Add(&Target{Check: g, Address: port(i), Report: never(t)}, 0)
		}
		for range 3 {
			<-g.begun
		}
		r.Close()
		r.Close()
		r.Add(&Target{Check: g, Report: never(t)}, 0)
		if s := r.Stats(); s != (RunnerStats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// Many targets come and go while they are checked, hurried and reported: nothing is lost, and nothing is reported twice at once.
func TestRunnerStorm(t *testing.T) {
	const most, hands, rounds = 8, 4, 300
	r := newTestRunner(t, RunnerOptions{Most: most})
	var running, reports atomic.Int32
	check := checkFunc(func(context.Context, netip.AddrPort) error {
		if n := running.Add(1); n > most {
			t.Errorf("%d at once", n)
		}
		running.Add(-1)
		return nil
	})
	var all sync.WaitGroup
	for range hands {
		all.Go(func() {
			for range rounds {
				var inside atomic.Int32
				heard := make(chan struct{}, 1)
				target := &Target{Check: check, Report: func(error, time.Duration) time.Duration {
					if inside.Add(1) != 1 {
						t.Error("two at once")
					}
					reports.Add(1)
					select {
					case heard <- struct{}{}:
					default:
					}
					inside.Add(-1)
					return 0
				}}
				r.Add(target, time.Hour)
				r.Hurry(target)
				<-heard
				r.Hurry(target)
				r.Remove(target)
			}
		})
	}
	all.Wait()
	eventually(t, "all is quiet", func() bool { return r.Stats().Running == 0 })
	if s := r.Stats(); s.Targets != 0 || s.Done < hands*rounds {
		t.Errorf("%+v after %d reports", s, reports.Load())
	}
}
