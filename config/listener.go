package config

import (
	"math"
	"net/netip"
	"strings"
	"time"
)

// Protocol is what a listener speaks on the wire.
type Protocol string

// The protocols.
const (
	ProtocolTCP Protocol = "tcp"
	ProtocolUDP Protocol = "udp"
)

// Balance is how new connections are spread over the loops.
type Balance string

// BalanceKernel leaves it to the kernel's SO_REUSEPORT hash (Linux 3.9).
const BalanceKernel Balance = "kernel"

// Listener is where connections, or datagrams, come in: [listeners.NAME]. On a
// UDP listener Backlog, MaxConnections, HalfCloseTimeout, Buffer and TCP have
// their defaults and mean nothing.
type Listener struct {
	Name string
	// Binds is at least one address, in the order given. IPv4 is never mapped
	// into IPv6.
	Binds []netip.AddrPort
	// V6Only keeps an IPv6 wildcard from taking IPv4 as well.
	V6Only   bool
	Protocol Protocol
	// Cluster takes the connections and flows that match no route; "" closes
	// them.
	Cluster string
	Routes  []Route
	// Backlog is the accept queue's length; 0 is net.core.somaxconn.
	Backlog int
	// MaxConnections bounds the listener's sessions; 0 does not.
	MaxConnections int64
	// IdleTimeout ends a session without a byte, or a flow without a datagram,
	// either way; 0 never does.
	IdleTimeout time.Duration
	// MaxDuration ends any session or flow of that age; 0 never does.
	MaxDuration time.Duration
	// HalfCloseTimeout ends a session without a byte once one side has sent
	// its FIN; 0 never does.
	HalfCloseTimeout time.Duration
	// Buffer is the most bytes a session holds for a slow peer, per direction.
	Buffer  int64
	Balance Balance
	// Allow is the networks that clients may come from, empty everywhere, and
	// Deny those that they may not, whatever Allow says.
	Allow, Deny []netip.Prefix
	Rate        Rate
	// MaxConnectionsPerSource bounds the sessions or flows of one client address
	// with this listener; 0 does not.
	MaxConnectionsPerSource int64
	TCP                     TCP
	UDP                     UDP
}

// TCP is the socket options of a listener's connections: listeners.NAME.tcp.
type TCP struct {
	FastOpen    bool // TCP_FASTOPEN (RFC 7413)
	DeferAccept bool // TCP_DEFER_ACCEPT
	// UserTimeout is TCP_USER_TIMEOUT (RFC 5482); 0 leaves it to the kernel.
	UserTimeout time.Duration
	// Keepalive is the idle time before probes; 0 sends none.
	Keepalive time.Duration
	// Congestion is the congestion control's name; "" is the kernel's default.
	Congestion string
}

// Route sends some of a listener's connections or flows elsewhere. The first
// route that matches wins; it matches when Source and SNI both do.
type Route struct {
	// SNI is the server names clients may ask for (RFC 6066), in lower case;
	// empty is any name, and none at all. "*.example.com" is every name that ends
	// in ".example.com", at whatever depth.
	SNI []string
	// Source is the networks clients may come from; empty is everywhere.
	Source []netip.Prefix
	// Cluster is where they go; "" when Split says it.
	Cluster string
	// Split shares them out by weight, sorted by cluster name; at least one
	// weight is not 0.
	Split []Share
}

// Share is one cluster's part of a split.
type Share struct {
	Cluster string
	Weight  uint32
}

const (
	maxCount  = math.MaxInt32       // of connections, a backlog
	maxWeight = 65535               // of an endpoint or a share
	maxBuffer = 16 << 20            // bytes
	minBuffer = 4 << 10             // bytes
	maxIdle   = 32767 * time.Second // tcp(7): MAX_TCP_KEEPIDLE
	maxUser   = math.MaxInt32 * time.Millisecond
	maxFlavor = 15 // bytes of a congestion control's name: TCP_CA_NAME_MAX without the zero
)

