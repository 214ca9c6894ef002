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
// Owner of its state: the Control, under its mutex; the loops own the descriptors it opened. The View is immutable and published
// atomically. Layer: cmd/weir; it imports build, admin, stats, config, l4, l4/tcp, l4/udp and eventloop.
package control
