package config

import (
	"net/netip"
	"time"
)

// DiscoverMode is which records DNS is asked for, and what is made of them.
type DiscoverMode string

// The modes: all addresses of a name, the first of them alone, or the hosts and
// ports of its SRV records (RFC 2782).
const (
	DiscoverAll   DiscoverMode = "all"
	DiscoverFirst DiscoverMode = "first"
	DiscoverSRV   DiscoverMode = "srv"
)

// Discover is where a cluster's endpoints are found: clusters.NAME.discover.
type Discover struct {
	// DNS is "host:port", or with DiscoverSRV the name of the records alone,
	// "_http._tcp.web.internal"; "" asks no DNS.
	DNS string
	// Refresh is the least time between two queries, and the wait after one that
	// failed, 100ms or more.
	Refresh time.Duration
	// MaxRefresh is the most time between two queries, whatever the records' TTL;
	// it is not less than Refresh.
	MaxRefresh time.Duration
	Mode       DiscoverMode
	// Servers are the DNS servers to ask; empty is those of /etc/resolv.conf.
	Servers []netip.AddrPort
	// File holds endpoints as ParseEndpoints reads them and is watched; "" is none.
	File string
}

// On tells whether endpoints are discovered.
func (d *Discover) On() bool { return d.DNS != "" || d.File != "" }

const minRefresh = 100 * time.Millisecond

func discoverTable() table[Discover] {
	return table[Discover]{entries: []entry[Discover]{
		key(plain(maxServerName+len(".:65535"), nil), func(d *Discover) *string { return &d.DNS }, doc{
			name: "dns", def: "", example: `"web.internal:8080"`,
			help: `Host name and port: every address of the name is an endpoint with that port. With mode = "srv" the name of the SRV records alone, such as "_http._tcp.web.internal".`}),
		key(duration(minRefresh, maxDuration), func(d *Discover) *time.Duration { return &d.Refresh }, doc{
			name: "refresh", def: "5s", zeroIsDefault: true, example: `"10s"`,
			help: "Least time between two queries however short the records' TTL, and the wait after one that failed; at least 100ms."}),
		key(duration(minRefresh, maxDuration), func(d *Discover) *time.Duration { return &d.MaxRefresh }, doc{
			name: "max_refresh", def: "5m", zeroIsDefault: true, example: `"1m"`,
			help: "Most time between two queries however long the TTL; at least refresh, which is the default where it is longer."}),
		key(oneOf(DiscoverAll, DiscoverFirst, DiscoverSRV), func(d *Discover) *DiscoverMode { return &d.Mode }, doc{
			name: "mode", def: string(DiscoverAll), zeroIsDefault: true, example: `"first"`,
			help: "all takes every address of the name, first the first of an answer alone, srv the hosts and ports, priorities and weights of SRV records (RFC 2782)."}),
		key(listOf(dnsServer(), `a list of DNS servers such as ["10.0.0.53"]`), func(d *Discover) *[]netip.AddrPort { return &d.Servers }, doc{
			name: "servers", example: `["10.0.0.53", "[fd00::53]:5353"]`,
			help: "DNS servers to ask, on port 53 unless they say another; empty is those of /etc/resolv.conf."}),
		key(plain(maxPath, nil), func(d *Discover) *string { return &d.File }, doc{
			name: "file", def: "", example: `"web.json"`,
			help: "File of endpoints instead of dns, in JSON (a list, or an object with endpoints) or TOML (endpoints = [...]), each as in this configuration; it is watched."}),
	}}
}

// dnsServer is the address of a DNS server, with port 53 when it says none.
func dnsServer() kind[netip.AddrPort] {
	return kind[netip.AddrPort]{name: "address", read: func(r *reader, at *keyPath, n *node) (netip.AddrPort, bool) {
		text, isText := n.text()
		a, ok := parseAddress(text)
		if host, err := netip.ParseAddr(text); err == nil {
			a, ok = netip.AddrPortFrom(host.Unmap(), 53), true
		}
		switch {
		case !isText || !ok:
			r.want(at, n, `the IP address of a DNS server such as "10.0.0.53", "10.0.0.53:5353" or "[fd00::53]:53"`)
		case a.Port() == 0:
			r.want(at, n, "a port of 1 to 65535")
		case a.Addr().IsUnspecified() || a.Addr().IsMulticast():
			r.want(at, n, "the address of one host")
		default:
			return a, true
		}
		return netip.AddrPort{}, false
	}}
}
