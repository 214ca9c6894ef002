package stats

import "weir/l4"

// closeMeaning says what the reasons are for which a session or a flow ends.
var closeMeaning = [l4.NumReasons]string{
	l4.DownstreamClosed: "the client sent the first FIN; everything was delivered",
	l4.UpstreamClosed:   "the endpoint sent the first FIN; everything was delivered",
	l4.Answered:         "a flow whose client got all `udp.responses`",
	l4.DownstreamReset:  "the client reset the connection",
	l4.UpstreamReset:    "the endpoint reset the connection after it had sent something",
	l4.UpstreamRefused:  "the endpoint reset the connection before its first byte",
	l4.DownstreamLost:   "the client stopped acknowledging: keepalive or user timeout, or its host became unreachable",
	l4.UpstreamLost:     "the same for the endpoint",
	l4.DownstreamGone:   "the client reset the connection while the endpoint was being connected",
	l4.ConnectRefused:   "the last connect attempt was refused",
	l4.ConnectTimeout:   "the last connect attempt had no answer within `connect_timeout`",
	l4.ConnectFailed:    "the last connect attempt failed otherwise: unreachable, no local port",
	l4.NoCluster:        "no route matched and the listener has no cluster",
	l4.NoEndpoint:       "no endpoint of the cluster took new connections, or the flow when it had to move",
	l4.EndpointsFull:    "all endpoints of the cluster stood at their `max_connections`",
	l4.NoDescriptors:    "the process had no descriptor for the endpoint's socket",
	l4.IdleTimeout:      "`idle_timeout` without a byte, or a datagram",
	l4.HalfCloseTimeout: "`half_close_timeout` without a byte after one side's FIN",
	l4.MaxDuration:      "`max_duration` was over",
	l4.Displaced:        "idle, and gave way to a new client at the process's `max_connections`",
	l4.Drained:          "ended by a drain: shutdown, or its listener or endpoint was removed",
	l4.Internal:         "a system call failed in a way that has no name here",
}

// dropMeaning says what the reasons are for which a datagram goes nowhere.
var dropMeaning = [l4.NumDrops]string{
	l4.DropMaxFlows:        "no new flow: the listener stands at `udp.max_flows`",
	l4.DropMaxConnections:  "no new flow: the process stands at its `max_connections`, or has no descriptor left for one",
	l4.DropNoCluster:       "no new flow: no route matched and the listener has no cluster",
	l4.DropNoEndpoint:      "no endpoint of the cluster takes new flows",
	l4.DropEndpointsFull:   "all endpoints of the cluster stand at their `max_connections`",
	l4.DropNoDescriptors:   "no new flow: the process had no descriptor for the endpoint's socket",
	l4.DropNoPorts:         "no new flow: no local port was free for the endpoint's socket",
	l4.DropConnectFailed:   "no new flow: the endpoint's socket could not be connected otherwise, as for want of a route",
	l4.DropDraining:        "no new flow: the listener or the process drains",
	l4.DropRefused:         "the endpoint's host, or the client's, has no such port (ICMP port unreachable)",
	l4.DropUnreachable:     "the network or the host can't be reached",
	l4.DropTooBig:          "larger than the path takes, where fragments aren't allowed",
	l4.DropBufferFull:      "the sending socket's buffer was full; `udp.send_buffer` is its size",
	l4.DropSendFailed:      "any other failure to send",
	l4.DropNoFlow:          "an answer to nobody: its flow has ended, or with `udp.per_packet` there are none; or what a stranger sent to a flow's port",
	l4.DropHeld:            "held back until its server name was known, and given up",
	l4.DropReceiveOverflow: "the receiving socket's buffer was full, and the kernel dropped it; `udp.receive_buffer` is its size",
}
