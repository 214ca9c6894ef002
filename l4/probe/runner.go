package probe

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"weir/lb/health"
)

// RunnerOptions configure a Runner. Zero values mean the defaults named here.
type RunnerOptions struct {
	Most  int              // checks at once; 0 = 256
	Clock func() time.Time // when it is; for tests: waiting is done in real time. nil = time.Now
}

// Target is an endpoint that is checked again and again. Its fields stay as they are from Add on; a Target that was removed isn't added
// again, a new one is.
type Target struct {
	Check   Check
	Address netip.AddrPort
	Timeout time.Duration // after which the check's context ends; 0 = the check's own is enough
	// Report takes each result, from any goroutine, one at a time per target, and returns how long until the next check; less than a
	// millisecond counts as one. It may call the Runner's methods, save Close, and should return soon: it holds a place.
	Report func(err error, took time.Duration) (next time.Duration)
}

// RunnerStats is what a Runner does, and has done.
type RunnerStats struct {
	Targets int    // that are added
	Running int    // checks under way
	Late    uint64 // checks that began more than a second after they were due, for want of a place or of processor time
	Done    uint64 // checks that were reported
}

const (
	defaultMost = 256
	late        = time.Second
	least       = time.Millisecond // between two checks of a target
	// glance is between two looks at the schedule while only time passes, by which a check may begin late: with thousands of targets a look
	// then begins many of them, where each would wake a thread.
	glance = 5 * time.Millisecond
)

// Runner runs the checks of many targets, each when it is due, and no more at once than it may. When places are short, who has been
// due for longest comes first. All its methods are safe for concurrent use.
type Runner struct {
	// Immutable.
	most  int
	clock func() time.Time
	start time.Time       // zero on the schedule's scale
	base  context.Context // of all checks
	stop  context.CancelFunc
	wake  chan struct{} // the scheduler should look; holds one
	all   sync.WaitGroup

	mu      sync.Mutex
	entries map[*Target]*entry
	byID    []*entry // those that are added, by their place; nil = free
	free    []uint32 // places
	waiting health.Schedule
	armed   time.Time // when the scheduler looks next; zero = not before it is woken
	workers int
	running int
	late    uint64
	done    uint64
	closed  bool
}

// entry is a target that has been added.
type entry struct {
	target *Target // immutable
	id     uint32  // immutable: its place

	// Under the Runner's lock.
	due    time.Time
	waits  bool // in the schedule; false: being checked, or removed
	gone   bool
	cancel func() // ends the check under way; nil = none
}

// NewRunner starts a Runner without targets. Close ends it.
func NewRunner(o RunnerOptions) *Runner {
	r := &Runner{most: o.Most, clock: o.Clock, wake: make(chan struct{}, 1), entries: map[*Target]*entry{}}
	if r.most <= 0 {
		r.most = defaultMost
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	r.start = r.clock()
	r.base, r.stop = context.WithCancel(context.Background())
	r.all.Add(1)
	go r.schedule()
	return r
}

// Add has the target checked from now on, first after that long. It does nothing if the target is there already, or the Runner closed.
func (r *Runner) Add(t *Target, first time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.entries[t]; ok || r.closed {
		return
	}
	e := &entry{target: t}
	if n := len(r.free); n > 0 {
		e.id, r.free = r.free[n-1], r.free[:n-1]
		r.byID[e.id] = e
	} else {
		e.id = uint32(len(r.byID))
		r.byID = append(r.byID, e)
	}
	r.entries[t] = e
	r.wait(e, max(first, 0))
}

// Remove ends the checks of a target. One under way is cancelled, and not reported: no call of Report begins any more. It waits for
// nothing, so that it may be called with any lock held, and in a Report. For the same reason a Report that was about to be called may
// still run beside it or end after it: a caller to whom that matters holds a lock in both, and looks in Report whether it still wants
// to know.
func (r *Runner) Remove(t *Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[t]
	if e == nil {
		return
	}
	delete(r.entries, t)
	e.gone, e.waits = true, false
	r.waiting.Remove(e.id)
	r.byID[e.id], r.free = nil, append(r.free, e.id)
	if e.cancel != nil {
		e.cancel()
	}
}

// Hurry makes the target due now. While it is being checked, or reported, that does nothing: the result is as new as can be. How often
// is up to the caller.
func (r *Runner) Hurry(t *Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[t]
	if e == nil || !e.waits {
		return
	}
	if now := r.clock(); now.Before(e.due) {
		e.due = now
		r.waiting.Put(e.id, r.since(now))
	}
	r.poke(e.due)
}

// Stats returns what the Runner does and has done.
func (r *Runner) Stats() RunnerStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RunnerStats{Targets: len(r.entries), Running: r.running, Late: r.late, Done: r.done}
}

