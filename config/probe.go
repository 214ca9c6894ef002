package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

const maxMethod = 32 // bytes of an HTTP method

// escaped is bytes: a string in which the escapes of unescaped are resolved.
func escaped() kind[string] {
	return kind[string]{name: "string", read: func(r *reader, at *keyPath, n *node) (string, bool) {
		text, ok := n.text()
		switch {
		case !ok:
			r.want(at, n, "a string in quotes")
			return "", false
		case len(text) > maxProbe:
			r.want(at, n, fmt.Sprintf("a string of at most %d bytes", maxProbe))
			return "", false
		}
		v, bad := unescaped(text)
		if bad != "" {
			r.want(at, n, fmt.Sprintf(`a string with no other escapes than \r, \n, \t, \0, \\ and \xHH, and not %s`, bad))
			return "", false
		}
		return v, true
	}}
}

// expected is what an answer begins with, as bytes, or "~" and a regular
// expression.
func expected() kind[string] {
	prefix := escaped()
	return kind[string]{name: "string", read: func(r *reader, at *keyPath, n *node) (string, bool) {
		text, _ := n.text()
		expression, ok := strings.CutPrefix(text, "~")
		if !ok || len(text) > maxProbe {
			v, ok := prefix.read(r, at, n)
			if ok && strings.HasPrefix(v, "~") {
				r.want(at, n, `a prefix that does not begin with a "~" once its escapes are resolved, or a regular expression such as '~^\x7e'`)
				return "", false
			}
			return v, ok
		}
		if expression == "" {
			r.want(at, n, `a regular expression behind the "~"`)
			return "", false
		}
		if _, err := regexp.Compile(expression); err != nil {
			why := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
			r.want(at, n, "a regular expression behind the \"~\" ("+clip(strconv.Quote(why), 2*shown)+")")
			return "", false
		}
		return text, true
	}}
}

// unescaped resolves \r, \n, \t, \0, \\ and \xHH; bad is the first other escape,
// quoted where it could not be printed.
func unescaped(text string) (v, bad string) {
	short := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\'}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		rest := text[i+1:]
		if rest == "" {
			return "", `a lone \ at the end`
		}
		if c, ok := short[rest[0]]; ok {
			b.WriteByte(c)
			i++
			continue
		}
		if rest[0] == 'x' && len(rest) >= 3 {
			if c, err := strconv.ParseUint(rest[1:3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		bad = `\` + string([]rune(rest[:min(len(rest), 4)])[:1])
		if rest[0] == 'x' {
			bad = `\x without two hex digits`
		}
		return "", strings.Trim(strconv.Quote(strings.TrimPrefix(bad, `\`)), `"`)
	}
	return b.String(), ""
}

// method is a token of RFC 9110 in capitals.
func method(s string) (string, bool) {
	return `an HTTP method in capitals, such as "GET"`, strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

// requestHost is what may stand in a Host header.
func requestHost(s string) (string, bool) {
	bad := strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\@?#,"<>`, c) })
	return `a host name for the request, such as "web.internal" or "web.internal:8080"`, !bad
}

// requestPath is the target of a request: a path, perhaps with a query.
func requestPath() kind[string] {
	valid := func(s string) (string, bool) {
		bad := strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' })
		return `a path that begins with "/", in ASCII without spaces, such as "/healthz"`, !bad && strings.HasPrefix(s, "/")
	}
	k := plain(maxProbe, nil)
	read := k.read
	k.read = func(r *reader, at *keyPath, n *node) (string, bool) {
		v, ok := read(r, at, n)
		if !ok || v == "" {
			return v, ok
		}
		what, ok := valid(v)
		if !ok {
			i := r.want(at, n, what)
			if _, ok := valid("/" + v); ok && !strings.Contains(v, "://") {
				i.Suggestion = "/" + v
			}
			return "", false
		}
		return v, true
	}
	return k
}

// verifiedName is a name that a certificate can be for.
func verifiedName(s string) (string, bool) {
	_, err := netip.ParseAddr(s)
	return `a DNS name such as "web.internal", or an IP address`, err == nil || isName(s) && !strings.HasPrefix(s, "*") && !isAddress(s)
}

// hostAddress is the IP address of a host, without a port; "" is none.
func hostAddress() kind[netip.Addr] {
	return kind[netip.Addr]{name: "address", read: func(r *reader, at *keyPath, n *node) (netip.Addr, bool) {
		text, ok := n.text()
		if ok && text == "" {
			return netip.Addr{}, true
		}
		a, err := netip.ParseAddr(text)
		switch {
		case !ok || err != nil:
			i := r.want(at, n, `an IP address without a port, such as "10.0.0.9"`)
			if a, ok := parseAddress(text); ok {
				i.Suggestion = a.Addr().String()
			}
		case a.IsUnspecified() || a.IsMulticast():
			r.want(at, n, "the address of one host")
		default:
			return a.Unmap(), true
		}
		return netip.Addr{}, false
	}}
}

// status is an HTTP status, or a range of them.
func status() kind[StatusRange] {
	return kind[StatusRange]{name: "status", read: func(r *reader, at *keyPath, n *node) (StatusRange, bool) {
		text, ok := n.text()
		if v, isWhole := n.scalar.(int64); isWhole {
			text, ok = strconv.FormatInt(v, 10), true
		}
		low, high, ranged := strings.Cut(text, "-")
		if !ranged {
			high = low
		}
		from, first := httpStatus(low)
		to, last := httpStatus(high)
		if !ok || !first || !last || from > to {
			i := r.want(at, n, `a status such as "200", or a range of them such as "200-299", of 100 to 599`)
			switch class := strings.ToLower(text); {
			case first && last:
				i.Suggestion = high + "-" + low
			case len(class) == 3 && class[0] >= '1' && class[0] <= '5' && class[1:] == "xx":
				i.Suggestion = class[:1] + "00-" + class[:1] + "99"
			}
			return StatusRange{}, false
		}
		return StatusRange{from, to}, true
	}}
}

func httpStatus(text string) (int, bool) {
	v, err := strconv.Atoi(text)
	return v, err == nil && len(text) == 3 && v >= 100 && v <= 599
}

// statuses is one status or range, or a list of them.
func statuses() kind[[]StatusRange] {
	one := status()
	many := listOf(one, `a status such as 200 or "200-299", or a list of them`)
	return kind[[]StatusRange]{
		name: "status or list of statuses",
		read: func(r *reader, at *keyPath, n *node) ([]StatusRange, bool) {
			if n.list != nil || n.table != nil {
				return many.read(r, at, n)
			}
			if text, ok := n.text(); ok && text == "" {
				return nil, true
			}
			v, ok := one.read(r, at, n)
			return []StatusRange{v}, ok
		},
	}
}
