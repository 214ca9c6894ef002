package l4

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
	NoDescriptors  // the process had no descriptor for the endpoint's socket

	// weir's own doing.
	IdleTimeout      // idle_timeout without a byte, or a datagram
	HalfCloseTimeout // half_close_timeout without a byte after one side's FIN
	MaxDuration      // max_duration is over
	Displaced        // idle, and gave way to a new client at the process's max_connections
	Drained          // ended by a drain: shutdown, or its listener or endpoint was removed
	Internal         // a system call failed in a way that has no name here

	NumReasons
)

var reasonNames = [NumReasons]string{
	"downstream_closed", "upstream_closed", "answered",
	"downstream_reset", "upstream_reset", "upstream_refused", "downstream_lost", "upstream_lost",
	"downstream_gone", "connect_refused", "connect_timeout", "connect_failed",
	"no_cluster", "no_endpoint", "endpoints_full", "no_descriptors",
	"idle_timeout", "half_close_timeout", "max_duration", "displaced", "drained", "internal",
}

// String returns the name that counters and logs use.
func (r CloseReason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Refusal reports whether the session never reached an endpoint for a reason on weir's or the endpoints' side.
func (r CloseReason) Refusal() bool { return r >= ConnectRefused && r <= NoDescriptors }
