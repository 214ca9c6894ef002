package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonReader makes nodes of a text that is JSON, with the line of each value. It
// stops at one that is nested too deeply, and at a name that an object has twice.
type jsonReader struct {
	text    string
	decoder *json.Decoder
	line    int
	counted int // offset up to which lines are counted
}

// null is the value of null, for errors.
type null struct{}

// json decodes one JSON text into a tree. An issue is added, and nil returned,
// when it is not JSON (RFC 8259), and when an object has a name twice.
func (s *issues) json(text string) *node {
	if !utf8.ValidString(text) {
		at := strings.ToValidUTF8(text, "\x00")
		s.add(position{line: 1 + strings.Count(at[:strings.IndexByte(at, 0)], "\n")}, "", "not UTF-8")
		return nil
	}
	var whole json.RawMessage
	if err := json.Unmarshal([]byte(text), &whole); err != nil {
		at := position{line: 1}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			before := text[:min(max(int(syntax.Offset)-1, 0), len(strings.TrimRight(text, " \t\r\n")))]
			at = position{line: 1 + strings.Count(before, "\n"), column: len(before) - strings.LastIndexByte(before, '\n')}
		}
		s.add(at, "", "not JSON: "+clip(err.Error(), maxMessage))
		return nil
	}
	j := &jsonReader{text: text, decoder: json.NewDecoder(strings.NewReader(text)), line: 1}
	j.decoder.UseNumber()
	n, err := j.value(0)
	if err != nil {
		s.add(position{line: j.line}, "", err.Error())
		return nil
	}
	return n
}

// next is the next token and the line on which it ends: none has a newline in it.
func (j *jsonReader) next() (json.Token, position, error) {
	token, err := j.decoder.Token()
	for end := min(int(j.decoder.InputOffset()), len(j.text)); j.counted < end; j.counted++ {
		if j.text[j.counted] == '\n' {
			j.line++
		}
	}
	return token, position{line: j.line}, err
}

func (j *jsonReader) value(depth int) (*node, error) {
	token, at, err := j.next()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	n := &node{at: at}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			err = j.list(n, depth)
		} else {
			err = j.object(n, depth)
		}
	case json.Number:
		if whole, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			n.scalar = whole
		} else {
			n.scalar, _ = strconv.ParseFloat(v.String(), 64) // infinite where it is too large
		}
	case nil:
		n.scalar = null{}
	default:
		n.scalar = v
	}
	return n, err
}

func (j *jsonReader) list(n *node, depth int) error {
	n.list = []*node{}
	for j.decoder.More() {
		element, err := j.value(depth + 1)
		if err != nil {
			return err
		}
		n.list = append(n.list, element)
	}
	_, _, err := j.next()
	return err
}

func (j *jsonReader) object(n *node, depth int) error {
	n.table = make(map[string]*node)
	for j.decoder.More() {
		token, _, err := j.next()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder takes no other
		if first := n.table[name]; first != nil {
			return fmt.Errorf("%s is there already, on line %d", quoteKey(name), first.at.line)
		}
		if n.table[name], err = j.value(depth + 1); err != nil {
			return err
		}
	}
	_, _, err := j.next()
	return err
}
