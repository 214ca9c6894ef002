package l4

import "weir/l4/access"

// CloseReason says who ended a session or a flow, and when. Each ends with exactly one.
type CloseReason uint8

// The reasons. Downstream is the client's side, upstream the endpoint's.
const (
	// Complete ends: both sides have sent FIN, everything was delivered; or all answers were.
	DownstreamClosed CloseReason = iota // the client sent the first FIN
	UpstreamClosed                      // the endpoint sent the first FIN
	Answered                            // a flow whose client got all udp.responses

	// Aborts while bytes could flow.
	DownstreamReset // the client reset the connection
	UpstreamReset   // the endpoint reset the connection after it had sent something
	UpstreamRefused // the endpoint reset the connection before its first byte
	DownstreamLost  // the client stopped acknowledging: keepalive or user timeout, or its host became unreachable
	UpstreamLost    // the same for the endpoint

	// Never established.
	DownstreamGone // the client reset the connection while the endpoint was being connected
	ConnectRefused // the last connect attempt met ECONNREFUSED
	ConnectTimeout // the last connect attempt had no answer within connect_timeout
	ConnectFailed  // the last connect attempt failed otherwise: unreachable, no local port
	NoCluster      // no route matched and the listener has no cluster
	NoEndpoint     // no endpoint of the cluster takes new connections
	EndpointsFull  // all endpoints of the cluster stand at their max_connections
	ClusterFull    // the cluster stands at its limits.max_connections
	PendingFull    // so many wait for a place of the cluster already: limits.max_pending
	PendingTimeout // waited limits.pending_timeout for a place of the cluster
	RetryLimit     // the connect attempt failed, and limits.max_retries or retry_budget left no other
	NoDescriptors  // the process had no descriptor for the endpoint's socket

	// Not let in.
	Denied            // the client's address is in deny, or not in allow
	RateLimited       // the listener stands at rate.connections
	SourceRateLimited // the client stands at rate.per_source
	SourceLimit       // the client stands at max_connections_per_source

	// weir's own doing.
	IdleTimeout      // idle_timeout without a byte, or a datagram
	HalfCloseTimeout // half_close_timeout without a byte after one side's FIN
	MaxDuration      // max_duration is over
	Displaced        // idle, and gave way to a new client at the process's max_connections
	EndpointDown     // its endpoint went down, in a cluster with on_down = "close"
	Overloaded       // idle, and ended because the process ran short of descriptors or memory
	Drained          // ended by a drain: shutdown, or its listener or endpoint was removed
	Internal         // a system call failed in a way that has no name here

	NumReasons
)

var reasonNames = [NumReasons]string{
	"downstream_closed", "upstream_closed", "answered",
	"downstream_reset", "upstream_reset", "upstream_refused", "downstream_lost", "upstream_lost",
	"downstream_gone", "connect_refused", "connect_timeout", "connect_failed",
	"no_cluster", "no_endpoint", "endpoints_full", "cluster_full", "pending_full", "pending_timeout", "retry_limit", "no_descriptors",
	"denied", "rate_limited", "source_rate_limited", "source_limit",
	"idle_timeout", "half_close_timeout", "max_duration", "displaced", "endpoint_down", "overloaded", "drained", "internal",
}

// String returns the name that counters and logs use.
func (r CloseReason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Refusal reports whether the session never reached an endpoint for a reason on weir's or the endpoints' side.
func (r CloseReason) Refusal() bool { return r >= ConnectRefused && r <= SourceLimit }

// ByRule reports whether the client was not let in, by the listener's rules about who may come.
func (r CloseReason) ByRule() bool { return r >= Denied && r <= SourceLimit }

// ReasonOf is why a connection ends that was not let in.
func ReasonOf(r access.Refusal) CloseReason {
	switch r {
	case access.Denied:
		return Denied
	case access.RateLimited:
		return RateLimited
	case access.SourceRateLimited:
		return SourceRateLimited
	case access.SourceLimit:
		return SourceLimit
	}
	return Internal
}
