package access

import (
	"net/netip"
	"sync/atomic"
)

// Rules are what is asked of who comes in. They are immutable; the zero value, and nil, admit all.
type Rules struct {
	Filter       *Filter // which addresses; nil = all
	Rate         Rate    // of all of them together
	PerSource    Rate    // of each source
	MaxPerSource int64   // connections of a source at once, 0 = no limit
}

// Any reports whether there is a rule.
func (r *Rules) Any() bool {
	return r != nil && (r.Filter != nil || r.Rate.Limited() || r.ofSources())
}

// ofSources reports whether a rule needs Sources.
func (r *Rules) ofSources() bool { return r.PerSource.Limited() || r.MaxPerSource > 0 }

// Refusal says why someone may not come in.
type Refusal uint8

const (
	// None is no refusal.
	None Refusal = iota
	// Denied is an address that the Filter doesn't admit.
	Denied
	// RateLimited is Rules.Rate.
	RateLimited
	// SourceRateLimited is Rules.PerSource.
	SourceRateLimited
	// SourceLimit is Rules.MaxPerSource.
	SourceLimit
)

var refusals = [...]string{"", "denied", "rate_limited", "source_rate_limited", "source_limit"}

// String returns the refusal as metrics and logs have it, "" for None.
func (r Refusal) String() string {
	if int(r) < len(refusals) {
		return refusals[r]
	}
	return "unknown"
}

// Gate is what one listener remembers of who came in, for the whole process. It stays when the Rules change, and all loops may use it at once.
//
// Connections are counted by source while there is a rule about sources, a rate or a number. Those that began before there was one
// aren't: a MaxPerSource that a changed configuration turns on holds for those that come from then on.
type Gate struct {
	seed    uint64
	sources atomic.Pointer[Sources] // nil until a rule needs them

	_    [48]byte
	rate Bucket // every loop writes to it
	_    [56]byte
}

// NewGate returns a gate that nobody has come through. The seed keys the hash of sources, and should be one that strangers can't know.
func NewGate(seed uint64) *Gate { return &Gate{seed: seed} }

// Enter says why the address may not come in, or takes what it takes. counted says that Leave has to be called, with this address, when the
// connection ends, whatever the Rules are by then. Who is refused is never counted, and has taken nothing.
func (g *Gate) Enter(r *Rules, a netip.Addr, now int64) (why Refusal, counted bool) {
	if r == nil {
		return None, false
	}
	if !r.Filter.Admits(a) {
		return Denied, false
	}
	if !r.ofSources() {
		if !g.rate.Take(r.Rate, now) {
			return RateLimited, false
		}
		return None, false
	}
	switch g.table().take(a, r.PerSource, r.MaxPerSource, now, &g.rate, r.Rate) {
	case TooFast:
		return SourceRateLimited, false
	case TooMany:
		return SourceLimit, false
	case refused:
		return RateLimited, false
	}
	return None, true
}

// Leave gives back what a connection, that Enter has counted, has of its source.
func (g *Gate) Leave(a netip.Addr) {
	if s := g.sources.Load(); s != nil {
		s.Give(a)
	}
}

// Sources returns what is remembered by source, nil if there has been no rule about sources.
func (g *Gate) Sources() *Sources { return g.sources.Load() }

// Level returns how many tokens of Rules.Rate there are, 0 if that is no limit.
func (g *Gate) Level(r *Rules, now int64) float64 {
	if r == nil {
		return 0
	}
	return g.rate.Level(r.Rate, now)
}

func (g *Gate) table() *Sources {
	if s := g.sources.Load(); s != nil {
		return s
	}
	g.sources.CompareAndSwap(nil, NewSources(g.seed, 0)) // another loop may have been faster
	return g.sources.Load()
}