// Close removes all targets, cancels the checks under way and waits until all goroutines have ended: not to be called in a Report,
// nor with a lock that one waits for. It may be called again.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	for t, e := range r.entries {
		e.gone = true
		delete(r.entries, t)
	}
	r.waiting = health.Schedule{}
	r.mu.Unlock()
	r.stop()
	r.all.Wait()
}

// wait has the entry checked after that long. Under the lock.
func (r *Runner) wait(e *entry, d time.Duration) {
	e.due, e.waits = r.clock().Add(d), true
	r.waiting.Put(e.id, r.since(e.due))
	r.poke(e.due)
}

// since is a time on the schedule's scale.
func (r *Runner) since(t time.Time) int64 { return int64(t.Sub(r.start)) }

// poke wakes the scheduler if it would come too late. While all places are taken it has nothing to do: who leaves one looks. Under
// the lock.
func (r *Runner) poke(due time.Time) {
	if r.workers == r.most || !r.armed.IsZero() && !due.Before(r.armed) {
		return
	}
	r.armed = due
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// schedule begins checks as they are due, while there are places.
func (r *Runner) schedule() {
	defer r.all.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.wake:
		case <-r.base.Done():
			return
		}
		if d := r.look(); d > 0 {
			timer.Reset(d)
		} else {
			timer.Stop()
		}
	}
}

// look begins what is due, and returns how long until the next look; 0 = not before it is woken.
func (r *Runner) look() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = time.Time{}
	now := r.clock()
	for r.workers < r.most {
		e := r.next(now)
		if e == nil {
			break
		}
		r.workers++
		r.all.Add(1)
		go r.work(e, r.begin(e))
	}
	at, some := r.waiting.Next()
	if r.workers == r.most || !some {
		return 0
	}
	d := max(time.Duration(at-r.since(now)), glance)
	r.armed = now.Add(d)
	return d
}

// next takes the first entry off the schedule if it is due. Under the lock.
func (r *Runner) next(now time.Time) *entry {
	id, ok := r.waiting.Pop(r.since(now))
	if !ok {
		return nil
	}
	e := r.byID[id]
	e.waits = false
	if now.Sub(e.due) > late {
		r.late++
	}
	return e
}

// begin makes the context of a check. Under the lock.
func (r *Runner) begin(e *entry) context.Context {
	var ctx context.Context
	if e.target.Timeout > 0 {
		ctx, e.cancel = context.WithTimeout(r.base, e.target.Timeout)
	} else {
		ctx, e.cancel = context.WithCancel(r.base)
	}
	r.running++
	return ctx
}

// work runs a check and then others, for as long as some are due.
func (r *Runner) work(e *entry, ctx context.Context) {
	defer r.all.Done()
	for e != nil {
		start := r.clock()
		err := e.target.Check.Run(ctx, e.target.Address)
		took := r.clock().Sub(start)
		if r.ended(e) {
			next := e.target.Report(err, took)
			r.again(e, max(next, least))
		}
		e, ctx = r.take()
	}
}

// ended notes that a check is over, and says whether it is to be reported.
func (r *Runner) ended(e *entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.cancel()
	e.cancel = nil
	r.running--
	if e.gone {
		return false
	}
	r.done++
	return true
}

func (r *Runner) again(e *entry, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !e.gone {
		r.wait(e, d)
	}
}

// take begins the next check that is due, or gives the place back.
func (r *Runner) take() (*entry, context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.next(r.clock()); e != nil {
		return e, r.begin(e)
	}
	r.workers--
	if at, ok := r.waiting.Next(); ok {
		r.poke(r.start.Add(time.Duration(at))) // nobody may have looked while all places were taken
	}
	return nil, nil
}
