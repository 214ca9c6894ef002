// Package stats says how weir is doing: numbers for people, for programs and for Prometheus.
//
//	View (what runs) --Sampler--> Report --+--> JSON
//	  |  counters of the loops             +--> WriteText, a page for people
//	  +--every 2 s--> rates, 10 s wide     +--> WriteMetrics, the Prometheus text format
//
// A View names what there is and is published anew by every change; nobody writes to one. A Sampler reads the counters behind
// the View, now and then for the rates and whenever a Report is asked for. Reading is all it does: no loop waits, or is even
// told. A Report is a copy of the numbers at one time, and its reader's own. Each number is exact, but they are read one after another while
// the loops go on, so that sums may differ by what happened in between.
//
// Directions: bytes that go from clients to endpoints go to_upstream ("in" for people), answers go to_downstream ("out"). A byte
// counts when it was given to the socket that it was meant for, as copied if it went through weir's memory, as spliced if the kernel moved it.
//
// An endpoint has three states, that are told apart: what the configuration wants of it (state), what checks and traffic have made of it (check, outlier; health is
// what the balancer makes of these), and what follows from it and all others: whether new connections go there (in_use). Who is out of service is
// judged by the first two, since a backup that isn't needed is not in use and well; what a cluster has left is judged by the last.
//
// That strangers are denied is what rules are for: it counts as refused, and needs no attention.
//
// A datagram counts when it was sent on, or as dropped with the reason for which it wasn't.
//
// Every Prometheus family stands in one table with its type, labels and help. WriteMetrics and WriteReference both work by it. Label values are names and addresses
// out of the configuration; there is none that a client could choose.
//
// Owner of its state: a Sampler's is guarded by its mutex; loops own the counters. Layer: cmd/weir, over eventloop, l4 and lb.
package stats
