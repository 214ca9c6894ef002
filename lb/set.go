package lb

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// MaxMembers is the most members a Set, and weights a Split, can have.
const MaxMembers = 1 << 16

// maxHashBalance is the greatest Options.HashBalance; so much is no bound.
const maxHashBalance = 1000

// Member is one endpoint as a Set sees it. It is immutable: a change makes a
// new Set.
type Member struct {
	// Endpoint is the live state; never nil, and no address twice in a Set.
	Endpoint *Endpoint
	// Weight is the share of new connections, relative to the others; 0 takes
	// none.
	Weight uint32
	// MaxConnections is the most connections under way over the whole process;
	// 0 = no limit.
	MaxConnections int64
	// Priority makes levels of members, used from the lowest up as far as it
	// takes; see level.go.
	Priority uint16
	// Backup members come after all others, whatever their priority. Primaries
	// that are merely full don't make way for them.
	Backup bool
	// State other than Ready takes no new connections.
	State State
	// Health other than Healthy takes none either, as long as enough others are
	// better.
	Health Health
	// Ramp is the percentage of Weight that a member in its slow start gets, 1
	// to 99; 0 = all of it. See Ramp.
	Ramp uint8
}

// eligible reports whether the member is meant to take new connections.
func (m *Member) eligible() bool { return m.State == Ready && m.Weight > 0 }

// Options are the choices of a Set. The zero value is plain round robin.
type Options struct {
	Policy Policy

	// HashBalance bounds the load of RingHash and Maglev: no member gets a
	// connection that puts it above HashBalance times its weighted share of the
	// connections under way, rounded up. 0 = off; else 1 to 1,000, kept in steps
	// of 1/65,536. Other policies don't look at it.
	HashBalance float64

	// PanicThreshold is the share of eligible members, 0 to 1, below which the
	// unhealthy ones are used as well: what fails them all may well be the check,
	// and the few that are left can't carry the load of all. 0 = never.
	PanicThreshold float64

	// Seed is where the sequence of RoundRobin starts, and the source of
	// numbers for requests without a Rand. It has no part in RingHash and
	// Maglev, which are the same in every process. 0 starts with the first.
	Seed uint64
}

// Set is the members of a cluster with a policy to choose among them. It is
// immutable, and safe for concurrent use by all loops without locks: what
// changes, the counters of the endpoints and two cursors, is atomic.
type Set struct {
	options  Options
	balance  uint64 // options.HashBalance in units of 1/balanceUnit; 0 = off
	halvings uint   // of the points of the ring, see ringHalvings
	members  []Member
	lanes    []lane  // the members in use, in order
	scale    uint32  // of the lanes' weights
	panics   bool    // PanicThreshold has the unhealthy ones in use
	cursor   *cursor // shared with successors
	draws    *cursor // of requests without a Rand, shared with successors
	tables           // by policy, from lanes
}

// lane is a member in use in the form the pickers walk over.
type lane struct {
	endpoint *Endpoint
	limit    int64  // MaxInt64 for none
	weight   uint32 // times Set.scale
	index    uint32 // of the member
}

// tables are what a policy precomputes from lanes; only those that the policy
// needs are there. They hold indexes of lanes.
type tables struct {
	sequence   sequence   // RoundRobin, LeastConnections
	cumulative cumulative // Random, P2C
	ring       ring       // RingHash
	maglev     maglev     // Maglev
	hashes     []uint64   // RingHash, Maglev: hashMember of each lane
	weight     uint64     // sum over the lanes
	heaviest   uint32     // greatest weight of a lane
}

// NewSet validates the members and returns a Set of them. It is an error if
// an option is out of range, a member has no endpoint or an unknown state, its
// limit is negative, an address comes twice, or there are more than MaxMembers;
// the error names the member. No members, or none that is usable, is no error:
// Pick says so.
func NewSet(o Options, members []Member) (*Set, error) {
	s, err := newSet(o, members)
	if err != nil {
		return nil, err
	}
	s.cursor, s.draws = new(cursor), new(cursor)
	s.cursor.n.Store(o.Seed & (1<<48 - 1)) // far from wrapping around
	s.build()
	return s, nil
}

// Next returns the successor of s: a new Set, under the conditions of NewSet,
// that goes on where the round-robin cursor of s stands, and shares what was
// precomputed if that is still the same. s stays usable by those that have it.
func (s *Set) Next(o Options, members []Member) (*Set, error) {
	n, err := newSet(o, members)
	if err != nil {
		return nil, err
	}
	n.cursor, n.draws = s.cursor, s.draws
	if n.options.Policy == s.options.Policy && n.halvings == s.halvings && n.scale == s.scale && slices.EqualFunc(n.lanes, s.lanes, sameShare) {
		n.tables = s.tables
	} else {
		n.build()
	}
	return n, nil
}

// sameShare reports whether two lanes come to the same entries in tables.
func sameShare(a, b lane) bool {
	return a.weight == b.weight && a.endpoint.Address == b.endpoint.Address
}

