package l4

import "weir/l4/access"

// Drop says why a datagram went nowhere. Every datagram that came and was not sent on has exactly one; what the kernel threw away before weir
// saw it is ReceiveOverflow.
type Drop uint8

// The reasons.
const (
	// No flow could begin; flows that there are go on.
	DropMaxFlows          Drop = iota // the listener stands at udp.max_flows
	DropMaxConnections                // the process stands at its max_connections, or has no descriptor left for a flow
	DropNoCluster                     // no route matched and the listener has no cluster
	DropNoEndpoint                    // no endpoint of the cluster takes new flows
	DropEndpointsFull                 // all endpoints of the cluster stand at their max_connections
	DropClusterFull                   // the cluster stands at its limits.max_connections
	DropDenied                        // the client's address is in deny, or not in allow
	DropRateLimited                   // the listener stands at rate.connections
	DropSourceRateLimited             // the client stands at rate.per_source
	DropSourceLimit                   // the client stands at max_connections_per_source
	DropOverloaded                    // the process ran short of descriptors or memory
	DropNoDescriptors                 // the process had no descriptor for the endpoint's socket
	DropNoPorts                       // no local port was free for the endpoint's socket
	DropConnectFailed                 // the endpoint's socket could not be connected otherwise: no route
	DropDraining                      // the listener or the process drains and takes no new flows

	// It could not be sent on.
	DropRefused     // the endpoint's host has no such port (ICMP port unreachable), or the client's
	DropUnreachable // the network or the host can't be reached
	DropTooBig      // larger than the path takes, where fragments aren't allowed
	DropBufferFull  // the sending socket's buffer was full
	DropSendFailed  // any other failure to send

	DropNoFlow          // an answer to nobody: its flow has ended, or per_packet has none; or what a stranger sent to a flow's port
	DropHeld            // held back until its server name was known, and given up
	DropReceiveOverflow // the receiving socket's buffer was full: the kernel dropped it (SO_RXQ_OVFL)

	NumDrops
)

var dropNames = [NumDrops]string{
	"max_flows", "max_connections", "no_cluster", "no_endpoint", "endpoints_full", "cluster_full",
	"denied", "rate_limited", "source_rate_limited", "source_limit", "overloaded", "no_descriptors", "no_ports", "connect_failed", "draining",
	"refused", "unreachable", "too_big", "buffer_full", "send_failed",
	"no_flow", "held", "receive_overflow",
}

// String returns the name that counters use.
func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}

// Refusal reports whether it was a new client's that got no flow.
func (d Drop) Refusal() bool { return d <= DropConnectFailed }

// ByRule reports whether the client was not let in, by the listener's rules about who may come.
func (d Drop) ByRule() bool { return d >= DropDenied && d <= DropSourceLimit }

// DropOf is why the datagrams of a flow go nowhere that was not let in.
func DropOf(r access.Refusal) Drop {
	switch r {
	case access.RateLimited:
		return DropRateLimited
	case access.SourceRateLimited:
		return DropSourceRateLimited
	case access.SourceLimit:
		return DropSourceLimit
	}
	return DropDenied
}
