// Package l4 holds what TCP sessions and UDP flows share: clusters and their endpoints, routes, close reasons and the
// counters that loops write.
//
// Owner of its state: a Cluster, its Target and Routes are immutable and published by whoever builds them; counters have
// one writer, the loop whose index they have, and any number of readers; the balancer's state in package lb is the process's.
//
// Layer: l4 may import eventloop and lb, and is imported by l7 and cmd/weir.
package l4