func newSet(o Options, members []Member) (*Set, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := validateMembers(members); err != nil {
		return nil, err
	}
	s := &Set{
		options: o,
		balance: uint64(math.Round(o.HashBalance * balanceUnit)),
		members: slices.Clone(members),
	}
	if o.Policy == RingHash {
		s.halvings = ringHalvings(members)
	}
	s.addLanes()
	return s, nil
}

func (o Options) validate() error {
	if int(o.Policy) >= len(policyNames) {
		return fmt.Errorf("lb: unknown policy %d", o.Policy)
	}
	if b := o.HashBalance; b != 0 && !(b >= 1 && b <= maxHashBalance) {
		return fmt.Errorf("lb: hash balance %v: want 0, or 1 to %d", b, maxHashBalance)
	}
	if t := o.PanicThreshold; !(t >= 0 && t <= 1) {
		return fmt.Errorf("lb: panic threshold %v: want 0 to 1", t)
	}
	return nil
}

func validateMembers(members []Member) error {
	if len(members) > MaxMembers {
		return fmt.Errorf("lb: %d members: at most %d", len(members), MaxMembers)
	}
	seen := make(map[netip.AddrPort]int, len(members))
	for i, m := range members {
		if m.Endpoint == nil {
			return fmt.Errorf("lb: member %d: no endpoint", i)
		}
		a := m.Endpoint.Address
		if int(m.State) >= len(stateNames) {
			return fmt.Errorf("lb: member %d (%v): unknown state %d", i, a, m.State)
		}
		if int(m.Health) >= len(healthNames) {
			return fmt.Errorf("lb: member %d (%v): unknown health %d", i, a, m.Health)
		}
		if m.Ramp >= rampUnit {
			return fmt.Errorf("lb: member %d (%v): ramp %d: want 0 to %d", i, a, m.Ramp, rampUnit-1)
		}
		if m.MaxConnections < 0 {
			return fmt.Errorf("lb: member %d (%v): max connections %d: want 0 or more", i, a, m.MaxConnections)
		}
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if first, twice := seen[a]; twice {
			return fmt.Errorf("lb: member %d (%v): same address as member %d", i, a, first)
		}
		seen[a] = i
	}
	return nil
}

// build precomputes what the policy needs.
func (s *Set) build() {
	if len(s.lanes) == 0 {
		return
	}
	weights := make([]uint32, len(s.lanes))
	for i := range s.lanes {
		weights[i] = s.lanes[i].weight
		s.weight += uint64(weights[i])
		s.heaviest = max(s.heaviest, weights[i])
	}
	switch s.options.Policy {
	case RoundRobin, LeastConnections:
		s.sequence = newSequence(weights)
	case Random, P2C:
		s.cumulative = newCumulative(weights)
	case RingHash:
		s.ring = newRing(s.lanes, s.halvings, s.scale)
	case Maglev:
		s.maglev = newMaglev(s.lanes)
	}
	if s.options.Policy.hashes() {
		s.hashes = make([]uint64, len(s.lanes))
		for i := range s.lanes {
			s.hashes[i] = hashMember(s.lanes[i].endpoint.Address)
		}
	}
}

// Len is the number of members, usable or not.
func (s *Set) Len() int { return len(s.members) }

// Member returns member i, 0 <= i < Len, in the order given to NewSet.
func (s *Set) Member(i int) Member { return s.members[i] }

// Pick chooses a member for the connection r. On Picked it has taken one
// place on the member's endpoint, which the caller must give back exactly once
// with Release. Otherwise index is -1 and nothing is taken.
//
// Members in r.Tried are passed over as long as another has room. If none has,
// they may be picked again, but the one tried last only if it is alone in
// having room.
//
// It doesn't allocate or lock.
func (s *Set) Pick(r *Request) (index int, v Verdict) {
	if len(s.lanes) == 0 {
		return -1, NoEndpoint
	}
	for m := skipTried; m <= skipNone; m++ {
		if i := s.pick(r, m); i >= 0 {
			return int(s.lanes[i].index), Picked
		}
		if r.Tried.Len() == 0 {
			break
		}
	}
	return -1, Full
}

// Take takes a place on member i, whatever its state and weight, if it has room: for what belongs to it already. It is to be given back as one
// that Pick has taken.
func (s *Set) Take(i int) bool {
	m := &s.members[i]
	if m.MaxConnections == 0 {
		return m.Endpoint.take(math.MaxInt64)
	}
	return m.Endpoint.take(m.MaxConnections)
}

// pick takes a place by the policy and returns its lane, or -1 if no lane that
// isn't skipped has room.
func (s *Set) pick(r *Request, m mercy) int {
	switch s.options.Policy {
	case RoundRobin:
		return s.roundRobin(r, m)
	case LeastConnections:
		return s.leastConnections(r, m)
	case Random:
		return s.random(r, m)
	case P2C:
		return s.powerOfTwo(r, m)
	case RingHash:
		return s.ringHash(r, m)
	case Maglev:
		return s.maglevHash(r, m)
	default:
		return s.first(r, m)
	}
}

// dice returns a generator for one pick, made from the request's if it has one.
func (s *Set) dice(r *Request) Rand {
	if r.Rand != nil {
		return Rand{state: r.Rand.Uint64()}
	}
	return Rand{state: mix64(s.draws.next()*golden + s.options.Seed)}
}
