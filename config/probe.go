package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxMethod = 32 // bytes of an HTTP method
	head      = "HEAD"
)

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
			r.want(at, n, fmt.Sprintf(`a string whose escapes are \r, \n, \t, \0, \\ and \xHH, and not %s`, bad))
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

// unescaped resolves \r, \n, \t, \0, \\ and \xHH; bad is the first other escape.
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
		if rest[0] == 'x' {
			return "", `\x without two hex digits`
		}
		c, _ := utf8.DecodeRuneInString(rest)
		quoted := strconv.QuoteRune(c)
		return "", `\` + quoted[1:len(quoted)-1]
	}
	return b.String(), ""
}

// method is a token of RFC 9110 in capitals.
func method() kind[string] {
	valid := func(s string) bool { return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == "" }
	return near(maxMethod, `an HTTP method in capitals, such as "GET"`, valid, strings.ToUpper)
}

// requestHost is what may stand in a Host header.
func requestHost() kind[string] {
	valid := func(s string) bool {
		u, err := url.Parse("http://" + s + "/")
		return err == nil && u.Host == s && u.Path == "/" && isVisible(s)
	}
	meant := func(s string) string {
		_, s = cutScheme(s)
		host, _, _ := strings.Cut(s, "/")
		return host
	}
	return near(maxServerName+len(":65535"), `a host name for the request, such as "web.internal" or "web.internal:8080"`, valid, meant)
}

// requestPath is the target of a request: a path, perhaps with a query.
func requestPath() kind[string] {
	valid := func(s string) bool {
		_, err := url.ParseRequestURI(s)
		return err == nil && strings.HasPrefix(s, "/") && isVisible(s) && !strings.Contains(s, "#")
	}
	meant := func(s string) string {
		if had, rest := cutScheme(s); had {
			_, s, _ = strings.Cut(rest, "/")
		}
		if !strings.HasPrefix(s, "/") {
			s = "/" + s
		}
		return strings.ReplaceAll(s, " ", "%20")
	}
	return near(maxProbe, `a path that begins with "/", such as "/healthz", with other characters than visible ASCII as %XX`, valid, meant)
}

func cutScheme(s string) (had bool, rest string) {
	if _, rest, had = strings.Cut(s, "://"); had {
		return true, rest
	}
	return false, s
}

// isVisible tells whether all is ASCII's visible characters.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= 0x7f })
}

// verifiedName is a name that a certificate can be for.
func verifiedName() kind[string] {
	valid := func(s string) bool {
		_, err := netip.ParseAddr(s)
		return err == nil || isName(s) && !strings.HasPrefix(s, "*") && !isAddress(s)
	}
	return near(maxServerName, `a DNS name such as "web.internal", or an IP address`, valid, nearName)
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
