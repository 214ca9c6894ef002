package udp

import (
	"weir/eventloop"
	"weir/l4"
	"weir/l4/flow"
	"weir/l4/quic"
	"weir/lb"
)

// Options configure a Proxy. Zero values mean the defaults named here.
type Options struct {
	Loop   *eventloop.Loop
	ID     int // of the loop, from 0; its place in all counters
	Shared *l4.Shared
	Seed   uint64 // of the flow table and of the balancing policies' random choices on this loop
	Budget int    // datagrams, or coalesced ones, that are taken from one socket before others get their turn; 0 = 256
	Places int    // datagrams that a turn holds at once; 0 = 128
	Plain  bool   // neither UDP_GRO nor UDP_SEGMENT, as on a kernel that has none
}

// Proxy runs the UDP flows of one loop. All methods but Counters are for the loop, or for before it runs.
type Proxy struct {
	// Immutable.
	loop     *eventloop.Loop
	id       int
	shared   *l4.Shared
	budget   int
	places   int
	lateMost int // sockets that stay connected for late answers, in each pool
	features eventloop.Features

	clients   eventloop.HandlerID // listeners' sockets
	endpoints eventloop.HandlerID // endpoints' sockets
	expiry    eventloop.HandlerID
	tidying   eventloop.HandlerID
	drainTick eventloop.HandlerID
	holds     eventloop.HandlerID

	// The loop's own.
	listening []*listening // by index; nil = free
	sockets   eventloop.Slab[socket]
	upstreams eventloop.Slab[upstream]
	table     *flow.Table[state]
	expiring  eventloop.TimerID
	expireAt  int64
	pools     []pool // endpoints' sockets that have no flow
	leaving   []departure
	tidy      eventloop.TimerID
	drains    []drain
	left      map[*l4.Endpoint]struct{} // went down, see leave; nil = none
	pressure  *l4.Sweep                 // what the process runs short of, and the sweep for that
	rand      *lb.Rand
	request   lb.Request
	expireFn  func(flow.ID, flow.Why)

	// A turn's; see send.go.
	inbox  *eventloop.Inbox // nil until there is a listener
	outbox *eventloop.Outbox
	single *eventloop.Outbox
	turn   uint32
	runs   []run
	parts  []part
	order  []int32 // of the outbox: the runs
	ending []ending

	// QUIC's; see quic.go.
	hello   quic.Hello
	held    map[flow.Key]*held
	waiting []*held // in the order of time; some have been released
	holding eventloop.TimerID
	chunks  []*eventloop.Chunk // that go back with the turn

	// Shared.
	counters *l4.LoopCounters
}

// New returns the proxy of one loop.
func New(o Options) *Proxy {
	if o.Budget <= 0 {
		o.Budget = 256
	}
	if o.Places <= 0 {
		o.Places = 128
	}
	p := &Proxy{
		loop: o.Loop, id: o.ID, shared: o.Shared, budget: o.Budget, places: o.Places, lateMost: max(64, lateMany/o.Shared.Loops()), features: eventloop.DatagramFeatures(),
		table: flow.New[state](o.Seed, o.Loop.Now()), rand: lb.NewRand(o.Seed), turn: 1, held: map[flow.Key]*held{},
		counters: new(l4.LoopCounters),
	}
	if o.Plain {
		p.features = eventloop.Features{}
	}
	p.expireFn = p.expired
	p.clients = o.Loop.Handle(clients{p})
	p.endpoints = o.Loop.Handle(endpoints{p})
	o.Loop.HandleFlush(p)
	p.expiry = o.Loop.HandleTimers(expiry{p})
	p.tidying = o.Loop.HandleTimers(tidying{p})
	p.drainTick = o.Loop.HandleTimers(drainer{p})
	p.pressure = l4.NewSweep(o.Loop, p.sweep)
	p.holds = o.Loop.HandleTimers(holds{p})
	return p
}

// prepare makes what a turn needs, when the first listener comes: a proxy without one costs nothing.
func (p *Proxy) prepare() {
	if p.inbox != nil {
		return
	}
	p.inbox = eventloop.NewInbox(p.places)
	p.outbox = eventloop.NewOutbox(p.places, p.places)
	p.single = eventloop.NewOutbox(1, 1)
	p.runs = make([]run, 0, p.places)
	p.parts = make([]part, 0, p.places)
	p.order = make([]int32, 0, p.places)
}

// Counters returns what the loop counts; it may be read from anywhere.
func (p *Proxy) Counters() *l4.LoopCounters { return p.counters }

// Flows returns the flows under way on this loop. On the loop.
func (p *Proxy) Flows() int { return p.table.Len() }
