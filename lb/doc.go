// Package lb chooses the endpoint of a connection. It is pure: no sockets,
// files, goroutines, clocks or global random numbers. Layer 4 and layer 7 share
// it, and it imports nothing of the project.
//
// A Set is the members of a cluster with a policy; Pick chooses one of them for
// a Request and takes a place on its Endpoint; Release gives the place back.
//
//	Endpoint  live counter of an address, for as long as the cluster has it
//	   ^
//	Member    Endpoint + weight, limit, state, health: one generation's view
//	   ^
//	Set       members + policy: immutable, replaced by Next
//
//	place:   free --Pick: Picked--> taken --Endpoint.Release--> free
//
// # Who owns what
//
// The state is the process's, not a loop's. Endpoints and sets belong to
// whoever builds the configuration, and all loops call Pick and Release on them
// at the same time, without locks. What a policy promises holds for the
// process: limits are never overshot, shares of round robin are exact, and
// least connections are the least of all loops. A Request, with its Rand and
// Tried, belongs to one loop, which uses it again for every connection.
//
// Health comes from outside: lb/health and lb/outlier are the machines that
// judge an endpoint, and whoever runs them publishes a new Set with each
// change. What the Set makes of it (levels, backups, panic) is in level.go.
//
// A change makes a new Set by Next with the same Endpoints; the old one goes on
// working for those that still have it, on the same counters.
//
// # What a Pick costs
//
// It never allocates. RoundRobin, Random, P2C, RingHash and Maglev take about
// the same time whatever the number of members, as long as they find room
// soon; First walks to the first with room. LeastConnections looks at all
// members (see BenchmarkPick: tens of microseconds at 10,000), except where
// equals are idle, and HashBalance sums up the connections of all. So does any
// policy before it says that all are Full.
package lb
