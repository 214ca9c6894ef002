package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error is one fault in a configuration, at the place that has to change.
type Error struct {
	// Source is the Name of the Source at fault.
	Source string
	// Line and Column count from 1, columns in bytes. Both are 0 for a Set
	// source; Column is 0 where only the line is known.
	Line, Column int
	// Key is the key path, "listeners.web.cluster" or
	// "clusters.web.endpoints[1].weight" (elements count from 0). It is empty
	// for a syntax error.
	Key string
	// Message says what is wrong and what is wanted.
	Message string
	// Suggestion is what was probably meant, or empty.
	Suggestion string
}

// Error is one line: source:line: key: message, did you mean "suggestion"?
// Syntax errors give the column too.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Source)
	if e.Line > 0 {
		b.WriteString(":" + strconv.Itoa(e.Line))
		if e.Key == "" && e.Column > 0 {
			b.WriteString(":" + strconv.Itoa(e.Column))
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Message)
	if e.Suggestion != "" {
		fmt.Fprintf(&b, ", did you mean %q?", e.Suggestion)
	}
	return b.String()
}

// Errors is every fault found, in the order of sources and lines, at most
// MaxErrors and one that says how many more there are. It is never empty.
type Errors []Error

// Error is one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each error to errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// issue is an Error before it is known whether it will be shown: finding the
// nearest word among thousands is left until then.
type issue struct {
	Error
	source int // index of the source, for the order
	word   string
	among  []string
	listed bool // name all of among when none is near
}

// maxHeld is how many issues are held before those that will not be shown are
// dropped: a text of many megabytes may have one every few bytes.
const maxHeld = 4096

// issues collects what is wrong with all sources.
type issues struct {
	sources []Source
	found   []issue
	dropped int // issues that come after MaxErrors others
}

// add records one issue at p; the caller may still add to what it returns.
func (s *issues) add(p position, key, message string) *issue {
	if len(s.found) >= maxHeld {
		s.trim()
	}
	i := issue{Error: Error{Line: p.line, Column: p.column, Key: key, Message: message}, source: p.source}
	if p.source >= 0 && p.source < len(s.sources) {
		i.Source = s.sources[p.source].Name
	}
	s.found = append(s.found, i)
	return &s.found[len(s.found)-1]
}

// errors is what Parse returns: nil when nothing was found.
func (s *issues) errors() error {
	if len(s.found) == 0 {
		return nil
	}
	s.trim()
	all := make(Errors, 0, len(s.found)+1)
	for i := range s.found {
		all = append(all, s.found[i].finish())
	}
	if s.dropped > 0 {
		all = append(all, Error{Message: fmt.Sprintf("and %d more", s.dropped)})
	}
	return all
}

// trim sorts the issues and keeps as many as are shown.
func (s *issues) trim() {
	slices.SortStableFunc(s.found, func(a, b issue) int {
		return cmp.Or(
			cmp.Compare(a.source, b.source),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.Message, b.Message))
	})
	if more := len(s.found) - MaxErrors; more > 0 {
		s.dropped += more
		clear(s.found[MaxErrors:])
		s.found = s.found[:MaxErrors]
	}
}

// finish looks for the word that was meant, where there is something to look in.
func (i *issue) finish() Error {
	if i.word == "" || len(i.among) == 0 {
		return i.Error
	}
	if near, ok := nearest(i.word, i.among); ok {
		i.Suggestion = near
	} else if i.listed {
		i.Message += "; known here: " + strings.Join(i.among, ", ")
	}
	return i.Error
}
