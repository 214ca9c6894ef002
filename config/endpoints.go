package config

import "net/netip"

// State is what an endpoint is meant to do.
type State string

// The states of an endpoint: take connections, finish those it has, have none.
const (
	Ready State = "ready"
	Drain State = "drain"
	Maint State = "maint"
)

// Endpoint is one upstream server of a cluster.
type Endpoint struct {
	Address netip.AddrPort
	// Weight is its share of the connections, up to 65535; 0 gets none.
	Weight uint32
	// MaxConnections bounds its connections; 0 does not.
	MaxConnections int64
	// Backup endpoints are used only when no other is available, of whatever
	// Priority.
	Backup bool
	State  State
	// ServerID is its QUIC-LB server ID (draft-ietf-quic-load-balancers), in
	// plain text within the connection IDs it gives out: 1 to 15 bytes as
	// lower-case hex, the same number for all of a cluster; "" is none.
	ServerID string
	// Priority is 0 to 65535; those of a lower one are used first.
	Priority uint32
}

const maxPriority = 65535

func endpointTable() table[Endpoint] {
	return table[Endpoint]{
		entries: []entry[Endpoint]{
			key(endpointAddress(), func(e *Endpoint) *netip.AddrPort { return &e.Address }, doc{
				name: "address", example: `"10.0.0.2:8080"`,
				help: "IP address and port. Required."}),
			key(integer[uint32](0, maxWeight), func(e *Endpoint) *uint32 { return &e.Weight }, doc{
				name: "weight", def: int64(1), example: "2",
				help: "Share of the connections, 0 to 65535; 0 gets none."}),
			key(integer[int64](0, maxCount), func(e *Endpoint) *int64 { return &e.MaxConnections }, doc{
				name: "max_connections", def: int64(0), example: "500",
				help: "Most connections, or UDP flows, at once; 0 is no limit. When all endpoints have theirs, connections wait or are refused, see limits.max_pending."}),
			key(boolean(), func(e *Endpoint) *bool { return &e.Backup }, doc{
				name: "backup", def: false, example: "true",
				help: "Use it only when too few others are healthy: none, or a smaller share than panic_threshold."}),
			key(integer[uint32](0, maxPriority), func(e *Endpoint) *uint32 { return &e.Priority }, doc{
				name: "priority", def: int64(0), example: "1",
				help: "0 to 65535; lower ones are used first. Backup endpoints come after all priorities."}),
			key(oneOf(Ready, Drain, Maint), func(e *Endpoint) *State { return &e.State }, doc{
				name: "state", def: string(Ready), zeroIsDefault: true, example: `"drain"`,
				help: "ready takes connections, drain finishes those it has, maint has none."}),
			key(serverID(), func(e *Endpoint) *string { return &e.ServerID }, doc{
				name: "server_id", def: "", example: `"0a1b"`,
				help: "QUIC-LB server ID, 1 to 15 bytes, that the endpoint puts into its connection IDs in plain text (draft-ietf-quic-load-balancers); for listeners with udp.quic. In a cluster all are of one length and each is there once."}),
		},
	}
}

// endpoints is a list of tables, or of addresses that stand for a table with
// nothing else.
func endpoints() kind[[]Endpoint] {
	t, address := endpointTable(), endpointAddress()
	k := t.kind()
	k.read = func(r *reader, at *keyPath, n *node) (Endpoint, bool) {
		if n.table != nil {
			if n.child("address") == nil {
				r.missing(at, n, `an endpoint needs an address, such as address = "10.0.0.1:8080"`)
			}
			return t.read(r, at, n)
		}
		if _, ok := n.text(); !ok {
			r.want(at, n, `an address such as "10.0.0.1:8080", or a table with one`)
			return Endpoint{}, false
		}
		e, _ := t.read(r, at, &node{at: n.at, table: map[string]*node{}})
		var ok bool
		e.Address, ok = address.read(r, at, n)
		return e, ok
	}
	l := listOf(k, `a list such as ["10.0.0.1:8080"]`)
	l.name = "list of addresses and tables"
	return l
}

// checkEndpoints finds endpoints of a cluster, in the list n at at, that are
// there twice or could not be told from each other.
func checkEndpoints(r *reader, at *keyPath, n *node, all []Endpoint) {
	seen := make(map[netip.AddrPort]int, len(all))
	for i, e := range all {
		if !e.Address.IsValid() {
			continue
		}
		first, twice := seen[e.Address]
		if !twice {
			seen[e.Address] = i
			continue
		}
		here, where := n.element(i), at.element(i)
		if a := here.child("address"); a != nil {
			here, where = a, where.key("address")
		}
		r.say(where, here, "%s is endpoints[%d] already", e.Address, first)
	}
	checkServerIDs(r, at, n, all)
}
