// Package monitor decides which endpoints of a cluster take connections, from checks and from traffic, and publishes what it has decided as the
// cluster's next lb.Set. There is one Monitor in a process, beside the loops.
//
//	l4/probe ──result──> lb/health ──┐
//	                                 ├──> l4.Condition ──> members ──> lb.Set ──> Cluster.Publish ──> all loops
//	loops ──l4.Conduct─> lb/outlier ─┘        │
//	                                          └──> logs, stats, on_down
//
// Follow tells it what there is to watch, after each change of the configuration. An endpoint that stays keeps what is known of it.
//
// What a result changes is published at once, but clusters that are expensive to build no more than a tenth of the time: then some
// changes go together.
//
// An endpoint that goes down is told to on_down when the set without it is published: what begins afterwards doesn't begin there.
//
// Owner of its state: the Monitor, under one mutex that no loop ever takes. It is held while a set is built, and never while something is logged or
// Options.Down is called: three goroutines beside those of the checks publish, log, and begin checks. Its order among locks: after those of who calls
// Follow, before the probe.Runner's and l4.Places'. Layer: l4; it imports lb, l4 and l4/probe.
package monitor
