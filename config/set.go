package config

import (
	"strings"
	"unicode/utf8"
)

// assignment reads the text of a --set: path.to.key=value. The path follows
// TOML's rules for dotted keys. The value is taken as TOML if it is TOML, else
// as a plain string, so that neither 5s nor 127.0.0.1:80 needs quotes; but what
// opens a quoted string, a list or an inline table and is not TOML is an error,
// since a forgotten bracket is no string. An issue is added, and nil returned,
// when the text is at fault.
func assignment(found *issues, source int, text string) *node {
	at := position{source: source}
	if !utf8.ValidString(text) {
		found.add(at, "", "not UTF-8")
		return nil
	}
	s := newScanner(text)
	parts := s.key()
	switch {
	case s.err != nil && s.err.final:
		found.add(at, "", s.err.message)
		return nil
	case s.err != nil || !s.at('='):
		found.add(at, "", `want path.to.key=value, such as process.loops=2; a name that is not letters, digits, "_" and "-" goes in quotes: listeners."my web".cluster=web`)
		return nil
	}
	n := settled(found, at, strings.TrimSpace(text[s.off+1:]))
	if n == nil {
		return nil
	}
	for i := len(parts) - 1; i >= 0; i-- {
		n = &node{at: at, table: map[string]*node{parts[i].name: n}}
	}
	return n
}

// settled is the value of a --set.
func settled(found *issues, at position, value string) *node {
	plain := &node{at: at, scalar: value}
	if value == "" {
		return plain
	}
	s := newScanner(value)
	s.value(&mark{}, nil, 0)
	if s.err != nil && s.err.final {
		found.add(at, "", s.err.message)
		return nil
	}
	whole := s.err == nil && s.done()
	decoded, err := decode("value = " + value)
	if err == nil && whole && len(decoded) == 1 {
		n := tree(decoded["value"], nil, at)
		if _, quoted := n.scalar.(string); !quoted {
			n.raw = value
		}
		return n
	}
	if !opens(value) {
		return plain
	}
	if err != nil {
		found.syntax(at.source, "", err)
	} else {
		found.add(at, "", "there is something behind the value")
	}
	last := &found.found[len(found.found)-1]
	last.Line, last.Column = 0, 0
	last.Message = "the value is not TOML: " + last.Message
	return nil
}

// opens tells whether a value begins something that TOML has to end. An IPv6
// address in brackets does not: [::1]:80.
func opens(value string) bool {
	switch value[0] {
	case '"', '\'', '{':
		return true
	case '[':
		host, _, closed := strings.Cut(value[1:], "]")
		return !closed || !strings.Contains(host, ":") || strings.ContainsAny(host, "\"', \t[]{}")
	}
	return false
}
