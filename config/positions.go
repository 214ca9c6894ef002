package config

import (
	"cmp"
	"fmt"
	"strings"
)

// position is a place in the sources. Line and column count from 1, the column
// in bytes; both are 0 where there is no more to say than which source it is.
type position struct {
	source, line, column int
}

// compare orders positions as the sources and their lines are.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.source, q.source), cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

// mark is where a key or array element of a document stands, with the marks
// below it. The tree has the shape of the decoded document: tables by key,
// arrays (of tables too) by element.
type mark struct {
	line, column int
	assigned     bool // by key = value, which is the whole of it
	table        map[string]*mark
	list         []*mark
}

// key is the mark below m for one key; nil when there is none, also of a nil m.
func (m *mark) key(name string) *mark {
	if m == nil {
		return nil
	}
	return m.table[name]
}

// element is the mark of one element; nil when there is none.
func (m *mark) element(i int) *mark {
	if m == nil || i >= len(m.list) {
		return nil
	}
	return m.list[i]
}

// below is the mark of one key, made at p when the document had none yet.
func (m *mark) below(p part) *mark {
	if m.table == nil {
		m.table = make(map[string]*mark)
	}
	next := m.table[p.name]
	if next == nil {
		next = &mark{line: p.line, column: p.column}
		m.table[p.name] = next
	}
	return next
}

// open is the table that a header or a dotted key enters on its way: the last
// element of an array of tables, else the mark itself.
func (m *mark) open() *mark {
	if n := len(m.list); n > 0 {
		return m.list[n-1]
	}
	return m
}

// positions finds where every key and element of a TOML document stands. It
// follows the document's structure alone (headers, keys, strings, arrays, inline
// tables) and takes every document that the decoder takes, and some that it
// refuses: those positions are never asked for. saw, unless nil, is given every
// key path in the order of the document.
func positions(text string, saw func(path []string)) (*mark, *scanError) {
	s := newScanner(text)
	s.saw = saw
	root := &mark{line: 1, column: 1}
	current, prefix := root, []string(nil)
	for {
		s.skip(blank)
		if s.done() {
			return root, nil
		}
		if s.at('[') {
			if current, prefix = s.header(root); s.err != nil {
				return root, s.err
			}
		} else {
			s.pair(current, prefix, 0)
		}
		if s.err == nil {
			s.endOfLine()
		}
		if s.err != nil {
			return root, s.err
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the table it opens, and its path.
func (s *scanner) header(root *mark) (*mark, []string) {
	s.off++
	array := s.at('[')
	if array {
		s.off++
	}
	parts := s.key()
	if s.err != nil {
		return nil, nil
	}
	end := "]"
	if array {
		end = "]]"
	}
	if !strings.HasPrefix(s.text[s.off:], end) {
		s.fail("expected '" + end + "'")
		return nil, nil
	}
	s.off += len(end)
	above, last := s.walk(root, nil, parts)
	m := above.below(last)
	path := names(nil, parts)
	if m.assigned {
		s.twice(path, m, last)
	}
	s.see(path)
	if s.err != nil {
		return nil, nil
	}
	if array {
		element := &mark{line: last.line, column: last.column}
		m.list = append(m.list, element)
		m = element
	} else {
		m = m.open()
		m.line, m.column = last.line, last.column // it may have been opened by a table below it
	}
	return m, path
}

// walk goes from m to the table that holds the last of the parts. Only tables
// are walked through: to add to what an assignment gave is an error that the
// decoder misses in places.
func (s *scanner) walk(m *mark, prefix []string, parts []part) (*mark, part) {
	last := len(parts) - 1
	for i, p := range parts[:last] {
		if m = m.below(p); m.assigned {
			s.twice(names(prefix, parts[:i+1]), m, p)
		}
		m = m.open()
	}
	return m, parts[last]
}

// twice stops at a part whose key has a value already, at m.
func (s *scanner) twice(path []string, m *mark, p part) {
	if s.err == nil {
		var key *keyPath
		for _, name := range path {
			key = key.key(name)
		}
		s.err = &scanError{line: p.line, column: p.column, final: true,
			message: clip(key.String(), maxMessage) + fmt.Sprintf(" is defined already, on line %d", m.line)}
	}
}

// pair reads key = value into the table m, whose path is prefix.
func (s *scanner) pair(m *mark, prefix []string, depth int) {
	parts := s.key()
	if s.err != nil {
		return
	}
	if !s.at('=') {
		s.fail("expected '='")
		return
	}
	s.off++
	s.skip(space)
	m, last := s.walk(m, prefix, parts)
	path := names(prefix, parts)
	if first := m.key(last.name); first != nil {
		s.twice(path, first, last)
	}
	s.see(path)
	if s.err != nil {
		return
	}
	m = m.below(last)
	m.assigned = true
	s.value(m, path, depth)
}

// value reads one value, putting the marks of what is inside below m.
func (s *scanner) value(m *mark, path []string, depth int) {
	if depth > maxDepth {
		s.refuse("nested too deeply")
		return
	}
	switch {
	case s.at('['):
		s.array(m, path, depth)
	case s.at('{'):
		s.inlineTable(m, path, depth)
	case s.at('"'), s.at('\''):
		s.stringValue()
	default:
		s.scalar()
	}
}

func (s *scanner) array(m *mark, path []string, depth int) {
	s.off++
	for s.err == nil {
		s.skip(blank)
		if s.at(']') {
			s.off++
			return
		}
		line, column := s.here()
		element := &mark{line: line, column: column}
		m.list = append(m.list, element)
		if s.value(element, path, depth+1); s.err == nil {
			s.separator(']')
		}
	}
}

func (s *scanner) inlineTable(m *mark, path []string, depth int) {
	s.off++
	for s.err == nil {
		s.skip(blank)
		if s.at('}') {
			s.off++
			return
		}
		if s.pair(m, path, depth+1); s.err == nil {
			s.separator('}')
		}
	}
}

// separator reads the comma after an element; the end is left for the caller.
func (s *scanner) separator(end byte) {
	s.skip(blank)
	switch {
	case s.at(','):
		s.off++
	case !s.at(end):
		s.fail("expected a comma or '" + string(rune(end)) + "'")
	}
}

// scalar passes a number, boolean or date: none of them holds what ends it.
func (s *scanner) scalar() {
	n := strings.IndexAny(s.text[s.off:], ",]}#\r\n")
	if n < 0 {
		n = len(s.text) - s.off
	}
	if strings.TrimLeft(s.text[s.off:s.off+n], " \t") == "" {
		s.fail("expected a value")
		return
	}
	s.off += len(strings.TrimRight(s.text[s.off:s.off+n], " \t"))
}

func (s *scanner) see(path []string) {
	if s.saw != nil {
		s.saw(path)
	}
}

func names(prefix []string, parts []part) []string {
	path := make([]string, 0, len(prefix)+len(parts))
	path = append(path, prefix...)
	for _, p := range parts {
		path = append(path, p.name)
	}
	return path
}
