package tcp

import (
	"sync/atomic"

	"weir/eventloop"
	"weir/l4"
	"weir/lb"
)

// Shared is what the proxies of all loops have in common: the limit of the process and how to wake a loop that waits for a place.
type Shared struct {
	_      [64]byte
	active atomic.Int64
	_      [64]byte

	max     atomic.Int64 // 0 = no limit
	waiters atomic.Int64 // loops with listeners that wait for a place
	proxies []*Proxy     // by loop; complete before the first session
	waits   []atomic.Bool
}

// NewShared returns the common state of so many loops' proxies. max is the most sessions at once over the process, 0 = no limit.
func NewShared(loops int, max int64) *Shared {
	s := &Shared{proxies: make([]*Proxy, loops), waits: make([]atomic.Bool, loops)}
	s.max.Store(max)
	return s
}

// Active returns the sessions under way over all loops.
func (s *Shared) Active() int64 { return s.active.Load() }

// SetMax changes the limit; sessions above a lower one go on.
func (s *Shared) SetMax(max int64) {
	s.max.Store(max)
	s.wake()
}

// Max returns the limit.
func (s *Shared) Max() int64 { return s.max.Load() }

func (s *Shared) take() bool { return take(&s.active, s.max.Load()) }

// give gives a session's place back and wakes the loops that wait for one.
func (s *Shared) give() {
	s.active.Add(-1)
	s.wake()
}

// wake wakes every loop that waits, once: it has to say again that it waits.
func (s *Shared) wake() {
	if s.waiters.Load() == 0 {
		return
	}
	for i, p := range s.proxies {
		if p != nil && s.waits[i].CompareAndSwap(true, false) {
			s.waiters.Add(-1)
			_ = p.loop.Post(p.resumeFn) // a loop that has stopped waits for nothing
		}
	}
}

// waiting notes whether the loop has listeners that wait for a place.
func (s *Shared) waiting(loop int, waits bool) {
	if s.waits[loop].Swap(waits) != waits {
		if waits {
			s.waiters.Add(1)
		} else {
			s.waiters.Add(-1)
		}
	}
}

// Options configure a Proxy. Zero values mean the defaults named here.
type Options struct {
	Loop   *eventloop.Loop
	ID     int // of the loop, from 0; its place in all counters
	Shared *Shared
	Seed   uint64 // of the balancing policies' random choices on this loop
	Budget int    // bytes that one direction may copy before others get their turn, spliced ones counting a quarter; 0 = 256 KiB
	Copy   bool   // never splice
}

// Proxy runs the TCP sessions of one loop. All methods but Counters are for the loop, or for before it runs.
type Proxy struct {
	// Immutable.
	loop     *eventloop.Loop
	id       int
	shared   *Shared
	budget   int
	copyOnly bool
	resumeFn func()

	accepting   eventloop.HandlerID
	streaming   eventloop.HandlerID
	acceptTimer eventloop.HandlerID
	timer       eventloop.HandlerID
	drainTimer  eventloop.HandlerID

	// The loop's own.
	listening []*listening // by index; nil = free
	sessions  eventloop.Slab[session]
	attempts  eventloop.Slab[attempt]
	rand      *lb.Rand
	peer      eventloop.Sockaddr
	limited   int // listeners that wait for a place
	drains    []drain
	deferred  []deferral
	room      []byte               // of deferred reads
	outgoing  []eventloop.Outgoing // their writes; empty between batches
	flushing  bool

	// Shared.
	counters *l4.LoopCounters
}

// New returns the proxy of one loop.
func New(o Options) *Proxy {
	if o.Budget <= 0 {
		o.Budget = 256 << 10
	}
	p := &Proxy{
		loop: o.Loop, id: o.ID, shared: o.Shared, budget: o.Budget, copyOnly: o.Copy,
		rand: lb.NewRand(o.Seed), counters: new(l4.LoopCounters),
		deferred: make([]deferral, 0, deferEntries), room: make([]byte, 0, deferRoom),
		outgoing: make([]eventloop.Outgoing, 0, deferEntries),
	}
	p.resumeFn = p.resumeLimited
	p.accepting = o.Loop.Handle(acceptor{p})
	p.streaming = o.Loop.Handle(streams{p})
	o.Loop.HandleFlush(streams{p})
	p.acceptTimer = o.Loop.HandleTimers(acceptor{p})
	p.timer = o.Loop.HandleTimers(deadlines{p})
	p.drainTimer = o.Loop.HandleTimers(drainer{p})
	o.Shared.proxies[o.ID] = p
	return p
}

// Counters returns what the loop counts; it may be read from anywhere.
func (p *Proxy) Counters() *l4.LoopCounters { return p.counters }

// Sessions returns the sessions under way on this loop. On the loop.
func (p *Proxy) Sessions() int { return p.sessions.Len() }
