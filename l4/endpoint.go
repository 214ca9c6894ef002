package l4

import (
	"net/netip"
	"sync/atomic"

	"weir/eventloop"
	"weir/lb"
)

// Endpoint is one address of one cluster as layer 4 sees it. It lives as long as a session or a cluster refers to it and
// survives changes of its cluster: its counters and the balancer's view of it go on.
type Endpoint struct {
	Address netip.AddrPort
	Balance *lb.Endpoint
	Loops   []EndpointCounters // by loop
	Conduct Conduct
	socket  eventloop.Sockaddr
	places  *Places // of its cluster; nil = of none yet

	condition atomic.Pointer[Condition]
}

// NewEndpoint returns an endpoint without sessions, for a process of so many loops.
func NewEndpoint(addr netip.AddrPort, loops int) *Endpoint {
	return &Endpoint{
		Address: addr, Balance: lb.NewEndpoint(addr),
		Loops: make([]EndpointCounters, loops), socket: eventloop.NewSockaddr(addr),
	}
}

// Socket returns the address in the kernel's form.
func (e *Endpoint) Socket() *eventloop.Sockaddr { return &e.socket }

// Release gives back the places of one connection, and wakes who has waited longest for one.
func (e *Endpoint) Release() {
	e.Balance.Release()
	if e.places != nil {
		e.places.give()
	}
}

// Failed counts, on a loop, a connection that could not be made, or was reset before its first byte, by the endpoint's fault; of UDP: datagrams that were refused.
func (e *Endpoint) Failed(loop int) {
	e.Loops[loop].Faults.Add(1)
	e.Conduct.failed()
}

// Condition returns what is known of the endpoint's health; the zero Condition is that of one that nobody watches.
func (e *Endpoint) Condition() Condition {
	if c := e.condition.Load(); c != nil {
		return *c
	}
	return Condition{}
}

// SetCondition makes another condition known.
func (e *Endpoint) SetCondition(c Condition) { e.condition.Store(&c) }

// Conduct counts how an endpoint has treated connections: failures in a row, over all loops. At so many the alarm rings, which is for whoever ejects
// endpoints. Successes cost a load, as long as nothing fails.
type Conduct struct {
	failures atomic.Int32 // in a row
	most     atomic.Int32 // 0 = never rings
	alarm    atomic.Pointer[func()]
}

// Watch has the alarm rung, on the loop that has met it, at so many failures in a row and at each multiple; 0 = never. It must not block.
func (c *Conduct) Watch(failures int, alarm func()) {
	if failures <= 0 {
		c.most.Store(0)
		return
	}
	c.alarm.Store(&alarm)
	c.most.Store(int32(min(failures, 1<<30)))
}

func (c *Conduct) failed() {
	n, most := c.failures.Add(1), c.most.Load()
	if most > 0 && n%most == 0 {
		(*c.alarm.Load())()
	}
}

// Succeeded notes a connection on which the endpoint has sent something, or that has ended well.
func (c *Conduct) Succeeded() {
	if c.failures.Load() != 0 {
		c.failures.Store(0)
	}
}

// Failures returns the failures in a row.
func (c *Conduct) Failures() int { return int(c.failures.Load()) }

// Forgive forgets the failures.
func (c *Conduct) Forgive() { c.failures.Store(0) }
