// Command goio is a TCP proxy as Go's standard library has it: a goroutine for
// each direction, and io.Copy, which splices between TCP connections on Linux.
// It is the contender "go": what one gets from the runtime's own network poller
// without writing an event loop.
//
//	goio -listen 127.0.0.1:8000 -backend 127.0.0.1:9000
//
// GOMAXPROCS is 2, as every contender has two threads. A half-close is passed
// on; there are no timeouts, limits or logs. A session takes six descriptors,
// two sockets and two pipes: io.Copy has a pipe even while nothing flows.
//
// State is a session's two goroutines' own. Layer: bench, imports nothing of
// weir.
package main
