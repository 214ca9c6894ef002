package config

import (
	"reflect"
	"slices"
	"strings"
)

// The schema is one tree of tables and their keys, and all there is to know of a
// key is said once: its name, how it is read, where it goes, its default, its
// help. Parse, Diff and Keys all walk this tree, so that nothing can be read and
// not be documented or compared.

// kind says how values of one type are read and what the reference says of them.
type kind[V any] struct {
	name string
	// section says that an absent value is read as an empty table, which gives
	// the defaults of its keys.
	section bool
	// each is what stands for the user's names in a path: ".*", else empty.
	each string
	// read decodes n, which is never nil. It adds an issue, and says false,
	// when n is not what it should be.
	read func(r *reader, at *keyPath, n *node) (V, bool)
	// describe lists the keys below path; nil for a kind that has none.
	describe func(path string) []Key
	// changed lists the keys below that differ; nil where values are compared whole.
	changed func(old, new *V) []string
}

// doc is what is said of a key.
type doc struct {
	name string
	// def is the default as a document would give it, a string, int64, float64
	// or bool; nil is none.
	def any
	// udp is the default of UDP listeners where it is another; their check fills
	// it in.
	udp any
	// zeroIsDefault makes a zero or empty value mean the default.
	zeroIsDefault bool
	help, example string
}

// entry is one key of a table that is decoded into a T.
type entry[T any] struct {
	name     string
	read     func(r *reader, at *keyPath, n *node, around *node, into *T)
	describe func(path string) []Key
	changed  func(old, new *T) []string
}

// table is a kind of value whose keys are known.
type table[T any] struct {
	entries []entry[T]
	check   func(r *reader, at *keyPath, n *node, v *T) // after all keys are read; may be nil
	on      func(*T) *bool                              // whether the table is there, of an optional one
}

// key makes the entry for a value of kind k that lives in field.
func key[T, V any](k kind[V], field func(*T) *V, d doc) entry[T] {
	return entry[T]{
		name: d.name,
		read: func(r *reader, at *keyPath, n, around *node, into *T) {
			to := field(into)
			switch {
			case d.def != nil:
				*to, _ = k.read(r, at, &node{at: around.at, scalar: d.def})
			case n == nil && k.section:
				*to, _ = k.read(r, at, &node{at: around.at, table: map[string]*node{}})
			}
			if n == nil {
				return
			}
			if v, ok := k.read(r, at, n); ok && !(d.zeroIsDefault && reflect.ValueOf(&v).Elem().IsZero()) {
				*to = v
			}
		},
		describe: func(path string) []Key {
			at := join(path, d.name)
			own := Key{Path: at + k.each, Type: k.name, Default: literal(d.def), DefaultUDP: literal(d.udp), Help: d.help, Example: d.example}
			if k.describe == nil {
				return []Key{own}
			}
			return append([]Key{own}, k.describe(at)...)
		},
		changed: func(old, new *T) []string {
			a, b := field(old), field(new)
			switch {
			case reflect.DeepEqual(*a, *b):
				return nil
			case k.changed == nil:
				return []string{d.name}
			}
			below := k.changed(a, b)
			for i := range below {
				if below[i] != "" { // else it is the table itself that came or went
					below[i] = "." + below[i]
				}
				below[i] = d.name + below[i]
			}
			return below
		},
	}
}

// read decodes a table; nothing at fault in it keeps the rest from being read.
func (t table[T]) read(r *reader, at *keyPath, n *node) (T, bool) {
	var v T
	if n.table == nil {
		r.want(at, n, "a table of keys")
		return v, false
	}
	for _, e := range t.entries {
		e.read(r, at.key(e.name), n.table[e.name], n, &v)
	}
	for _, name := range sortedKeys(n.table) {
		if !slices.ContainsFunc(t.entries, func(e entry[T]) bool { return e.name == name }) {
			i := r.add(n.table[name].at, at.key(name).String(), "unknown key")
			i.word, i.among, i.listed = name, t.names(), true
		}
	}
	if t.check != nil {
		t.check(r, at, n, &v)
	}
	return v, true
}

// defaults is what no keys at all give, unchecked.
func (t table[T]) defaults() T {
	var v T
	nothing := &node{table: map[string]*node{}}
	for _, e := range t.entries {
		e.read(&reader{issues: &issues{}}, nil, nil, nothing, &v)
	}
	return v
}

func (t table[T]) names() []string {
	all := make([]string, len(t.entries))
	for i := range t.entries {
		all[i] = t.entries[i].name
	}
	return all
}

func (t table[T]) describe(path string) []Key {
	var all []Key
	for _, e := range t.entries {
		all = append(all, e.describe(path)...)
	}
	return all
}

// changed lists the keys in which two values differ.
func (t table[T]) changed(old, new *T) []string {
	var all []string
	for _, e := range t.entries {
		all = append(all, e.changed(old, new)...)
	}
	return all
}

// kind makes a table a value of another table.
func (t table[T]) kind() kind[T] {
	return kind[T]{name: "table", section: true, read: t.read, describe: t.describe, changed: t.changed}
}

// optional is a table that means something by being there, even empty; the
// table around it sets on.
func (t table[T]) optional() kind[T] {
	k := t.kind()
	k.read = func(r *reader, at *keyPath, n *node) (T, bool) {
		if n.scalar == true { // "tls = true" means the table with its defaults
			var v T
			r.want(at, n, "a table of keys, which may be empty").Suggestion = "{}"
			return v, false
		}
		return t.read(r, at, n)
	}
	k.changed = func(old, new *T) []string {
		all := t.changed(old, new)
		if *t.on(old) != *t.on(new) {
			all = append(all, "")
		}
		return all
	}
	return k
}

// named is a table of tables, each under a name of the user's: [listeners.web].
// The values come out sorted by name.
func named[T any](t table[T], name func(*T) *string) kind[[]T] {
	return kind[[]T]{
		name: "table",
		each: ".*",
		read: func(r *reader, at *keyPath, n *node) ([]T, bool) {
			if n.table == nil {
				r.want(at, n, "a table for each name, ["+at.String()+".NAME]")
				return nil, false
			}
			var all []T
			for _, key := range sortedKeys(n.table) {
				r.checkName(at.key(key), n.table[key], key)
				v, _ := t.read(r, at.key(key), n.table[key])
				*name(&v) = key
				all = append(all, v)
			}
			return all, true
		},
		describe: func(path string) []Key { return t.describe(join(path, "*")) },
	}
}

func plural(name string) string {
	if strings.HasSuffix(name, "s") {
		return name + "es"
	}
	return name + "s"
}

// listOf is a list of values of kind k. What is at fault leaves a zero value in
// its place, so that indices stay those of the document.
func listOf[V any](k kind[V], want string) kind[[]V] {
	l := kind[[]V]{
		name: "list of " + plural(k.name),
		read: func(r *reader, at *keyPath, n *node) ([]V, bool) {
			if n.list == nil {
				r.want(at, n, want)
				return nil, false
			}
			var all []V
			for i := range n.list {
				v, _ := k.read(r, at.element(i), n.list[i])
				all = append(all, v)
			}
			return all, true
		},
	}
	if k.describe != nil {
		l.describe = func(path string) []Key { return k.describe(path + "[]") }
	}
	return l
}
