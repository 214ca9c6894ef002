package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// bindAddress is what a listener binds: "10.0.0.1:80", "[::1]:80", or every
// address with ":80" or "*:80", which is "[::]:80".
func bindAddress() kind[netip.AddrPort] {
	return kind[netip.AddrPort]{name: "address", read: func(r *reader, at *keyPath, n *node) (netip.AddrPort, bool) {
		text, ok := n.text()
		var a netip.AddrPort
		if ok {
			a, ok = parseAddress(wildcard(text))
		} else if v, isPort := n.scalar.(int64); isPort {
			text = strconv.FormatInt(v, 10)
		}
		if !ok {
			r.want(at, n, `an address to bind, such as "0.0.0.0:8080", "[::1]:8080" or ":8080"`).Suggestion = nearAddress(text, "")
		}
		return a, ok
	}}
}

// bindAddresses is one address to bind, or a list of them.
func bindAddresses() kind[[]netip.AddrPort] {
	one := bindAddress()
	many := listOf(one, "an address or a list of addresses")
	return kind[[]netip.AddrPort]{
		name: "address or list of addresses",
		read: func(r *reader, at *keyPath, n *node) ([]netip.AddrPort, bool) {
			if n.list != nil || n.table != nil {
				return many.read(r, at, n)
			}
			a, ok := one.read(r, at, n)
			return []netip.AddrPort{a}, ok
		},
	}
}

// endpointAddress is an address to connect to: a literal one, with its port.
func endpointAddress() kind[netip.AddrPort] {
	return kind[netip.AddrPort]{name: "address", read: func(r *reader, at *keyPath, n *node) (netip.AddrPort, bool) {
		text, ok := n.text()
		var a netip.AddrPort
		if ok {
			a, ok = parseAddress(text)
		}
		switch {
		case !ok && isHostPort(text):
			r.want(at, n, fmt.Sprintf(`an IP address and port such as "10.0.0.1:8080" (a host name is looked up with discover = { dns = %q } instead of endpoints)`, clip(text, shown)))
		case !ok:
			r.want(at, n, `an IP address and port such as "10.0.0.1:8080" or "[fd00::1]:8080"`).Suggestion = nearAddress(text, "8080")
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

// prefix is a network such as "10.0.0.0/8", or one address.
func prefix() kind[netip.Prefix] {
	return kind[netip.Prefix]{name: "network", read: func(r *reader, at *keyPath, n *node) (netip.Prefix, bool) {
		text, ok := n.text()
		if !ok {
			r.want(at, n, `a network such as "10.0.0.0/8" or an address`)
			return netip.Prefix{}, false
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil || a.Zone() != "" {
				r.want(at, n, `a network such as "10.0.0.0/8" or an address`)
				return netip.Prefix{}, false
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // clients of a dual-stack bind are matched as IPv4
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p != p.Masked() {
			i := r.want(at, n, fmt.Sprintf("a network whose bits behind the first %d are zero", p.Bits()))
			i.Suggestion = p.Masked().String()
			return netip.Prefix{}, false
		}
		return p, true
	}}
}

// adminAddress is where the admin side listens: "" for nowhere, a Unix socket,
// or a host and port, which comes out as a literal address.
func adminAddress() kind[string] {
	return kind[string]{name: "address", read: func(r *reader, at *keyPath, n *node) (string, bool) {
		text, ok := n.text()
		if ok && text == "" {
			return "", true
		}
		if file, unix := strings.CutPrefix(text, "unix:"); ok && unix {
			if file == "" || len(file) > maxSocketName || strings.ContainsRune(file, 0) {
				r.want(at, n, fmt.Sprintf(`the file of a Unix socket in 1 to %d bytes, such as "unix:/run/weir.sock"`, maxSocketName))
				return "", false
			}
			return text, true
		}
		a, valid := parseAddress(wildcard(localhost(text)))
		if !ok || !valid {
			r.want(at, n, `an IP address and port such as "127.0.0.1:9901", "unix:/run/weir.sock", or "" for off`).Suggestion = nearAddress(text, "9901")
			return "", false
		}
		return a.String(), true
	}}
}

// maxSocketName is the longest name of a Unix socket: sun_path of unix(7) holds
// 108 bytes with the zero at the end.
const maxSocketName = 107

// parseAddress reads a literal address and port. An IPv4 address in IPv6's
// clothes (::ffff:10.0.0.1) comes out as IPv4.
func parseAddress(text string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), true
}

// wildcard spells out what ":80" and "*:80" leave out.
func wildcard(text string) string {
	host, port, ok := strings.Cut(text, ":")
	if ok && (host == "" || host == "*") {
		return "[::]:" + port
	}
	return text
}

func localhost(text string) string {
	if port, ok := strings.CutPrefix(text, "localhost:"); ok {
		return "127.0.0.1:" + port
	}
	return text
}

// isHostPort tells a host name with a port from other mistakes.
func isHostPort(text string) bool {
	host, port, ok := strings.Cut(text, ":")
	if _, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || host == "" {
		return false
	}
	letters := false
	for i := range len(host) {
		c := host[i] | 0x20
		letters = letters || c >= 'a' && c <= 'z'
		if !isBare(host[i]) && host[i] != '.' {
			return false
		}
	}
	return letters
}

// nearAddress is what was probably meant by a port without a colon, or by an
// address without a port if port says one.
func nearAddress(text, port string) string {
	if _, err := strconv.ParseUint(text, 10, 16); err == nil && port == "" {
		return ":" + text
	}
	if a, err := netip.ParseAddr(text); err == nil && port != "" {
		n, _ := strconv.ParseUint(port, 10, 16)
		return netip.AddrPortFrom(a, uint16(n)).String()
	}
	return ""
}
