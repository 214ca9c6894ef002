// Command gnet is a TCP proxy on the engine of github.com/panjf2000/gnet/v2, as
// a user of that library would write it: the contender "gnet", the baseline of a
// generic event loop in Go.
//
//	gnet -listen 127.0.0.1:8000 -backend 127.0.0.1:9000
//
// It runs two event loops, gnet's defaults otherwise (level-triggered, 64 KiB
// read buffer, TCP_NODELAY, clients given to the loops in turn). The backend is
// dialled with EventLoop.Register, which puts the connection on the client's
// loop, so that a session needs no lock and writes without a queue.
//
// What gnet v2.9 can't do this can't do either: it has no half-close (the first
// FIN ends the session) and no way to stop reading, so that what a slow peer
// doesn't take is kept in memory without a bound.
//
// A session belongs to the event loop of its client. Layer: bench, imports
// nothing of weir.
package main
