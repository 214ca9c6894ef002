package flow

import (
	"math"
	"math/bits"
	"time"

	"weir/eventloop"
)

// Key names a flow as a datagram shows it: who wrote to which of our addresses through which socket.
type Key struct {
	Client [16]byte // address, IPv4 mapped into IPv6
	Local  [16]byte // the address the client wrote to; zero where the socket is bound to one
	Zone   uint32   // interface index of a link-local client
	Socket uint32   // which socket of the loop
	Tag    uint32   // tells flows of one client apart that go to different endpoints; 0 = its first
	Port   uint16   // the client's
}

// Rules are how flows of one listener end. They are immutable; a flow keeps the ones it began with.
type Rules struct {
	Idle        time.Duration // without a datagram either way; 0 = never
	MaxDuration time.Duration // since it began; 0 = never
	Responses   int64         // datagrams that the endpoint owes for each of the client's; 0 = not counted
}

// ID is a live flow's number: small, the same as long as the flow lives, given to another one after that. The zero ID names none.
type ID uint32

// Action is what to do with datagrams.
type Action uint8

const (
	Open    Action = iota // there is no such flow
	Forward               // to the other side
	End                   // forward them; the flow has had all its answers
)

// entry is a flow. What every datagram touches comes first, within 64 bytes.
type entry[T any] struct {
	key     Key
	last    int64  // when a datagram came, either way
	rules   *Rules // nil = not live
	owed    int64  // answers, never below 0; stays 0 where they aren't counted
	started int64
	timer   eventloop.TimerID // 0 = none
	hash    uint32
	value   T
}

// Table holds the flows of one loop, each with a T of the caller's. It grows with the flows and never shrinks; in steady state it
// allocates nothing. How many there may be is the caller's to say.
type Table[T any] struct {
	secret  secret
	index   index
	entries eventloop.Slab[entry[T]]
	wheel   *eventloop.Wheel
}

// New returns an empty table at now (nanoseconds). Whoever knows the seed can make its lookups slow: it comes from a random source.
func New[T any](seed uint64, now int64) *Table[T] {
	t := &Table[T]{secret: newSecret(seed), index: newIndex(), wheel: eventloop.NewWheel(now)}
	t.entries.Get() // ID 0 means none
	return t
}

// Arrive says where n datagrams of a client belong. Forward: to the flow with that ID, which counted them and was touched. Open: there
// is none, and nothing changed.
func (t *Table[T]) Arrive(k *Key, n int, now int64) (ID, Action) {
	hash := t.secret.hash(k)
	for i := t.index.home(hash); ; i = t.index.after(i) {
		b := t.index.buckets[i]
		if b.id == 0 {
			return 0, Open
		}
		if b.hash != hash {
			continue
		}
		if e := t.entries.At(uint32(b.id)); e.key.is(k) {
			e.asked(n, now)
			return b.id, Forward
		}
	}
}

// Insert begins a flow under k, which must not be there. It is touched now and owed nothing yet (see Owe). The T is zero.
func (t *Table[T]) Insert(k *Key, r *Rules, now int64) (ID, *T) {
	i, e := t.entries.Get() // all zero: new, or as Remove left it
	id := ID(i)
	e.key, e.rules, e.last, e.started = *k, r, now, now
	e.hash = t.secret.hash(k)
	t.index.add(e.hash, id)
	t.start(id, e)
	return id, &e.value
}

// Owe counts n datagrams of the client that went to a flow by other ways than Arrive: those it was begun for.
func (t *Table[T]) Owe(id ID, n int, now int64) { t.at(id).asked(n, now) }

// Answer counts n datagrams of the endpoint. It says End when none is owed any more, also to those that never were. What comes beyond
// isn't credited to what the client asks next.
func (t *Table[T]) Answer(id ID, n int, now int64) Action {
	e := t.at(id)
	e.last = now
	if e.rules.Responses <= 0 {
		return Forward
	}
	if e.owed > int64(n) {
		e.owed -= int64(n)
		return Forward
	}
	e.owed = 0
	return End
}

// Remove ends a flow and zeroes its T; its ID may be another's at the next Insert.
func (t *Table[T]) Remove(id ID) {
	e := t.at(id)
	t.index.remove(e.hash, id)
	t.wheel.Stop(e.timer)
	*e = entry[T]{} // the garbage collector shall not find the Rules and what T points to
	t.entries.Put(uint32(id))
}

// At returns the caller's part of a live flow, which stays in its place until Remove.
func (t *Table[T]) At(id ID) *T { return &t.at(id).value }

// Key returns the key of a live flow, for reading and until Remove.
func (t *Table[T]) Key(id ID) *Key { return &t.at(id).key }

// Started returns when a live flow began.
func (t *Table[T]) Started(id ID) int64 { return t.at(id).started }

// Last returns when the last datagram of a live flow came, from either side.
func (t *Table[T]) Last(id ID) int64 { return t.at(id).last }

// Live reports whether the ID names a flow. Any ID may be asked for.
func (t *Table[T]) Live(id ID) bool { return uint32(id) < t.Cap() && t.at(id).rules != nil }

// Len returns how many flows are live.
func (t *Table[T]) Len() int { return t.entries.Len() - 1 }

// Cap returns what every ID so far is below.
func (t *Table[T]) Cap() uint32 { return t.entries.Cap() }

func (t *Table[T]) at(id ID) *entry[T] { return t.entries.At(uint32(id)) }

// asked counts n datagrams of the client. A debt that is too large to count stays the largest there is.
func (e *entry[T]) asked(n int, now int64) {
	e.last = now
	if e.rules.Responses <= 0 {
		return
	}
	high, low := bits.Mul64(uint64(n), uint64(e.rules.Responses))
	sum, carry := bits.Add64(low, uint64(e.owed), 0)
	if high|carry != 0 || sum > math.MaxInt64 {
		sum = math.MaxInt64
	}
	e.owed = int64(sum)
}
