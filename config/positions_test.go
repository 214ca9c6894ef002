package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// want is path=line:column for some keys and elements of a document.
func TestPositions(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"pairs", "a = 1\n  b = 2\n", "a=1:1 b=2:3"},
		{"headers", "[a]\nx = 1\n[a.b]\nx = 1\n[ c . d ]\n", "a=1:2 a.x=2:1 a.b=3:4 a.b.x=4:1 c=5:3 c.d=5:7"},
		{"header behind its own subtable", "[a.b]\n[a]\n", "a=2:2 a.b=1:4"},
		{"dotted", "a.b . c = 1\n", "a=1:1 a.b=1:3 a.b.c=1:7"},
		{"quoted", "\"a b\".'c\"d' = 1\n\"\\u0041\\t\" = 2\n", `a b=1:1 a b.c"d=1:7 A	=2:1`},
		{"array", "a = [ 1,\n  2, # three ]\n  [3, 4],\n]\n", "a=1:1 a.0=1:7 a.1=2:3 a.2=3:3 a.2.1=3:7"},
		{"inline", "a = { b = 1,\n c = { d = 2 } }\n", "a=1:1 a.b=1:7 a.c=2:2 a.c.d=2:8"},
		{"array of inline", "a = [\n  { b = 1 },\n  { b = 2 }\n]", "a.0=2:3 a.0.b=2:5 a.1.b=3:5"},
		{"array of tables", "[[a]]\nb = 1\n[[a.c]]\nd = 1\n[[a]]\nb = 2\n[a.e]\nf = 1\n", "a=1:3 a.0.b=2:1 a.0.c.0.d=4:1 a.1=5:3 a.1.b=6:1 a.1.e.f=8:1"},
		{"strings", "a = \"x # \\\" =\" # = \nb = '\\'\nc = \"\"\"\n]\n\\\"\"\"\"\"\"\nd = '''\n''''' \ne = 1", "b=2:1 c=3:1 d=6:1 e=8:1"},
		{"scalars", "a = 1979-05-27 07:32:00\nb = +inf # c\nc = [1.5, true]", "b=2:1 c.1=3:11"},
		{"line ends", "a = 1\r\n\r\n# c\r\nb = 2\r\n", "b=4:1"},
		{"byte order mark", "\xef\xbb\xbfa = 1\n", "a=1:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, stop := positions(c.text, nil)
			if stop != nil {
				t.Fatalf("stopped: %+v", stop)
			}
			for _, w := range strings.Split(c.want, " ") {
				if c.name == "quoted" {
					break
				}
				path, at, _ := strings.Cut(w, "=")
				if got := lookup(root, strings.Split(path, ".")); got != at {
					t.Errorf("%s is at %s, want %s", path, got, at)
				}
			}
			if c.name == "quoted" {
				for path, at := range map[string]string{"a b": "1:1", "a b|c\"d": "1:7", "A\t": "2:1"} {
					if got := lookup(root, strings.Split(path, "|")); got != at {
						t.Errorf("%s is at %s, want %s", path, got, at)
					}
				}
			}
			agree(t, c.text)
		})
	}
}

// What the scanner refuses is refused for the same place, and nothing else is.
func TestPositionsStop(t *testing.T) {
	for _, c := range []struct {
		text         string
		line, column int
		final        bool
	}{
		{"a", 1, 2, false},
		{"a = 1\nb = \"x\n", 2, 7, false},
		{"a = \"\"\"\n\n", 3, 1, false},
		{"[a\n", 1, 3, false},
		{"[[a]\n", 1, 4, false},
		{"a = ['' 2]", 1, 9, false},
		{"a = [1", 1, 7, false},
		{"a = { b = '' c = 2 }", 1, 14, false},
		{"a = ", 1, 5, false},
		{"= 1", 1, 1, false},
		{"a = '' ''", 1, 8, false},
		{"a = " + strings.Repeat("[", maxDepth+2), 1, 5 + maxDepth + 1, true},
		{"a = 1\nb = 2\na = 3\n", 3, 1, true},
		{"a = 1\na.b = 2\n", 2, 1, true},
		{"a.b = 1\na = 2\n", 2, 1, true},
		{"a = []\n[[a]]\n", 2, 3, true},
		{"a = [{}]\n[a.b]\n", 2, 2, true},
		{"[x]\na = [1]\na.b = 2\n", 3, 1, true},
		{"a = { b = 1, b = 2 }", 1, 14, true},
		{strings.Repeat("a.", maxParts) + "a = 1", 1, 2*maxParts + 2, true},
	} {
		_, stop := positions(c.text, nil)
		if stop == nil {
			t.Errorf("%.20q is not refused", c.text)
			continue
		}
		if stop.final != c.final || stop.line != c.line || stop.column != c.column {
			t.Errorf("%.20q: stopped at %d:%d (final %t), want %d:%d (final %t)", c.text, stop.line, stop.column, stop.final, c.line, c.column, c.final)
		}
		if _, err := decode(c.text); err == nil && !c.final {
			t.Errorf("%.20q: the decoder takes it", c.text)
		}
	}
}

// lookup is the place of a path with elements as numbers.
func lookup(m *mark, path []string) string {
	for _, p := range path {
		if m == nil {
			return "nowhere"
		}
		if i, ok := parseSize(p); ok && m.list != nil {
			m = m.element(int(i))
		} else {
			m = m.key(p)
		}
	}
	if m == nil {
		return "nowhere"
	}
	return literal(int64(m.line)) + ":" + literal(int64(m.column))
}

// agree holds the scanner to the decoder: what the decoder takes has the same
// keys in the same order, and a place for every value.
func agree(t *testing.T, text string) {
	t.Helper()
	var saw []toml.Key
	root, stop := positions(text, func(path []string) { saw = append(saw, path) })
	if stop != nil && stop.final {
		return // refused, whatever the decoder does
	}
	decoded, err := decode(text)
	if err != nil {
		return
	}
	if stop != nil {
		t.Fatalf("stopped where the decoder goes on: %+v in %q", stop, text)
	}
	var again map[string]any
	meta, err := toml.Decode(text, &again)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(saw, meta.Keys(), func(a, b toml.Key) bool { return slices.Equal(a, b) }) {
		t.Fatalf("keys differ: got %q, want %q in %q", saw, meta.Keys(), text)
	}
	placed(t, decoded, root, text)
}

// placed fails for a value without a mark, or a mark outside of the text.
func placed(t *testing.T, value any, m *mark, text string) {
	t.Helper()
	if m == nil || m.line < 1 || m.column < 1 || m.line > 1+strings.Count(text, "\n") {
		t.Fatalf("no place for %v: %+v in %q", value, m, text)
	}
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			placed(t, v[name], m.key(name), text)
		}
	case []map[string]any:
		for i := range v {
			placed(t, v[i], m.element(i), text)
		}
	case []any:
		for i := range v {
			placed(t, v[i], m.element(i), text)
		}
	}
}
