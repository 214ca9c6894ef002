package quic

import "bytes"

// maxALPN is how many protocols of a ClientHello are kept; browsers offer two or three.
const maxALPN = 32

// maxName is the longest name in DNS, without its trailing dot.
const maxName = 253

// Extensions of a ClientHello.
const (
	extServerName = 0  // RFC 6066, section 3
	extALPN       = 16 // RFC 7301, section 3.1
)

// clientHello is what routes ask about.
type clientHello struct {
	sni  string
	alpn []string
}

// parseClientHello reads the body of a ClientHello (RFC 8446, section 4.1.2). ok is false if it is malformed: what a server would refuse,
// a load balancer needn't understand.
func parseClientHello(body []byte) (c clientHello, ok bool) {
	r := reader{b: body}
	r.take(2 + 32) // legacy_version, random
	r.vector(1)    // legacy_session_id
	r.vector(2)    // cipher_suites
	r.vector(1)    // legacy_compression_methods
	if r.bad {
		return c, false
	}
	if len(r.b) == 0 {
		return c, true // no extensions
	}
	extensions := reader{b: r.vector(2)}
	if r.bad || len(r.b) > 0 {
		return c, false
	}
	var named, offered bool
	for len(extensions.b) > 0 {
		id, data := extensions.uint(2), extensions.vector(2)
		if extensions.bad {
			return c, false
		}
		switch id {
		case extServerName:
			if c.sni, ok = parseServerName(data); !ok || named {
				return c, false
			}
			named = true
		case extALPN:
			if c.alpn, ok = parseALPN(data); !ok || offered {
				return c, false
			}
			offered = true
		}
	}
	return c, true
}

// parseServerName returns the host name in a server_name extension, as hostName makes it.
func parseServerName(data []byte) (name string, ok bool) {
	r := reader{b: data}
	list := reader{b: r.vector(2)}
	if r.bad || len(r.b) > 0 || len(list.b) == 0 {
		return "", false
	}
	for seen := false; len(list.b) > 0; {
		kind, value := list.uint(1), list.vector(2) // other kinds of name have a length, too, says the RFC
		if list.bad {
			return "", false
		}
		if kind != 0 { // host_name
			continue
		}
		if seen || len(value) == 0 {
			return "", false
		}
		name, seen = hostName(value), true
	}
	return name, true
}

// hostName returns what a route can match: ASCII in lower case, without the trailing dot of an absolute name. A name that no host can have
// is "", as if there were none: longer than DNS allows, with an empty label at its end, or with bytes outside of ASCII, spaces or control
// characters. Whether to refuse that is the server's business.
func hostName(value []byte) string {
	value = bytes.TrimSuffix(value, []byte("."))
	if len(value) > maxName || bytes.HasSuffix(value, []byte(".")) {
		return ""
	}
	var lower [maxName]byte
	for i, c := range value {
		switch {
		case c <= ' ' || c > '~':
			return ""
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return string(lower[:len(value)])
}

// parseALPN returns the first maxALPN protocols of an ALPN extension.
func parseALPN(data []byte) (protocols []string, ok bool) {
	r := reader{b: data}
	list := reader{b: r.vector(2)}
	if r.bad || len(r.b) > 0 || len(list.b) == 0 {
		return nil, false
	}
	for len(list.b) > 0 {
		name := list.vector(1)
		if len(name) == 0 { // also: list.bad
			return nil, false
		}
		if len(protocols) < maxALPN {
			protocols = append(protocols, string(name))
		}
	}
	return protocols, true
}
