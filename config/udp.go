package config

import (
	"strings"
	"time"
)

// UDP is what only a UDP listener has: listeners.NAME.udp. A flow is what goes
// between one address and port of a client and the endpoint chosen for it.
type UDP struct {
	// Responses ends a flow when its endpoint has sent so many datagrams for
	// each of the client's, up to 65535; 0 leaves that to the timeouts.
	Responses int64
	// MaxFlows is the most flows of the listener at once, over all loops, 1 to
	// 2147483647. Above it new flows are shed; those under way go on.
	MaxFlows int64
	// PerPacket balances each datagram by itself, without a flow. What endpoints
	// answer reaches nobody and is counted.
	PerPacket bool
	// QUIC routes by connection ID (Endpoint.ServerID), so that a connection
	// keeps its endpoint when its client's address changes, and lets routes
	// match by server name (Route.SNI).
	QUIC bool
	// ReceiveBuffer and SendBuffer are SO_RCVBUF and SO_SNDBUF in bytes before
	// the kernel doubles them (socket(7)), 4096 to 268435456, of the listener's
	// sockets and of those to endpoints. 0 is as much as the kernel allows up to
	// 4 MiB for the listener's; for the others up to 1 MiB to receive, and the
	// kernel's default to send.
	ReceiveBuffer, SendBuffer int64
}

const (
	maxResponses    = 65535
	maxSocketBuffer = 256 << 20   // bytes
	idleUDP         = time.Minute // idle_timeout of a UDP listener that says none
)

func udpTable() table[UDP] {
	return table[UDP]{
		entries: []entry[UDP]{
			key(integer[int64](0, maxResponses), func(u *UDP) *int64 { return &u.Responses }, doc{
				name: "responses", def: int64(0), example: "1",
				help: "A flow ends when its endpoint has sent so many datagrams for each of the client's, up to 65535: 1 for DNS. 0 leaves that to idle_timeout."}),
			key(integer[int64](0, maxCount), func(u *UDP) *int64 { return &u.MaxFlows }, doc{
				name: "max_flows", def: int64(65536), zeroIsDefault: true, example: "200000",
				help: "Most flows of this listener at once, over the whole process. Above it new flows are shed; those under way go on."}),
			key(boolean(), func(u *UDP) *bool { return &u.PerPacket }, doc{
				name: "per_packet", def: false, example: "true",
				help: "Balance each datagram by itself, without a flow. For protocols of one direction (syslog, statsd): answers reach nobody and are counted."}),
			key(boolean(), func(u *UDP) *bool { return &u.QUIC }, doc{
				name: "quic", def: false, example: "true",
				help: "Route QUIC by connection ID (QUIC-LB, with the endpoints' server_id in plain text), and by the server name of Initial packets where a route has sni."}),
			key(size(minBuffer, maxSocketBuffer), func(u *UDP) *int64 { return &u.ReceiveBuffer }, doc{
				name: "receive_buffer", def: int64(0), example: `"8MiB"`,
				help: "SO_RCVBUF of the listener's sockets and of those to endpoints, 4KiB to 256MiB; weir says so when net.core.rmem_max cut it. 0 is as much as the kernel allows up to 4MiB for the listener's, up to 1MiB for the others."}),
			key(size(minBuffer, maxSocketBuffer), func(u *UDP) *int64 { return &u.SendBuffer }, doc{
				name: "send_buffer", def: int64(0), example: `"8MiB"`,
				help: "SO_SNDBUF of the same sockets, what cuts it is net.core.wmem_max. 0 is as much as the kernel allows up to 4MiB for the listener's, the kernel's default for the others."}),
		},
		check: checkUDP,
	}
}

// checkUDP finds keys that exclude each other.
func checkUDP(r *reader, at *keyPath, n *node, u *UDP) {
	if u.PerPacket && u.Responses != 0 {
		r.say(at.key("responses"), n.child("responses"), "ends flows, and with per_packet there are none: leave one of the two out")
	}
	if u.PerPacket && u.QUIC {
		r.say(at.key("per_packet"), n.child("per_packet"), "would scatter the datagrams of a QUIC connection: leave it or quic out")
	}
	if u.QUIC && u.Responses != 0 {
		r.say(at.key("responses"), n.child("responses"), "would end QUIC connections under way: leave it or quic out")
	}
}

// onlyTCP is the keys of a listener that mean nothing to UDP, and what to do
// instead.
var onlyTCP = map[string]string{
	"backlog":            "there is no accept queue; what waits is in udp.receive_buffer",
	"max_connections":    "for UDP it is udp.max_flows",
	"half_close_timeout": "there is no FIN; a flow ends by idle_timeout, max_duration or udp.responses",
	"buffer":             "nothing is held for a slow peer; the sockets' buffers are udp.receive_buffer and udp.send_buffer",
	"tcp":                "its sockets have the keys of udp",
}

// checkProtocol fills in the default that depends on the protocol, and finds
// keys that mean nothing to it. A default that is spelled out says nothing wrong.
func checkProtocol(r *reader, at *keyPath, n *node, l *Listener) {
	if l.misread(n) {
		return
	}
	if l.Protocol == ProtocolUDP {
		checkPerPacket(r, at, n, l)
		if n.child("idle_timeout") == nil {
			l.IdleTimeout = idleUDP
		}
		checkOnlyTCP(r, at, n, l)
	} else if udp := n.child("udp"); udp != nil && udp.table != nil && l.UDP != udpTable().defaults() {
		r.missing(at.key("udp"), udp, `means nothing to a TCP listener: it needs protocol = "udp"`)
	}
	if l.Protocol == ProtocolUDP && l.UDP.QUIC {
		return
	}
	works := "udp.quic = true"
	if l.Protocol != ProtocolUDP {
		works = `protocol = "udp" and ` + works
	}
	for i := range l.Routes {
		if len(l.Routes[i].SNI) > 0 {
			r.missing(at.key("routes").element(i).key("sni"), n.child("routes").element(i).child("sni"), "sni works with %s so far", works)
		}
	}
}

// checkPerPacket finds limits of flows where there are none: they would keep
// nobody out.
func checkPerPacket(r *reader, at *keyPath, n *node, l *Listener) {
	if !l.UDP.PerPacket {
		return
	}
	const none = "counts flows, and with udp.per_packet there are none: leave one of the two out"
	if l.Rate != rateTable().defaults() {
		r.say(at.key("rate"), n.child("rate"), none)
	}
	if l.MaxConnectionsPerSource != 0 {
		r.say(at.key("max_connections_per_source"), n.child("max_connections_per_source"), none)
	}
}

// checkOnlyTCP finds keys of onlyTCP that a UDP listener has.
func checkOnlyTCP(r *reader, at *keyPath, n *node, l *Listener) {
	t := listenerTable()
	plain := t.defaults()
	for _, path := range t.changed(&plain, l) {
		name, below, nested := strings.Cut(path, ".")
		instead, ok := onlyTCP[name]
		where, value := at.key(name), n.child(name)
		if nested {
			where, value = where.key(below), value.child(below)
		}
		if ok && value != nil { // nil below what should have been a table, which was said
			r.say(where, value, "means nothing to a UDP listener: %s", instead)
		}
	}
}

// misread tells whether the protocol in the document is none, which was said:
// nothing follows from the one in its place.
func (l *Listener) misread(n *node) bool { return misread(n.child("protocol"), string(l.Protocol)) }