func listenerTable() table[Listener] {
	return table[Listener]{
		entries: []entry[Listener]{
			key(bindAddresses(), func(l *Listener) *[]netip.AddrPort { return &l.Binds }, doc{
				name: "bind", example: `["192.0.2.1:443", "[2001:db8::1]:443"]`,
				help: `Address and port to listen on, or a list of them. "[::]:443", ":443" and "*:443" take IPv4 as well unless v6_only is true. Required.`}),
			key(boolean(), func(l *Listener) *bool { return &l.V6Only }, doc{
				name: "v6_only", def: false, example: "true",
				help: `"[::]:443" takes IPv6 alone.`}),
			key(oneOf(ProtocolTCP, ProtocolUDP), func(l *Listener) *Protocol { return &l.Protocol }, doc{
				name: "protocol", def: "tcp", zeroIsDefault: true, example: `"udp"`,
				help: "What the listener speaks: TCP in sessions, or UDP in flows, a flow being what goes between an address and port of a client and its endpoint."}),
			key(plain(maxName, nil), func(l *Listener) *string { return &l.Cluster }, doc{
				name: "cluster", def: "", example: `"web"`,
				help: "Where a connection or flow goes when no route matches; without it such a one is closed and counted. A listener needs this or routes."}),
			key(routes(), func(l *Listener) *[]Route { return &l.Routes }, doc{
				name: "routes", example: `[{ source = ["10.0.0.0/8"], cluster = "inside" }]`,
				help: "Routes, also written [[listeners.NAME.routes]]. The first match wins; every field present has to match."}),
			key(integer[int](0, maxCount), func(l *Listener) *int { return &l.Backlog }, doc{
				name: "backlog", def: int64(0), example: "4096",
				help: "Length of the accept queue; 0 is net.core.somaxconn. TCP only."}),
			key(integer[int64](0, maxCount), func(l *Listener) *int64 { return &l.MaxConnections }, doc{
				name: "max_connections", def: int64(0), example: "20000",
				help: "Most connections of this listener at once: then accepting pauses, and others wait in the kernel's queue; 0 is no limit. TCP only; for UDP it is udp.max_flows."}),
			key(duration(0, 0), func(l *Listener) *time.Duration { return &l.IdleTimeout }, doc{
				name: "idle_timeout", def: "1h", udp: "1m", example: `"10m"`,
				help: `A session ends after so long without a byte either way, a flow without a datagram; "0s" is never.`}),
			key(duration(0, 0), func(l *Listener) *time.Duration { return &l.MaxDuration }, doc{
				name: "max_duration", def: "0s", example: `"24h"`,
				help: `A session or flow ends at this age; "0s" is never.`}),
			key(duration(0, 0), func(l *Listener) *time.Duration { return &l.HalfCloseTimeout }, doc{
				name: "half_close_timeout", def: "5m", example: `"1m"`,
				help: `Once one side has sent its FIN, a session ends after so long without a byte; "0s" is never. TCP only.`}),
			key(size(minBuffer, maxBuffer), func(l *Listener) *int64 { return &l.Buffer }, doc{
				name: "buffer", def: "64KiB", zeroIsDefault: true, example: `"256KiB"`,
				help: "Most bytes a session may hold for a slow peer, per direction: 4KiB to 16MiB. TCP only."}),
			key(oneOf(BalanceKernel), func(l *Listener) *Balance { return &l.Balance }, doc{
				name: "balance", def: "kernel", zeroIsDefault: true, example: `"kernel"`,
				help: "How new connections and flows are spread over the loops: by the kernel's hash."}),
			key(listOf(prefix(), `a list of networks such as ["10.0.0.0/8"]`), func(l *Listener) *[]netip.Prefix { return &l.Allow }, doc{
				name: "allow", example: `["10.0.0.0/8", "2001:db8::1"]`,
				help: "Networks and addresses of the clients that are served; empty is all of them. Others are turned away and counted."}),
			key(listOf(prefix(), `a list of networks such as ["10.0.0.0/8"]`), func(l *Listener) *[]netip.Prefix { return &l.Deny }, doc{
				name: "deny", example: `["203.0.113.0/24"]`,
				help: "Networks and addresses of clients that are turned away and counted, whatever allow says."}),
			key(rateTable().kind(), func(l *Listener) *Rate { return &l.Rate }, doc{
				name: "rate", example: `{ connections = "1000/s", per_source = "20/s" }`,
				help: "How fast new connections and flows may come; what is above is turned away and counted."}),
			key(integer[int64](0, maxCount), func(l *Listener) *int64 { return &l.MaxConnectionsPerSource }, doc{
				name: "max_connections_per_source", def: int64(0), example: "100",
				help: "Most connections or flows of one client address at once; 0 is no limit."}),
			key(tcpTable().kind(), func(l *Listener) *TCP { return &l.TCP }, doc{
				name: "tcp", example: `{ keepalive = "30s", congestion = "bbr" }`,
				help: "Socket options of the listener's connections. TCP only."}),
			key(udpTable().kind(), func(l *Listener) *UDP { return &l.UDP }, doc{
				name: "udp", example: "{ responses = 1 }",
				help: "Flows and sockets of the listener. UDP only."}),
		},
		check: checkListener,
	}
}

