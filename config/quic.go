package config

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

const (
	maxServerName = 253 // bytes of a DNS name in text (RFC 1035, section 2.3.4)
	maxLabel      = 63  // bytes of one part of it
	maxServerID   = 15  // bytes (QUIC-LB, draft-ietf-quic-load-balancers)
)

// serverName is a name that clients ask for (SNI, RFC 6066), or one with "*" as
// its first label. It comes out in lower case, as names are compared.
func serverName() kind[string] {
	return kind[string]{name: "server name", read: func(r *reader, at *keyPath, n *node) (string, bool) {
		text, ok := n.text()
		switch {
		case !ok || !isName(text):
			what := `a DNS name such as "db.example.com", or "*.example.com" with the * first and alone`
			if strings.ContainsFunc(text, func(c rune) bool { return c > unicode.MaxASCII }) {
				what = `a DNS name in ASCII, others in Punycode ("xn--...")`
			}
			r.want(at, n, what).Suggestion = nearName(text)
		case isAddress(text):
			r.want(at, n, "a DNS name, since clients send no server name to an address")
		default:
			return strings.ToLower(text), true
		}
		return "", false
	}}
}

// isName tells whether every label is letters, digits and hyphens, these within
// (RFC 1123, section 2.1), but for a first one that may be "*".
func isName(text string) bool {
	if len(text) > maxServerName {
		return false
	}
	name := strings.TrimPrefix(text, "*.")
	return !strings.Contains(name, "_") && isLabels(name)
}

// isLabels tells whether every label of a name is letters, digits, underscores and
// hyphens, these within.
func isLabels(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isBare(label[i]) {
				return false
			}
		}
	}
	return true
}

// isAddress tells an IPv4 address from other names: no top-level domain is a
// number (RFC 3696, section 2).
func isAddress(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == ""
}

// nearName is what was probably meant by a name with a port, with the dot of the
// root, or with a dot in place of the wildcard.
func nearName(text string) string {
	name := text
	if host, port, ok := strings.Cut(name, ":"); ok && strings.Trim(port, "0123456789") == "" {
		name = host
	}
	name = strings.TrimSuffix(name, ".")
	if strings.HasPrefix(name, ".") {
		name = "*" + name
	}
	if name == text || !isName(name) || isAddress(name) {
		return ""
	}
	return name
}

// serverID is a QUIC-LB server ID in hex digits, which come out in lower case;
// "" is none.
func serverID() kind[string] {
	what := fmt.Sprintf(`1 to %d bytes in hex digits, such as "0a1b"`, maxServerID)
	valid := func(text string) bool {
		_, err := hex.DecodeString(text)
		return err == nil && len(text) <= 2*maxServerID
	}
	return kind[string]{name: "hex string", read: func(r *reader, at *keyPath, n *node) (string, bool) {
		text, ok := n.text()
		if !ok || !valid(text) {
			i := r.want(at, n, what)
			near := strings.NewReplacer("0x", "", "0X", "", ":", "", "-", "", " ", "").Replace(text)
			if near != text && valid(near) {
				i.Suggestion = near
			}
			return "", false
		}
		return strings.ToLower(text), true
	}}
}

// checkServerIDs finds server IDs from which an endpoint could not be told: of
// two lengths, since a connection ID doesn't say how long its server ID is, or
// twice the same.
func checkServerIDs(r *reader, at *keyPath, n *node, all []Endpoint) {
	first, seen := -1, make(map[string]int)
	for i, e := range all {
		if e.ServerID == "" {
			continue
		}
		if first < 0 {
			first = i
		}
		where, here := at.element(i).key("server_id"), n.element(i).child("server_id")
		if other := all[first].ServerID; len(other) != len(e.ServerID) {
			r.say(where, here, "%s has %s and %s of endpoints[%d] has %s: all server IDs of a cluster are of one length",
				e.ServerID, inBytes(e.ServerID), other, first, inBytes(other))
		} else if twin, twice := seen[e.ServerID]; twice {
			r.say(where, here, "%s is the server ID of endpoints[%d] already", e.ServerID, twin)
		} else {
			seen[e.ServerID] = i
		}
	}
}

// checkConnectionIDs finds QUIC listeners to whose clusters a connection ID could
// not be brought: of a client that has moved weir knows nothing else, so that the
// server IDs of all of them together have to tell the endpoint.
func (r *reader) checkConnectionIDs(root *node, s *Snapshot) {
	var top *keyPath
	for i := range s.Listeners {
		l := &s.Listeners[i]
		if l.Protocol != ProtocolUDP || !l.UDP.QUIC {
			continue
		}
		at, n := top.key("listeners").key(l.Name).key("udp").key("quic"), root.child("listeners").child(l.Name).child("udp").child("quic")
		type owner struct{ cluster, id string }
		var first owner
		seen := make(map[string]string) // the address, by ID
		for _, name := range l.Clusters() {
			c := s.Cluster(name)
			if c == nil {
				continue // which was said
			}
			for j := range c.Endpoints {
				e := &c.Endpoints[j]
				if e.ServerID == "" || !e.Address.IsValid() {
					continue
				}
				address := e.Address.String()
				if first.id == "" {
					first = owner{name, e.ServerID}
				}
				if len(first.id) != len(e.ServerID) && first.cluster != name {
					r.say(at, n, "the server IDs of cluster %q have %s and those of cluster %q %s: all that one listener sends to are of one length",
						clip(first.cluster, shown), inBytes(first.id), clip(name, shown), inBytes(e.ServerID))
					break
				}
				if other, twice := seen[e.ServerID]; twice && other != address {
					r.say(at, n, "%s is the server ID of %s and, in cluster %q, of %s: a connection ID has to tell which", e.ServerID, other, clip(name, shown), address)
				}
				seen[e.ServerID] = address
			}
		}
	}
}

// Clusters is the name of each cluster that the listener sends to, once: that of
// Cluster first, then those of the routes in their order.
func (l *Listener) Clusters() (names []string) {
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(l.Cluster)
	for i := range l.Routes {
		add(l.Routes[i].Cluster)
		for _, share := range l.Routes[i].Split {
			add(share.Cluster)
		}
	}
	return names
}

// inBytes is the length of a server ID in words.
func inBytes(id string) string {
	if len(id) == 2 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", len(id)/2)
}
