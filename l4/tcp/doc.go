// Package tcp runs TCP sessions: a client's connection, the endpoint's, and the bytes between them.
//
// Where a session's code is: listener.go accepts it, connect.go finds its endpoint, pump.go moves its bytes, deadline.go ends it
// when nothing moves, session.go holds its state and its end, drain.go ends many of them gently.
//
// A direction begins by copying through the loop's buffer and turns to splice(2) when reads are large. FIN and RST pass through as
// what they are: half-closed sessions go on, and what was cut short ends in a reset and never looks complete.
//
// Owner of its state: a Proxy and its sessions belong to one loop. Shared, Listener and the counters are the process's: atomics.
// Settings are immutable. Layer: l4; it imports eventloop, lb and l4.
package tcp
