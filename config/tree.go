package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"
)

// node is one value of the merged document with the place it came from. It is a
// table, a list, or a scalar: whichever of the three fields is not nil.
type node struct {
	at     position
	table  map[string]*node
	list   []*node
	scalar any
	raw    string // the text behind an unquoted --set value
}

// child is the node below n for one key; nil when there is none, also of a nil n.
func (n *node) child(name string) *node {
	if n == nil {
		return nil
	}
	return n.table[name]
}

// element is one element of a list, or the value itself where one may stand for
// a list of one.
func (n *node) element(i int) *node {
	if n == nil || n.list == nil {
		return n
	}
	return n.list[i]
}

// merge puts what came later over what came earlier: tables key by key,
// everything else whole.
func merge(earlier, later *node) *node {
	if earlier == nil || earlier.table == nil || later.table == nil {
		return later
	}
	for name, value := range later.table {
		earlier.table[name] = merge(earlier.table[name], value)
	}
	return earlier
}

// document decodes one TOML text into a tree. An issue is added, and nil
// returned, when it is not TOML.
func document(found *issues, source int, text string) *node {
	text = strings.TrimPrefix(text, "\ufeff")
	marks, stop := positions(text, nil)
	if stop != nil && stop.final {
		found.add(position{source, stop.line, stop.column}, "", stop.message)
		return nil
	}
	decoded, err := decode(text)
	if err != nil {
		found.syntax(source, text, err)
		return nil
	}
	if stop != nil { // the two disagree: values still count, places are unknown
		marks = nil
	}
	return tree(decoded, marks, position{source: source, line: 1})
}

// decode is the TOML decoder, which must not bring the process down.
func decode(text string) (decoded map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read as TOML: %v", r)
		}
	}()
	_, err = toml.Decode(text, &decoded)
	return decoded, err
}

// maxMessage is how much of a decoder's message is shown, in bytes: it may
// repeat a key of any length.
const maxMessage = 400

// syntax adds what the decoder says of a text that is not TOML.
func (s *issues) syntax(source int, text string, err error) {
	at, message := position{source: source, line: 1}, err.Error()
	var parse toml.ParseError
	if errors.As(err, &parse) {
		at, message = within(text, parse.Position), parse.Message
		at.source = source
	}
	message = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.TrimSpace(message))
	s.add(at, "", clip(message, maxMessage))
}

// within is a decoder's position, kept within the text. The column is given only
// if it belongs to the line.
func within(text string, p toml.Position) position {
	lines := 1 + strings.Count(strings.TrimSuffix(text, "\n"), "\n")
	at := position{line: min(max(p.Line, 1), lines)}
	before := text[:min(max(p.Start, 0), len(text))]
	if 1+strings.Count(before, "\n") == at.line {
		at.column = len(before) - strings.LastIndexByte(before, '\n')
	}
	return at
}

// tree puts decoded values and their marks together. Where there is no mark the
// place is that of what is around.
func tree(value any, m *mark, around position) *node {
	at := around
	if m != nil {
		at.line, at.column = m.line, m.column
	}
	n := &node{at: at}
	switch v := value.(type) {
	case map[string]any:
		n.table = make(map[string]*node, len(v))
		for name, value := range v {
			n.table[name] = tree(value, m.key(name), at)
		}
	case []map[string]any:
		n.list = make([]*node, len(v))
		for i := range v {
			n.list[i] = tree(v[i], m.element(i), at)
		}
	case []any:
		n.list = make([]*node, len(v))
		for i := range v {
			n.list[i] = tree(v[i], m.element(i), at)
		}
	default:
		n.scalar = v
	}
	return n
}
