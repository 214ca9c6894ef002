package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// expectation is what an answer has to be.
type expectation struct {
	prefix []byte
	match  *regexp.Regexp // nil = prefix
}

// verdict is what an expectation says of an answer, or of what has come of it.
type verdict uint8

const (
	undecided verdict = iota
	met
	failed
)

// parseExpect reads a prefix, or "~" and a regular expression; nil for "".
func parseExpect(s string) (*expectation, error) {
	if s == "" {
		return nil, nil
	}
	pattern, ok := strings.CutPrefix(s, "~")
	if !ok {
		if len(s) > mostRead {
			return nil, fmt.Errorf("longer than the %d bytes of an answer that are looked at", mostRead)
		}
		return &expectation{prefix: []byte(s)}, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return &expectation{match: re}, nil
}

// String returns it as people write it.
func (e *expectation) String() string {
	if e.match != nil {
		return quote([]byte("~" + e.match.String()))
	}
	return quote(e.prefix)
}

// judge looks at what has come; end says that no more will.
func (e *expectation) judge(got []byte, end bool) verdict {
	switch {
	case e.match != nil && e.match.Match(got):
		return met
	case e.match == nil && bytes.HasPrefix(got, e.prefix):
		return met
	case end:
		return failed
	case e.differs(got):
		return failed
	}
	return undecided
}

// differs says that no more bytes would have helped.
func (e *expectation) differs(got []byte) bool {
	return e.match == nil && !bytes.HasPrefix(e.prefix, got)
}

// freelyMatched is after how many looks at an answer that comes in crumbs it has to have grown by an eighth to be looked at again: a
// look is at all of it.
const freelyMatched = 256

// await reads until the expectation is met or can't be any more. It returns what it read and the verdict; undecided with the error that
// ended it sooner, which isn't io.EOF: that is the end of the answer.
func (e *expectation) await(r io.Reader) ([]byte, verdict, error) {
	got := make([]byte, 0, 512)
	next := 1 // length at which to look again
	for looks := 0; ; {
		if len(got) == cap(got) {
			got = append(got, 0)[:len(got)]
		}
		n, err := r.Read(got[len(got):min(cap(got), mostRead)])
		got = got[:len(got)+n]
		end := err != nil || len(got) == mostRead
		if len(got) >= next || end {
			v := e.judge(got, end && (err == nil || errors.Is(err, io.EOF)))
			if v != undecided || end {
				return got, v, err
			}
			if looks++; looks >= freelyMatched {
				next = len(got) + len(got)/8 + 1
			} else {
				next = len(got) + 1
			}
		}
	}
}
