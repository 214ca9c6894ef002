package access

import (
	"net/netip"
	"sync"

	"weir/lb"
)

// Verdict is what Sources.Take says.
type Verdict uint8

const (
	// Admitted is a place and a token taken.
	Admitted Verdict = iota
	// TooFast is no token left for the source.
	TooFast
	// TooMany is no place left for the source.
	TooMany

	// refused is no token in the bucket that all sources share; only the Gate has one.
	refused
)

// DefaultIdle is how many sources without connections are remembered unless NewSources is told: 3 MiB of them at most.
const DefaultIdle = 65536

const (
	mostShards = 64
	idlePer    = 64 // sources without connections that a shard should have room for, before there are more shards
)

// Sources counts connections, and has a bucket of tokens, by source. A source is an IPv4 address or the /64 of an IPv6 address: that is the
// smallest network that anyone is given (RFC 6177, and RFC 4291, section 2.5.1), and its one host may have any of the 2^64 addresses in it, a new
// one for each connection. Who has a /48 is 65,536 sources; against those there is the rate of the listener. An IPv4-mapped address counts
// as IPv4. The zone doesn't count, so that all link-local addresses are one source, as is everything that is no IP address.
//
// Memory is bounded, whatever the number of sources. Those with connections are remembered, and the connections are bounded by who makes them.
// Those without are remembered only until their bucket is full again, since then they are like any unknown source; and no more of them than
// NewSources was told: of a few that come to hand the one with the least debt is forgotten, which gives it no more than that debt. Those
// that are full go as new ones come, a few slots at a time. The room for entries grows to what was needed at the fullest time, and stays.
//
// The sources are spread over shards by a hash. All loops may use them at once.
type Sources struct {
	secret secret
	shift  uint8 // of a hash: what is left is the number of its shard
	shards []shard
}

// shard has the sources whose hash begins with its number. Of what NewSources was told each has its share; since the hash spreads evenly, but not
// exactly so, some are at their limit a little earlier than others.
type shard struct {
	mu sync.Mutex

	table   table
	idle    int    // entries without connections
	limit   int    // of idle
	hand    int    // where to look next for what can be forgotten
	evicted uint64 // forgotten with a debt
	now     int64  // the latest there was
	begun   bool   // now is set

	_ [24]byte // 128 bytes: the adjacent cache line is another shard's
}

// NewSources returns an empty table. The seed keys its hash, and should be one that strangers can't know. idle is the most sources remembered that
// have no connection; 0 or less is DefaultIdle.
func NewSources(seed uint64, idle int) *Sources {
	if idle <= 0 {
		idle = DefaultIdle
	}
	shards, shift := 1, uint8(64)
	for shards < mostShards && shards*2*idlePer <= idle {
		shards, shift = shards*2, shift-1
	}
	s := &Sources{secret: newSecret(lb.NewRand(seed)), shift: shift, shards: make([]shard, shards)}
	for i := range s.shards {
		s.shards[i].limit = idle / shards
		if i < idle%shards {
			s.shards[i].limit++
		}
		s.shards[i].table.secret = &s.secret
	}
	return s
}

// lock returns the locked shard of a hash.
func (s *Sources) lock(hash uint64) *shard {
	sh := &s.shards[hash>>s.shift] // a shift by 64 leaves 0
	sh.mu.Lock()
	return sh
}

// Take takes one of so many places of the source, and one of its tokens: both, or neither. 0 places are no limit, and take one nevertheless;
// the zero Rate takes no token. Who has too many connections is told that, even if they come too fast as well.
func (s *Sources) Take(a netip.Addr, r Rate, most, now int64) Verdict {
	return s.take(a, r, most, now, nil, Rate{})
}

