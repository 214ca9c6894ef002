// Package flow is the table of UDP flows: which datagrams belong together, how many answers an endpoint still owes, and when a flow
// that nobody ends is over.
//
// It is pure: a Key, `now` and numbers of datagrams in, an ID and an Action out. No sockets, clocks, goroutines or randomness. What the
// caller wants to know of a flow, such as its socket and its endpoint, is a value T inside the table's entry.
//
//	  Arrive: Open                     Arrive: Forward, Owe
//	 ┌───────────┐                    ┌────────┐
//	 v           │  Insert            │        v
//	no such flow ┴─────────────────> live ─────┐ Answer: Forward
//	     ^                            │ ^──────┘
//	     │                            ├── Answer: End, the last answer that was owed
//	     │           Remove           ├── Advance: Idle, no datagram either way for Rules.Idle
//	     └────────────────────────────┼── Advance: Aged, it began Rules.MaxDuration ago
//	                                  └── the caller's own reasons
//
// The table never ends a flow itself: it says that one is over, and the caller Removes it, once it has closed what T holds. A flow
// that was said to have all its answers and stays is owed more as soon as its client asks again.
//
// Expiry is lazy. A datagram only writes down when it came; the one timer of a flow looks at that when it fires, and starts again
// for what is left. So a datagram costs a hash, a probe and a cache line or two, and a busy flow a timer each Rules.Idle.
//
// `now` is in nanoseconds of a clock that never goes back, the loop's, and the same one in all calls of a table.
//
// Owner of its state: a Table belongs to one loop. Rules are immutable and may be shared by all.
//
// Layer: l4. Of weir it imports eventloop, for its slab and its timing wheel.
package flow
