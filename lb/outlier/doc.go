// Package outlier takes endpoints of a cluster out of use for a time when real traffic says that they are worse than
// the others: passive checks, which cost nothing and see what an active check doesn't.
//
// It is pure: what happened to connections or requests, as counts, and `now` in; ejections and the times they end out.
// No sockets, files, goroutines, locks, clocks or random numbers.
//
//	         Eject: Rules.Consecutive failures in a row
//	         Judge: success rate far below the mean
//	       ┌────────────────────────────────────────────┐
//	       │              multiplier + 1                v
//	    in use <──────────────────────────────────── ejected
//	     │  ^         Due: Until has come
//	     │  │         Return: an active check passed
//	     └──┘
//	Judge, after an Interval in use: multiplier - 1
//
// An ejection lasts Rules.Ejection times the multiplier, up to Rules.MaxEjection. No more than a share of the cluster is
// ejected at once: what most of the members do is no outlier, and somebody has to do the work.
//
// Failures in a row are counted by the caller, where they happen, and reported by Eject; it starts its count again when
// an endpoint comes back. Outcomes of an Interval come as Samples to Judge. All else is Envoy's outlier detection; the
// tables in the tests say where this differs on purpose.
//
// `now` is in nanoseconds of a clock that never goes back, the same one in all calls.
//
// Owner of its state: the Records of a cluster belong to the one loop or goroutine that judges it; they aren't safe for
// concurrent use. Rules are immutable and may be shared.
//
// Layer: lb. It imports nothing of weir.
package outlier
