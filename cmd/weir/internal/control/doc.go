// Package control owns what runs: the loops, the listeners' sockets, the limit of the process, and the change from one
// configuration to the next.
//
//	        New                 Apply                      Shutdown
//	(nothing) ──> running ──────────────────> running ──────────────> draining ──> stopped
//	                 ^  └ translate, open sockets, start admin:  an error undoes it, nothing has changed
//	                 └─── hand over to the loops, publish a View, close what was replaced
//
// A change keeps every socket that the new configuration still wants, whichever listener had it: a listener that gets
// another address, or another name, goes on with duplicates of the descriptors it or its predecessor had, so that not even a
// connection in the accept queue, or datagram in a buffer, is lost. Socket options are changed on the open sockets.
//
// Endpoints come from the configuration or from resolve. Apply has the resolver look for what the next configuration asks for and waits for first answers,
// with nothing locked but other changes; what is found later is a change like any other. A cluster about whose endpoints nothing is known keeps those it has.
//
// What could be done only in part (a loop had no memory for a socket, say), or couldn't be taken up of what was discovered, is tried again once a second.
//
// Locks, outermost first: changing (one change at a time), the Control's mutex, then those of monitor.Monitor and resolve.Resolver, neither of which calls
// back under its own. Stopping takes none of them while it waits.
//
// Owner of its state: the Control, under its mutex; the loops own the descriptors it opened. The View is immutable and published
// atomically. Layer: cmd/weir; it imports build, resolve, admin, stats, config, l4 and what is below it, and eventloop.
package control
