package config

import "strconv"

// keyPath is a place in the configuration, as errors name it.
type keyPath struct {
	above *keyPath
	name  string
	index int // -1 for a key
}

func (p *keyPath) key(name string) *keyPath { return &keyPath{p, name, -1} }
func (p *keyPath) element(i int) *keyPath   { return &keyPath{p, "", i} }
func join(above, name string) string        { return joined(above, ".", name) }
func joined(a, between, b string) string {
	if a == "" {
		return b
	}
	return a + between + b
}

// String is the path as it would be written in TOML, with elements in brackets.
func (p *keyPath) String() string {
	switch {
	case p == nil:
		return ""
	case p.index >= 0:
		return p.above.String() + "[" + strconv.Itoa(p.index) + "]"
	}
	return join(p.above.String(), quoteKey(p.name))
}

// quoteKey is one part of a key as TOML wants it.
func quoteKey(name string) string {
	name = clip(name, maxName)
	for i := range len(name) {
		if !isBare(name[i]) {
			return strconv.Quote(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}
