package lb

import (
	"net/netip"
	"sync/atomic"
)

// Endpoint is the live state of one address of one cluster. All loops share
// it, and it survives every change of the Set: whoever builds sets keeps one
// Endpoint per cluster and address, and hands it on from set to set.
//
// The counter has a cache line of its own (64 bytes; the whole is 128, so that
// the allocator aligns it), since every loop writes to it.
type Endpoint struct {
	// Immutable.

	// Address is where the endpoint listens.
	Address netip.AddrPort

	_ [32]byte

	// Atomic: raised by Pick, lowered by Release, on any loop.

	active atomic.Int64

	_ [56]byte
}

// NewEndpoint returns an endpoint without connections.
func NewEndpoint(addr netip.AddrPort) *Endpoint {
	return &Endpoint{Address: addr}
}

// Active is the number of connections under way, being connected or
// established, over the whole process.
func (e *Endpoint) Active() int64 { return e.active.Load() }

// Release gives back one place taken by Pick. It is called exactly once for
// each Picked verdict, by any loop.
func (e *Endpoint) Release() { e.active.Add(-1) }

// take takes a place if fewer than limit are taken.
func (e *Endpoint) take(limit int64) bool {
	for {
		n := e.active.Load()
		if n >= limit {
			return false
		}
		if e.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
