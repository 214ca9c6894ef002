package config

import (
	"fmt"
	"strings"
)

// maxEndpoints is the most endpoints that ParseEndpoints takes.
const maxEndpoints = 65536

// list is what a file of endpoints holds, in TOML or as a JSON object.
type list struct{ endpoints []Endpoint }

func listTable() table[list] {
	return table[list]{entries: []entry[list]{
		key(endpoints(), func(l *list) *[]Endpoint { return &l.endpoints }, doc{
			name: "endpoints", help: "The servers.", example: `["10.0.0.1:8080"]`}),
	}}
}

// ParseEndpoints reads what Discover.File holds: endpoints as a cluster has them,
// in TOML
//
//	endpoints = ["10.0.0.1:8080", { address = "10.0.0.2:8080", weight = 2 }]
//
// or in JSON, as a list or as an object with a list of that name. A text that
// begins with "{" is JSON, and one that begins with "[" unless it is the header of
// a TOML table; the source's Kind is not looked at. They are validated as those of
// a cluster, but there may be none, and at most 65536. The error is an Errors with
// everything that is wrong; there are no endpoints then.
func ParseEndpoints(s Source) ([]Endpoint, error) {
	found := &issues{sources: []Source{s}}
	all := found.endpoints(s.Text)
	if err := found.errors(); err != nil {
		return nil, err
	}
	return all, nil
}

func (s *issues) endpoints(text string) []Endpoint {
	if len(text) > MaxText {
		s.add(position{}, "", fmt.Sprintf("the file is larger than %d MiB", MaxText>>20))
		return nil
	}
	text = strings.TrimPrefix(text, "\ufeff")
	var n *node
	if isJSON(text) {
		n = s.json(text)
	} else {
		n = document(s, 0, text)
	}
	if n == nil {
		return nil
	}
	r := &reader{issues: s}
	var at *keyPath
	all := n // the list
	if n.table != nil {
		at, all = at.key("endpoints"), n.table["endpoints"]
	}
	switch {
	case all == nil:
		// So it is with a file that is being written: an empty list has to be said.
		r.say(nil, n, `want endpoints, such as endpoints = ["10.0.0.1:8080"] in TOML, or ["10.0.0.1:8080"] in JSON; [] is none`)
	case len(all.list) > maxEndpoints:
		r.say(at, all, "%d endpoints are more than the %d that a file may hold", len(all.list), maxEndpoints)
		return nil
	}
	if n.table == nil {
		l, _ := endpoints().read(r, nil, n)
		checkEndpoints(r, nil, n, l)
		return l
	}
	l, _ := listTable().read(r, nil, n)
	checkEndpoints(r, at, all, l.endpoints)
	return l.endpoints
}

// isJSON tells a JSON text from a TOML document by how it begins. A list in JSON
// and a table's header in TOML both begin with "[": a header goes on with a bare
// key, or names endpoints in quotes as an element of that list.
func isJSON(text string) bool {
	text = strings.TrimLeft(text, " \t\r\n")
	if !strings.HasPrefix(text, "[") {
		return strings.HasPrefix(text, "{")
	}
	element, many := strings.CutPrefix(text[1:], "[")
	name := strings.TrimLeft(element, " \t\r\n")
	if many {
		for _, quoted := range []string{`"endpoints"`, `'endpoints'`} {
			if after, ok := strings.CutPrefix(name, quoted); ok && strings.HasPrefix(strings.TrimLeft(after, " \t"), "]]") {
				return false
			}
		}
	}
	bare := name[:len(name)-len(strings.TrimLeftFunc(name, func(c rune) bool { return c < 0x80 && isBare(byte(c)) }))]
	switch bare {
	case "", "true", "false", "null":
		return true
	}
	return bare[0] == '-' || bare[0] >= '0' && bare[0] <= '9'
}
