package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
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
	return table[Discover]{check: checkDiscover, entries: []entry[Discover]{
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

func checkDiscover(r *reader, at *keyPath, n *node, d *Discover) {
	dns, file := n.child("dns"), n.child("file")
	switch {
	case given(dns) && given(file):
		r.say(at.key("file"), file, "endpoints are discovered with dns or with file, not both")
		return
	case d.File != "":
		checkOnlyDNS(r, at, n, d)
		return
	}
	r.checkOrder(at, n, bound{"max_refresh", &d.MaxRefresh}, bound{"refresh", &d.Refresh}, false)
	if d.DNS != "" && !misread(n.child("mode"), string(d.Mode)) {
		checkDNS(r, at.key("dns"), dns, d.DNS, d.Mode)
	}
}

// checkOnlyDNS finds keys that mean nothing to a file.
func checkOnlyDNS(r *reader, at *keyPath, n *node, d *Discover) {
	plain := discoverTable().defaults()
	for _, name := range discoverTable().changed(&plain, d) {
		if value := n.child(name); name != "file" && value != nil {
			r.say(at.key(name), value, "means nothing to a file, which is read when it changes: it is for dns")
		}
	}
}

// checkDNS finds names that could not be asked for in mode.
func checkDNS(r *reader, at *keyPath, n *node, text string, mode DiscoverMode) {
	host, digits, hasPort := cutPort(text)
	port, err := strconv.ParseUint(digits, 10, 16)
	ip, notIP := netip.ParseAddr(strings.Trim(host, "[]"))
	name := strings.TrimSuffix(host, ".") // the root's dot keeps search domains out
	switch {
	case notIP == nil:
		address := text
		if !hasPort {
			address = netip.AddrPortFrom(ip, 8080).String()
		}
		r.want(at, n, fmt.Sprintf("a host name (addresses need no DNS: endpoints = [%q] instead of discover)", clip(address, shown)))
	case !isHostName(name):
		i := r.want(at, n, wantedName(mode, text))
		if had, rest := cutScheme(text); had {
			rest, _, _ = strings.Cut(rest, "/")
			if host, _, hasPort := cutPort(rest); isHostName(host) && hasPort == (mode != DiscoverSRV) {
				i.Suggestion = rest
			}
		}
	case mode == DiscoverSRV && hasPort:
		r.want(at, n, `a name without a port, since SRV records say the ports, such as "_http._tcp.web.internal"`).Suggestion = host
	case mode == DiscoverSRV:
	case !hasPort && strings.HasPrefix(host, "_"):
		r.want(at, n, `a host name and port such as "web.internal:8080", or mode = "srv" for the name of SRV records`)
	case !hasPort:
		r.want(at, n, `a host name and port such as "web.internal:8080"`).Suggestion = host + ":8080"
	case err != nil || port == 0:
		r.want(at, n, "a host name with a port of 1 to 65535")
	}
}

func wantedName(mode DiscoverMode, text string) string {
	what := `a host name and port such as "web.internal:8080"`
	if mode == DiscoverSRV {
		what = `the name of SRV records such as "_http._tcp.web.internal"`
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c > unicode.MaxASCII }) {
		what += `, in ASCII or Punycode ("xn--...")`
	}
	return what
}

// cutPort cuts off a port. An IPv6 address without brackets has none.
func cutPort(text string) (host, port string, ok bool) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, "", false
	}
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

// isHostName tells a name that DNS may know (RFC 1123, section 2.1, and
// underscores, which some names have) from an IPv4 address and all else.
func isHostName(name string) bool {
	return len(name) <= maxServerName && !isAddress(name) && isLabels(name)
}
