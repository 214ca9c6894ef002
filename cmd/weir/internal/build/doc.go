// Package build translates a configuration into what the loops run: it is the only place where options of the packages that do
// the work are made from a config.Snapshot.
//
// Next makes the successor of what runs now and changes nothing of it, so that a step that fails later can throw the successor
// away. What kept its name keeps its identity: a listener its *l4.Listener, a cluster its counters and the place of its round-robin
// cursor, an address of a cluster its *l4.Endpoint. What did not change at all is the same pointer as before. Files that the
// configuration names (health.tls) are part of it: Reload reads them again, and only other contents make another check. Next, for endpoints that were
// discovered, leaves them alone.
//
// Owner of its state: nobody; a Running is immutable once made. Layer: cmd/weir; it imports config, l4 and what is below it, lb and eventloop.
package build
