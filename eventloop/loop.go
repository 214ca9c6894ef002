package eventloop

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

// Options configure a Loop. The zero value is a loop over epoll with the defaults named here.
type Options struct {
	Poller     Poller       // nil = epoll
	Batch      int          // most events taken per wait; 0 = 256
	ReadBuffer int          // bytes of the shared read buffer; 0 = 64 KiB
	PipeSlots  int          // slots of a leased pipe; 0 = 256, which is 1 MiB of pages
	IdlePipes  int          // empty pipes kept for the next lease; 0 = 64, negative = none
	MaxPipes   int          // most pipes at once, leased and idle; 0 = 512, negative = none
	Ring       int          // writes made with one system call, a power of two; 0 = 256, negative = none
	CPU        int          // with Pin: the CPU that the loop's thread is bound to
	Pin        bool         // bind the loop's thread to CPU
	Clock      func() int64 // nanoseconds, monotonic; nil = the runtime's clock
}

// Loop is one reactor. All of its methods but Post, Do, Stop and Stats are for callbacks on the loop, or for before Run.
type Loop struct {
	// Immutable after New.
	poller   Poller
	clock    func() int64
	pin      bool
	cpu      int
	events   []Event
	shared   []byte
	handlers []Handler
	timed    []TimerHandler
	flushers []Flusher

	// The loop's own.
	now     int64
	slots   Slab[slot]
	closing []closing
	again   []Token
	turn    []Token
	wheel   *Wheel
	pipes   pipePool
	chunks  chunkPool
	fire    func(HandlerID, uint32)
	ring    *ring // nil = there is none here

	// Shared.
	mailbox  queue.AsyncTaskQueue
	stopping atomic.Bool
	stopped  chan struct{}
	stats    loopCounters
}

// loopCounters are written by the loop and read by anybody.
type loopCounters struct {
	_       [64]byte
	batches atomic.Uint64
	events  atomic.Uint64
	stale   atomic.Uint64
	again   atomic.Uint64
	posted  atomic.Uint64
	joint   atomic.Uint64
	pipes   atomic.Int64
	_       [64]byte
}

// Stats is a reading of a loop's counters.
type Stats struct {
	Batches uint64 // turns of the loop
	Events  uint64 // events delivered
	Stale   uint64 // events dropped because their registration had ended
	Again   uint64 // callbacks from the ready list
	Posted  uint64 // functions run from the mailbox
	Joint   uint64 // writes that shared a system call; none where io_uring is not to be had
	Pipes   int64  // pipes that exist now, leased and idle
	PollerStats
}

// Flusher is told, on the loop, that a turn's events and its ready list have been gone through, so that it can do now what it
// has put off for all of them together.
type Flusher interface{ Flush() }

// TimerHandler takes a timer's end, on the loop, with the value given to StartTimer.
type TimerHandler interface{ Expired(arg uint32) }

var errStopped = errors.New("loop is stopped")

// New returns a loop that is ready to Run.
func New(o Options) (*Loop, error) {
	if o.Batch <= 0 {
		o.Batch = 256
	}
	if o.ReadBuffer <= 0 {
		o.ReadBuffer = 64 << 10
	}
	if o.PipeSlots <= 0 {
		o.PipeSlots = 256
	}
	if o.IdlePipes == 0 {
		o.IdlePipes = 64
	}
	if o.MaxPipes == 0 {
		o.MaxPipes = 512
	}
	if o.Ring == 0 {
		o.Ring = 256
	}
	if o.Clock == nil {
		start := time.Now()
		o.Clock = func() int64 { return int64(time.Since(start)) }
	}
	if o.Poller == nil {
		p, err := NewEpoll(o.Batch)
		if err != nil {
			return nil, fmt.Errorf("new loop: %w", err)
		}
		o.Poller = p
	}
	l := &Loop{
		poller: o.Poller, clock: o.Clock, pin: o.Pin, cpu: o.CPU,
		events:  make([]Event, o.Batch),
		shared:  make([]byte, o.ReadBuffer),
		mailbox: queue.NewLockFreeQueue(),
		stopped: make(chan struct{}),
	}
	l.pipes = pipePool{size: o.PipeSlots * unix.Getpagesize(), keep: o.IdlePipes, max: o.MaxPipes, count: &l.stats.pipes}
	l.now = l.clock()
	l.wheel = NewWheel(l.now)
	l.fire = l.expired
	if o.Ring > 0 {
		l.ring, _ = newRing(uint32(o.Ring)) // what it does can be done without
	}
	return l, nil
}

// Handle makes h known to the loop and returns its name for Register.
func (l *Loop) Handle(h Handler) HandlerID {
	l.handlers = append(l.handlers, h)
	return HandlerID(len(l.handlers) - 1)
}

// HandleTimers makes h known to the loop and returns its name for StartTimer.
func (l *Loop) HandleTimers(h TimerHandler) HandlerID {
	l.timed = append(l.timed, h)
	return HandlerID(len(l.timed) - 1)
}

// HandleFlush makes h known to the loop: it is called in every turn.
func (l *Loop) HandleFlush(h Flusher) { l.flushers = append(l.flushers, h) }

// Now returns the loop's time in nanoseconds, read once a turn.
func (l *Loop) Now() int64 { return l.now }

// ReadClock returns the time now in nanoseconds, on the scale of Now.
func (l *Loop) ReadClock() int64 { return l.clock() }

// Shared returns the loop's read buffer. It is any callback's until the callback returns.
func (l *Loop) Shared() []byte { return l.shared }

// StartTimer calls h with arg at the deadline at (on the scale of Now), rounded up to a millisecond.
func (l *Loop) StartTimer(at int64, h HandlerID, arg uint32) TimerID {
	return l.wheel.Start(at, h, arg)
}

