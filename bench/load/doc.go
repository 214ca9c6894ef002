// Package load holds the load generators and the backend that weir and its
// peers are measured with.
//
// A proxy on loopback costs little more than the programs that load it, so the
// load must be cheap and must cost the same in every run: each generator, and
// the backend, is one loop on one thread with its own epoll instance, raw
// non-blocking system calls and buffers allocated before the clock starts.
// Nothing is allocated per round trip, byte or connection.
//
// Every byte that comes back is compared with what was expected. A short, long
// or altered answer ends the run with ErrCorrupt, a silent one with ErrStalled:
// a contender that loses data has no speed. Over UDP a datagram that doesn't come
// is ErrLost and one that is overtaken ErrReordered, unless the run tolerates so
// many; the boundaries of each are checked, too.
//
// The generators are plain structs ([RTT], [Bulk], [Conn], [Idle], [Open], [Mix],
// [UDPRTT], [UDPFlood], [UDPBulk], [DNS], [UDPIdle], [UDPOpen]) with a Run method that does a fixed
// amount of work and returns a [Result]; zero fields mean the documented
// defaults. [Backend] serves all of them in one loop, on one port for each
// service:
//
//	echo      TCP  whatever comes goes back                          RTT, Idle, Open
//	bulk      TCP  8-byte commands: send N, take N, or both at once  Bulk
//	once      TCP  64 bytes in, the same 64 out, close               Conn
//	mix       TCP  a first byte chooses: e as echo, b as bulk        Mix
//	udpecho   UDP  every datagram goes back                          UDPRTT, UDPFlood, UDPOpen
//	udpname   UDP  the same, and behind it the port it came from     UDPIdle
//	udpbulk   UDP  datagrams in super-datagrams, acknowledged        UDPBulk
//	dns       UDP  four addresses for any question                   DNS
//
// Datagrams move by recvmmsg and sendmmsg (Linux 3.0), bulk by UDP_SEGMENT (4.18)
// and UDP_GRO (5.0). Socket buffers are 16 MiB where the process may ask for it
// (CAP_NET_ADMIN), and net.core.rmem_max and wmem_max otherwise.
//
// State is owned by the goroutine that calls Run; only [Backend.Stop] may be
// called from another. The loops wait with a raw epoll_pwait of at most 50 ms,
// which keeps the Go scheduler out of the way, and yield to it whenever nothing
// came or a signal arrived, so that they can share a process with other
// goroutines in tests. For measuring, each runs in a process of its own with
// GOMAXPROCS=1: that is cmd/load.
//
// Layer: bench imports nothing of weir. Linux 5.11 or newer (epoll_pwait2).
package load
