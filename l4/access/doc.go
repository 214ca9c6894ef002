// Package access says who may come in: which addresses, how often, and how many at once.
//
// It is pure: an address and `now` in, a Refusal or none out. No sockets, clocks, goroutines or randomness but a seed. It isn't told whether it
// was a connection or the first datagram of a flow that came.
//
//	an address ──> Filter ──> its source's places ──> its source's rate ──> the listener's rate ──> in
//	                 │                │                      │                      │
//	               Denied        SourceLimit         SourceRateLimited         RateLimited
//
// A Gate is what one listener has for the whole process, and Rules are what is asked of it; the Gate stays when the Rules change. Who is
// refused has taken nothing: no token of the listener when it is the source that has too many, no place or token of the source when it is
// the listener that has none.
//
// `now` is in nanoseconds of one monotonic clock, the same one for all callers, wherever it began. They may have read it at different times, such as
// once a turn of their loops: one that is behind another by less than a second never gets more for it.
//
// Owner of its state: none of the loops; a Bucket is one atomic word, and Sources are in shards with a mutex each, held for some tens of
// nanoseconds. So limits hold exactly over all loops. Filters, Rates and Rules are immutable.
//
// Layer: l4. Of weir it imports lb, for its generator.
package access