func tcpTable() table[TCP] {
	return table[TCP]{entries: []entry[TCP]{
		key(boolean(), func(t *TCP) *bool { return &t.FastOpen }, doc{
			name: "fast_open", def: false, example: "true",
			help: "Take data with the first packet (TCP Fast Open, RFC 7413)."}),
		key(boolean(), func(t *TCP) *bool { return &t.DeferAccept }, doc{
			name: "defer_accept", def: false, example: "true",
			help: "Accept a connection only when its first bytes are there (TCP_DEFER_ACCEPT)."}),
		key(duration(time.Millisecond, maxUser), func(t *TCP) *time.Duration { return &t.UserTimeout }, doc{
			name: "user_timeout", def: "0s", example: `"30s"`,
			help: `How long sent data may stay unacknowledged (TCP_USER_TIMEOUT, RFC 5482); "0s" leaves it to the kernel.`}),
		key(duration(time.Second, maxIdle), func(t *TCP) *time.Duration { return &t.Keepalive }, doc{
			name: "keepalive", def: "75s", example: `"30s"`,
			help: `Idle time before keep-alive probes, up to 32767 seconds; "0s" is off.`}),
		key(plain(maxFlavor, congestionName), func(t *TCP) *string { return &t.Congestion }, doc{
			name: "congestion", def: "", example: `"bbr"`,
			help: "Congestion control by name; \"\" is the kernel's default."}),
	}}
}

func congestionName(s string) (string, bool) {
	bad := strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	})
	return `the name of a congestion control, such as "cubic"`, !bad
}

func routes() kind[[]Route] {
	t := table[Route]{
		entries: []entry[Route]{
			key(listOf(serverName(), `a list of server names such as ["db.example.com"]`), func(t *Route) *[]string { return &t.SNI }, doc{
				name: "sni", example: `["db.example.com", "*.internal.example.com"]`,
				help: `Server names that clients ask for; "*.example.com" is every name that ends in ".example.com", at whatever depth; empty is any name, and none at all. So far only with udp.quic = true.`}),
			key(listOf(prefix(), `a list of networks such as ["10.0.0.0/8"]`), func(t *Route) *[]netip.Prefix { return &t.Source }, doc{
				name: "source", example: `["10.0.0.0/8", "2001:db8::1"]`,
				help: "Networks and addresses of clients; empty is all of them."}),
			key(plain(maxName, nil), func(t *Route) *string { return &t.Cluster }, doc{
				name: "cluster", def: "", example: `"inside"`,
				help: "Where matching connections and flows go. A route has this or split."}),
			key(split(), func(t *Route) *[]Share { return &t.Split }, doc{
				name: "split", example: `{ stable = 95, next = 5 }`,
				help: "Clusters and their weights, 0 to 65535: each gets its share of the matching connections and flows."}),
		},
		check: func(r *reader, at *keyPath, n *node, t *Route) {
			cluster, split := n.child("cluster"), n.child("split")
			switch one := cluster != nil && cluster.scalar != ""; {
			case one && split != nil:
				r.say(at.key("split"), split, "a route has a cluster or a split, not both")
			case !one && split == nil:
				r.missing(at, n, "a route needs a cluster or a split")
			}
		},
	}
	return listOf(t.kind(), "a list of tables, [[listeners.NAME.routes]]")
}

// split is shares by cluster name.
func split() kind[[]Share] {
	weight := integer[uint32](0, maxWeight)
	return kind[[]Share]{name: "table of weights", read: func(r *reader, at *keyPath, n *node) ([]Share, bool) {
		if n.table == nil {
			r.want(at, n, "a table of clusters and their weights, such as { a = 90, b = 10 }")
			return nil, false
		}
		shares := make([]Share, 0, len(n.table))
		total, good := uint64(0), true
		for _, name := range sortedKeys(n.table) {
			w, ok := weight.read(r, at.key(name), n.table[name])
			good = good && ok
			total += uint64(w)
			shares = append(shares, Share{name, w})
		}
		if good && total == 0 {
			r.say(at, n, "no cluster has a weight above 0")
		}
		return shares, true
	}}
}

func checkListener(r *reader, at *keyPath, n *node, l *Listener) {
	if bind := n.child("bind"); bind == nil {
		r.missing(at, n, `a listener needs a bind, such as bind = "0.0.0.0:8080"`)
	} else if bind.list != nil && len(bind.list) == 0 {
		r.say(at.key("bind"), bind, "a listener needs at least one address")
	}
	cluster, routes := n.child("cluster"), n.child("routes")
	if (cluster == nil || cluster.scalar == "") && (routes == nil || routes.list != nil && len(routes.list) == 0) {
		r.missing(at, n, "a listener needs a cluster or routes")
	}
	checkProtocol(r, at, n, l)
}
