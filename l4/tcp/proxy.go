package tcp

import (
	"net/netip"

	"weir/eventloop"
	"weir/l4"
	"weir/lb"
)

// Options configure a Proxy. Zero values mean the defaults named here.
type Options struct {
	Loop   *eventloop.Loop
	ID     int // of the loop, from 0; its place in all counters
	Shared *l4.Shared
	Seed   uint64 // of the balancing policies' random choices on this loop
	Budget int    // bytes that one direction may copy before others get their turn, spliced ones counting a quarter; 0 = 256 KiB
	Copy   bool   // never splice
}

// Proxy runs the TCP sessions of one loop. All methods but Counters are for the loop, or for before it runs.
type Proxy struct {
	// Immutable.
	loop     *eventloop.Loop
	id       int
	shared   *l4.Shared
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
	sources   eventloop.Slab[netip.Addr] // of sessions that are counted by source
	rand      *lb.Rand
	peer      eventloop.Sockaddr
	limited   int // listeners that wait for a place
	drains    []drain
	pressure  *l4.Sweep // what the process runs short of, and the sweep for that
	deferred  []deferral
	room      []byte               // of deferred reads
	outgoing  []eventloop.Outgoing // their writes; empty between batches
	flushing  bool
	passesOn  bool // the session that ends now has no place of the process to give back: another has it

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
	p.pressure = l4.NewSweep(o.Loop, p.sweep)
	o.Shared.OnPlace(o.ID, func() { _ = p.loop.Post(p.resumeFn) }) // a loop that has stopped waits for nothing
	return p
}

// Counters returns what the loop counts; it may be read from anywhere.
func (p *Proxy) Counters() *l4.LoopCounters { return p.counters }

// Sessions returns the sessions under way on this loop. On the loop.
func (p *Proxy) Sessions() int { return p.sessions.Len() }
