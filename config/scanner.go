package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// scanner moves over the tokens of a TOML document and counts lines. The first
// error stays; after it nothing moves.
type scanner struct {
	text      string
	off       int
	line      int
	lineStart int // offset at which the line begins
	counted   int // offset up to which lines are counted
	err       *scanError
	saw       func(path []string)
}

// scanError is where and why scanning stopped. Final is the scanner's own
// refusal of what the decoder might take; anything else the decoder refuses too,
// with a better message.
type scanError struct {
	line, column int
	message      string
	final        bool
}

// part is one part of a key, and where it stands.
type part struct {
	name         string
	line, column int
}

func newScanner(text string) *scanner {
	s := &scanner{text: text, line: 1}
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} { // the decoder passes over these as well
		if strings.HasPrefix(text, mark) {
			s.off = len(mark)
			break
		}
	}
	s.lineStart, s.counted = s.off, s.off
	return s
}

func (s *scanner) done() bool { return s.off >= len(s.text) }

func (s *scanner) at(c byte) bool { return s.off < len(s.text) && s.text[s.off] == c }

// here is the line and column of the next byte.
func (s *scanner) here() (line, column int) {
	for ; s.counted < s.off; s.counted++ {
		if s.text[s.counted] == '\n' {
			s.line++
			s.lineStart = s.counted + 1
		}
	}
	return s.line, s.off - s.lineStart + 1
}

func (s *scanner) stop(message string, final bool) {
	if s.err == nil {
		line, column := s.here()
		s.err = &scanError{line: line, column: column, message: message, final: final}
	}
}

func (s *scanner) fail(message string)   { s.stop(message, false) }
func (s *scanner) refuse(message string) { s.stop(message, true) }

// What skip passes over.
const (
	space = " \t"
	blank = " \t\r\n#" // newlines and comments too
)

// skip passes over the characters of set; a '#' takes the rest of its line.
func (s *scanner) skip(set string) {
	for !s.done() && strings.IndexByte(set, s.text[s.off]) >= 0 {
		if s.at('#') {
			n := strings.IndexByte(s.text[s.off:], '\n')
			if n < 0 {
				s.off = len(s.text)
				return
			}
			s.off += n
		}
		s.off++
	}
}

// endOfLine passes over what may follow a header or a pair on its line.
func (s *scanner) endOfLine() {
	s.skip(space)
	if !s.done() && !s.at('#') && !s.at('\r') && !s.at('\n') {
		s.fail("expected the end of the line")
	}
}

// key reads the parts of a key, and the space behind it.
func (s *scanner) key() []part {
	var parts []part
	for s.err == nil {
		s.skip(space)
		line, column := s.here()
		name := s.name()
		parts = append(parts, part{name, line, column})
		if len(parts) > maxParts {
			s.refuse("a key of too many parts")
		}
		s.skip(space)
		if !s.at('.') {
			break
		}
		s.off++
	}
	return parts
}

// name reads one part of a key: bare, "basic" or 'literal'.
func (s *scanner) name() string {
	start := s.off
	switch {
	case s.at('"'):
		s.quoted('"')
		if s.err != nil {
			return ""
		}
		return unescape(s.text[start+1 : s.off-1])
	case s.at('\''):
		s.quoted('\'')
		if s.err != nil {
			return ""
		}
		return s.text[start+1 : s.off-1]
	}
	for !s.done() && isBare(s.text[s.off]) {
		s.off++
	}
	if s.off == start {
		s.fail("expected a key")
	}
	return s.text[start:s.off]
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// stringValue passes a string of any of the four kinds.
func (s *scanner) stringValue() {
	quote := s.text[s.off]
	if strings.HasPrefix(s.text[s.off:], strings.Repeat(string(rune(quote)), 3)) {
		s.multiline(quote)
	} else {
		s.quoted(quote)
	}
}

// quoted passes a string of one line.
func (s *scanner) quoted(quote byte) {
	for s.off++; !s.done(); s.off++ {
		switch c := s.text[s.off]; {
		case c == quote:
			s.off++
			return
		case c == '\n':
			s.fail("a string without an end")
			return
		case c == '\\' && quote == '"':
			s.off++
		}
	}
	s.off = len(s.text)
	s.fail("a string without an end")
}

// multiline passes a string of many lines. It ends with the first run of three
// quotes or more; the quotes before the last three are the string's own.
func (s *scanner) multiline(quote byte) {
	run := 0
	for s.off += 3; !s.done(); s.off++ {
		c := s.text[s.off]
		switch {
		case c == quote:
			run++
			continue
		case run >= 3:
			return
		case c == '\\' && quote == '"':
			s.off++
		}
		run = 0
	}
	if s.off = len(s.text); run < 3 {
		s.fail("a string without an end")
	}
}

// unescape decodes the escapes of a basic string. What is not a valid escape
// stays: the decoder refuses it.
func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	short := map[byte]byte{'b': '\b', 't': '\t', 'n': '\n', 'f': '\f', 'r': '\r', 'e': 0x1b, '"': '"', '\\': '\\'}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		if c, ok := short[text[i]]; ok {
			b.WriteByte(c)
			continue
		}
		n := digits[text[i]]
		if n == 0 || i+n >= len(text) {
			b.WriteByte(text[i])
			continue
		}
		if r, err := strconv.ParseUint(text[i+1:i+1+n], 16, 32); err == nil && utf8.ValidRune(rune(r)) {
			b.WriteRune(rune(r))
		}
		i += n
	}
	return b.String()
}