// MoveTimer gives a running timer another deadline; false when it has fired or was stopped.
func (l *Loop) MoveTimer(id TimerID, at int64) bool { return l.wheel.Move(id, at) }

// StopTimer ends a timer; false when it has fired or was stopped.
func (l *Loop) StopTimer(id TimerID) bool { return l.wheel.Stop(id) }

func (l *Loop) expired(h HandlerID, arg uint32) { l.timed[h].Expired(arg) }

// Run turns the loop until Stop: wait, deliver the batch, go once through the ready list, flush, fire timers, run what was posted,
// close what was given up. It returns an error only when the poller fails for good. A loop runs once.
func (l *Loop) Run() error {
	defer close(l.stopped)
	if l.pin {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		unpin, err := pinThread(l.cpu)
		if err != nil {
			return fmt.Errorf("pin loop to CPU %d: %w", l.cpu, err)
		}
		defer unpin()
	}
	for !l.stopping.Load() {
		if err := l.turnOnce(); err != nil {
			return err
		}
	}
	l.runPosted()
	l.endBatch()
	return nil
}

// pinThread binds the calling thread to a CPU. unpin gives it its CPUs back: the thread is the runtime's again after the loop.
func pinThread(cpu int) (unpin func(), err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, err
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }, nil
}

// turnOnce is one turn of the loop.
func (l *Loop) turnOnce() error {
	n, err := l.poller.Wait(l.events, l.patience())
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	l.now = l.clock()
	l.stats.batches.Add(1)
	if n > 0 {
		l.stats.events.Add(uint64(n))
		for i := range l.events[:n] {
			l.deliver(&l.events[i])
		}
	}
	if len(l.again) > 0 {
		l.runAgain()
	}
	for _, h := range l.flushers {
		h.Flush()
	}
	l.wheel.Advance(l.now, l.fire)
	if !l.mailbox.IsEmpty() {
		l.runPosted()
	}
	if len(l.closing) > 0 {
		l.endBatch()
	}
	return nil
}

// patience returns how long the loop may wait: not at all with work left, until the next timer, or for ever.
func (l *Loop) patience() time.Duration {
	if len(l.again) > 0 || !l.mailbox.IsEmpty() || l.stopping.Load() {
		return 0
	}
	at, ok := l.wheel.Next()
	if !ok {
		return -1
	}
	return time.Duration(max(at-l.now, 0))
}

func (l *Loop) deliver(ev *Event) {
	s := l.slot(ev.Token)
	if s == nil {
		l.stats.stale.Add(1)
		return
	}
	l.handlers[s.handler].Ready(ev.Token, s.arg, ev.Events)
}

// runAgain calls back those that were on the ready list when it began; what they put there waits for the next turn.
func (l *Loop) runAgain() {
	l.turn, l.again = l.again, l.turn[:0]
	for _, tok := range l.turn {
		if s := l.slot(tok); s != nil {
			s.queued = false
			l.stats.again.Add(1)
			l.handlers[s.handler].Ready(tok, s.arg, 0)
		}
	}
}

// Post runs fn on the loop, soon and in the order of the calls of one caller. It may be called from anywhere, also on the loop
// itself; fn then runs after the present batch. After the loop has stopped Post returns an error and fn doesn't run. With no
// error fn may still not run when the loop stops first; Do tells.
func (l *Loop) Post(fn func()) error {
	select {
	case <-l.stopped:
		return errStopped
	default:
	}
	t := queue.GetTask()
	t.Param = fn
	l.mailbox.Enqueue(t)
	l.poller.Wake()
	return nil
}

// Do runs fn on the loop and waits until it has run. It must not be called on a loop.
func (l *Loop) Do(fn func()) error {
	done := make(chan struct{})
	if err := l.Post(func() { fn(); close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-l.stopped:
		select {
		case <-done:
			return nil
		default:
			return errStopped
		}
	}
}

// runPosted runs what is in the mailbox, at most as much as was there at the start.
func (l *Loop) runPosted() {
	for n := l.mailbox.Length(); n > 0; n-- {
		t := l.mailbox.Dequeue()
		if t == nil {
			return
		}
		fn := t.Param.(func())
		queue.PutTask(t)
		l.stats.posted.Add(1)
		fn()
	}
}

// Stop makes Run return after the present turn. It may be called from anywhere.
func (l *Loop) Stop() {
	l.stopping.Store(true)
	l.poller.Wake()
}

// Stopped is closed when Run has returned.
func (l *Loop) Stopped() <-chan struct{} { return l.stopped }

// Destroy closes the poller, the idle pipes and every registered descriptor. Only after Run has returned, or instead of Run. Post,
// Do and Stop may still be called, and do nothing.
func (l *Loop) Destroy() {
	select {
	case <-l.stopped:
	default:
		close(l.stopped) // it never ran: nobody may wait for it
	}
	for i := range l.slots.Cap() {
		if s := l.slots.At(i); s.generation&1 == 1 {
			l.Close(token(i, s.generation))
		}
	}
	l.endBatch()
	l.pipes.drain()
	if l.ring != nil {
		l.ring.close()
		l.ring = nil
	}
	_ = l.poller.Close()
}

// Stats reads the loop's counters. It may be called from anywhere.
func (l *Loop) Stats() Stats {
	s := Stats{
		Batches: l.stats.batches.Load(), Events: l.stats.events.Load(), Stale: l.stats.stale.Load(),
		Again: l.stats.again.Load(), Posted: l.stats.posted.Load(), Joint: l.stats.joint.Load(), Pipes: l.stats.pipes.Load(),
	}
	if p, ok := l.poller.(PollStatser); ok {
		s.PollerStats = p.PollStats()
	}
	return s
}
