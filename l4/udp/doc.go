// Package udp runs UDP flows: a client's datagrams, the endpoint's, and the way between them.
//
// A flow is a client's address and port, and the address that it wrote to. It has a connected socket of its own to its endpoint, so that the
// kernel finds whose the answers are and reports ICMP errors. Where the code of a flow is: listener.go has the sockets that clients write to,
// receive.go takes datagrams in and finds the endpoint of a new flow, upstream.go connects sockets to endpoints, pool.go keeps those that have no flow, send.go sends datagrams on,
// failure.go deals with those that could not be sent, flow.go ends flows, drain.go ends many of them gently, sweep.go those that rest when the process runs
// short of something, quic.go knows connection IDs.
//
// A turn of the loop fills an eventloop.Inbox from many sockets. Only then is everything sent, with one system call where that can be had. What was
// coalesced when it came (UDP_GRO) goes on as it is (UDP_SEGMENT), and so do runs of one flow's datagrams of one size. Datagrams keep their
// boundaries, and their order within a flow.
//
// Owner of its state: a Proxy and its flows belong to one loop. l4.Shared, l4.Listener and the counters are the process's: atomics. Settings are
// immutable. Layer: l4; it imports eventloop, lb, lb/health, l4, l4/access, l4/flow and l4/quic.
package udp
