package config

import "fmt"

// Parse merges the sources in order, reads what they say and validates it whole.
// No sources are the defaults alone. The error, if any, is an Errors with
// everything that is wrong; there is no Snapshot then.
func Parse(sources []Source) (*Snapshot, error) {
	found := &issues{sources: sources}
	total := 0
	for i, s := range sources {
		if total += len(s.Text); total > MaxText {
			found.add(position{source: i}, "", fmt.Sprintf("the configuration is larger than %d MiB", MaxText>>20))
			return nil, found.errors()
		}
	}
	var root *node
	for i, s := range sources {
		var n *node
		if s.Kind == Set {
			n = assignment(found, i, s.Text)
		} else {
			n = document(found, i, s.Text)
		}
		if n != nil {
			root = merge(root, n)
		}
	}
	if root == nil {
		root = &node{table: map[string]*node{}}
	}
	// What a source that could not be read would have said is not known, so
	// nothing is called missing then.
	r := &reader{issues: found, partial: len(found.found) > 0}
	schema := rootTable()
	s, _ := schema.read(r, nil, root)
	if !r.partial {
		r.checkReferences(root, &s)
		r.checkTracking(root, &s)
		r.checkBinds(root, &s)
		r.checkConnectionIDs(root, &s)
	}
	if err := found.errors(); err != nil {
		return nil, err
	}
	return &s, nil
}
