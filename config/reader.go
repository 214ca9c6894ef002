package config

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// reader carries the issues found through the schema.
type reader struct {
	*issues
	// partial says that a source could not be read, so that what is missing may
	// have been in it.
	partial bool
}

// want adds an issue: what should have been there, and what is.
func (r *reader) want(at *keyPath, n *node, what string) *issue {
	return r.add(n.at, at.String(), "want "+what+", got "+n.describe())
}

// say adds an issue about a value that is well-formed.
func (r *reader) say(at *keyPath, n *node, format string, args ...any) *issue {
	return r.add(n.at, at.String(), fmt.Sprintf(format, args...))
}

// missing adds an issue about what is not there, unless it may have been in a
// source that could not be read.
func (r *reader) missing(at *keyPath, n *node, format string, args ...any) {
	if !r.partial {
		r.say(at, n, format, args...)
	}
}

// checkName refuses names that could not be shown on one line of a log, a
// metric's label or a page.
func (r *reader) checkName(at *keyPath, n *node, name string) {
	switch {
	case name == "":
		r.say(at, n, "the name is empty")
	case len(name) > maxName:
		r.say(at, n, "the name has %d bytes, at most %d are allowed", len(name), maxName)
	default:
		for _, c := range name {
			if !unicode.IsPrint(c) {
				r.say(at, n, "the name holds %q, which cannot be printed", c)
				return
			}
		}
	}
}

// text is a string, or the text of an unquoted --set value: what a cluster's
// name looks like to TOML is nothing its user has to know.
func (n *node) text() (string, bool) {
	if s, ok := n.scalar.(string); ok {
		return s, true
	}
	return n.raw, n.raw != "" && n.scalar != nil
}

// misread tells whether a word of the document is not the one in its place, which
// was said: nothing follows from that one.
func misread(n *node, word string) bool {
	if n == nil {
		return false
	}
	text, ok := n.text()
	return !ok || text != "" && text != word
}

// given tells whether a key is there and not empty, right or wrong.
func given(n *node) bool { return n != nil && n.scalar != "" }

// shown is how much of a value an error repeats.
const shown = 64

// clip cuts a text to at most most bytes, between characters, and shows that.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "..."
}

// describe says what a value is, for errors.
func (n *node) describe() string {
	switch v := n.scalar.(type) {
	case string:
		if len(v) > shown {
			return "a string of " + strconv.Itoa(len(v)) + " bytes, " + strconv.Quote(clip(v, shown))
		}
		return "the string " + strconv.Quote(v)
	case int64:
		return "the integer " + strconv.FormatInt(v, 10)
	case float64:
		return "the number " + literal(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return "a date or time"
	case null:
		return "null"
	}
	if n.table != nil {
		return "a table"
	}
	return "a list"
}

// literal is a scalar as TOML writes it; empty for nil.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		s := strconv.FormatFloat(v, 'g', -1, 64)
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			s = strconv.FormatFloat(v, 'f', 1, 64)
		}
		return s
	}
	return ""
}
