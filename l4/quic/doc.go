// Package quic says what a load balancer may know of QUIC packets: the header that is the same in all versions (RFC 8999), the server
// ID that a server wrote into a connection ID (draft-ietf-quic-load-balancers), and the server name and protocols of the ClientHello,
// which the client's Initial packets of versions 1 and 2 carry under keys that anyone can derive (RFC 9001, section 5.2; RFC 9369).
//
// It is pure: bytes in, facts out. No sockets, clocks or goroutines; nothing is decrypted that isn't public, no datagram is changed, and
// nothing that comes from the network panics.
//
// Owner of its state: ParseHeader and ServerID have none. A Hello belongs to the one loop that owns the flow it collects for.
//
// Layer: l4. It imports nothing of weir.
package quic
