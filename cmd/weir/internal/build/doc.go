// Package build translates a configuration into what the loops run: it is the only place where options of the packages that do
// the work are made from a config.Snapshot.
//
// Next makes the successor of what runs now and changes nothing of it, so that a step that fails later can throw the successor
// away. What kept its name keeps its identity: a listener its *l4.Listener, a cluster its counters and the place of its round-robin
// cursor, an address of a cluster its *l4.Endpoint. What did not change at all is the same pointer as before.
//
// Owner of its state: nobody; a Running is immutable once made. Layer: cmd/weir; it imports config, l4, l4/tcp, l4/udp, l4/flow, lb and eventloop.
package build