// take is Take with a bucket that all sources share. It comes last, and inside the lock: who is refused by it has never had a place that
// another connection of the source could have missed.
func (s *Sources) take(a netip.Addr, r Rate, most, now int64, all *Bucket, rate Rate) Verdict {
	k := keyOf(a)
	hash := s.secret.hash(k)
	sh := s.lock(hash)
	defer sh.mu.Unlock()
	now = sh.tick(now)

	var e entry
	i := sh.table.find(k, hash)
	if i >= 0 {
		e = sh.table.entries[i]
	}
	if most > 0 && int64(e.active) >= most {
		return TooMany
	}
	next := e.debt
	if r.Limited() {
		var ok bool
		if next, ok = r.take(e.debt, now); !ok {
			if i >= 0 {
				sh.table.entries[i].debt = next
			}
			return TooFast
		}
	}
	if all != nil && !all.Take(rate, now) {
		return refused
	}
	if i < 0 {
		sh.sweep()
		sh.table.add(entry{network: k.network, family: k.family, debt: next, active: 1}, hash)
		return Admitted
	}
	if e.active == 0 {
		sh.idle--
	}
	sh.table.entries[i].debt = next
	sh.table.entries[i].active++
	return Admitted
}

// Give gives the place of a connection back. It must be matched by an earlier Take of the same source that Admitted; otherwise it does nothing.
func (s *Sources) Give(a netip.Addr) {
	k := keyOf(a)
	hash := s.secret.hash(k)
	sh := s.lock(hash)
	defer sh.mu.Unlock()

	i := sh.table.find(k, hash)
	if i < 0 || sh.table.entries[i].active == 0 {
		return
	}
	e := &sh.table.entries[i]
	e.active--
	if e.active > 0 {
		return
	}
	sh.idle++
	if e.debt.since(sh.now) == 0 {
		sh.drop(i)
	} else if sh.idle > sh.limit {
		sh.forget()
	}
}

// Active returns how many places of the source are taken.
func (s *Sources) Active(a netip.Addr) int64 {
	k := keyOf(a)
	hash := s.secret.hash(k)
	sh := s.lock(hash)
	defer sh.mu.Unlock()
	if i := sh.table.find(k, hash); i >= 0 {
		return int64(sh.table.entries[i].active)
	}
	return 0
}

// Len returns how many sources are remembered.
func (s *Sources) Len() (n int) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += sh.table.used
		sh.mu.Unlock()
	}
	return n
}

// Evicted returns how many sources were forgotten before their bucket was full again, as far as was known from the latest Take.
func (s *Sources) Evicted() (n uint64) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += sh.evicted
		sh.mu.Unlock()
	}
	return n
}

// tick returns the time, which in a shard never goes back. Otherwise what a caller forgets, because by its clock the bucket is full, would be
// given once more to one whose clock is behind.
func (sh *shard) tick(now int64) int64 {
	if !sh.begun || now > sh.now {
		sh.now, sh.begun = now, true
	}
	return sh.now
}

// sweepSlots is how many slots are looked at for each new source. Sources that stay away are dropped in the time that a quarter as many new
// ones as there are slots take to come.
const sweepSlots = 4

// sweep drops those of a few entries that have no connections and are full.
func (sh *shard) sweep() {
	for range min(sweepSlots, len(sh.table.entries)) {
		if sh.reusable(sh.next()) {
			sh.drop(sh.hand) // and look there again: another one may have moved in
		} else {
			sh.hand++
		}
	}
}

// forgetAmong is how many sources without connections are compared when one has to be forgotten. If half of them owe a lot and half a little, one
// in 2^5 of the forgotten is one that owes a lot.
const forgetAmong = 5

// forget drops one entry without connections; there is one. It is the first that is full, or of a few the one closest to it. How many slots
// that looks at is a matter of how many entries have connections: some ten if few of them have, some 160 if a million have at DefaultIdle.
func (sh *shard) forget() {
	closest, missing := -1, int64(0)
	for range min(forgetAmong, sh.idle) {
		for !sh.table.entries[sh.next()].idle() {
			sh.hand++
		}
		m := sh.table.entries[sh.hand].debt.since(sh.now)
		if m == 0 {
			sh.drop(sh.hand)
			return
		}
		if closest < 0 || m < missing {
			closest, missing = sh.hand, m
		}
		sh.hand++
	}
	sh.drop(closest)
	sh.evicted++
}

// next is the slot at hand.
func (sh *shard) next() int {
	if sh.hand >= len(sh.table.entries) {
		sh.hand = 0
	}
	return sh.hand
}

// reusable reports whether the entry says no more than no entry would.
func (sh *shard) reusable(i int) bool {
	e := &sh.table.entries[i]
	return e.idle() && e.debt.since(sh.now) == 0
}

// drop removes an entry without connections.
func (sh *shard) drop(i int) {
	sh.table.remove(i)
	sh.idle--
}
