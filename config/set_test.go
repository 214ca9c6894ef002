package config

import (
	"reflect"
	"testing"
	"time"
)

// setCases is the value that a --set gives to its path: a Go value, or nil for
// an error.
var setCases = []struct {
	text string
	path []string
	want any
}{
	{"a.b=5s", []string{"a", "b"}, "5s"},
	{"a.b=2", []string{"a", "b"}, int64(2)},
	{" a . b = 2 ", []string{"a", "b"}, int64(2)},
	{"a=0x10", []string{"a"}, int64(16)},
	{"a=1.5", []string{"a"}, 1.5},
	{"a=true", []string{"a"}, true},
	{"a=True", []string{"a"}, "True"},
	{"a=yes", []string{"a"}, "yes"},
	{"a=", []string{"a"}, ""},
	{"a=  ", []string{"a"}, ""},
	{"a=b=c", []string{"a"}, "b=c"},
	{"a=two words", []string{"a"}, "two words"},
	{`a="quoted # text"`, []string{"a"}, "quoted # text"},
	{`a='x\y'`, []string{"a"}, `x\y`},
	{"a=127.0.0.1:0", []string{"a"}, "127.0.0.1:0"},
	{"a=:80", []string{"a"}, ":80"},
	{"a=[::1]:80", []string{"a"}, "[::1]:80"},
	{"a=[fe80::1%eth0]:80", []string{"a"}, "[fe80::1%eth0]:80"},
	{"a=[::]", []string{"a"}, "[::]"},
	{"a=10.0.0.0/8", []string{"a"}, "10.0.0.0/8"},
	{"a=/run/x", []string{"a"}, "/run/x"},
	{"a=#1", []string{"a"}, "#1"},
	{"a=5 # five", []string{"a"}, "5 # five"},
	{"a=1\nb=2", []string{"a"}, "1\nb=2"},
	{`a=["x", "y"]`, []string{"a"}, []any{"x", "y"}},
	{"a=[\n1,\n]", []string{"a"}, []any{int64(1)}},
	{"a={ b = 1 }", []string{"a"}, map[string]any{"b": int64(1)}},
	{`a."b c".d=1`, []string{"a", "b c", "d"}, int64(1)},
	{`a.'b.c'=1`, []string{"a", "b.c"}, int64(1)},
	{`a=["x"`, nil, nil},
	{"a=[x, y]", nil, nil},
	{"a={ b = 1", nil, nil},
	{`a="x`, nil, nil},
	{`a="x" y`, nil, nil},
	{"a={}\nb=1", nil, nil},
	{"", nil, nil},
	{"a", nil, nil},
	{"a.b", nil, nil},
	{"=1", nil, nil},
	{".a=1", nil, nil},
	{"a..b=1", nil, nil},
	{"a b=1", nil, nil},
	{"\"a=1", nil, nil},
	{"a=\xff", nil, nil},
}

func TestSet(t *testing.T) {
	for _, c := range setCases {
		found := &issues{sources: []Source{{Name: "--set #1"}}}
		n := assignment(found, 0, c.text)
		if c.want == nil {
			if n != nil || len(found.found) != 1 {
				t.Errorf("%q: got %v and %d errors, want one error", c.text, n, len(found.found))
			}
			continue
		}
		if err := found.errors(); err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		for _, name := range c.path {
			n = n.child(name)
		}
		if got := plainValue(n); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %#v, want %#v", c.text, got, c.want)
		}
	}
}

// plainValue is a tree as the decoder would give it.
func plainValue(n *node) any {
	switch {
	case n == nil:
		return nil
	case n.table != nil:
		all := map[string]any{}
		for name, below := range n.table {
			all[name] = plainValue(below)
		}
		return all
	case n.list != nil:
		all := []any{}
		for _, below := range n.list {
			all = append(all, plainValue(below))
		}
		return all
	}
	return n.scalar
}

// What looks like a number, a boolean or a date to TOML is a name where a name
// is wanted, but only in a --set.
func TestSetMeansText(t *testing.T) {
	for _, name := range []string{"8080", "true", "1979-05-27", "inf", "1_0", "0x10", "plain"} {
		s, err := Parse([]Source{
			{Name: "f", Text: valid + "[clusters." + name + "]\nendpoints = [\"127.0.0.1:1\"]\n"},
			{Name: "--set #1", Kind: Set, Text: "listeners.web.cluster=" + name},
		})
		if err != nil || s.Listeners[0].Cluster != name {
			t.Errorf("cluster=%s: got %+v, %v", name, s, err)
		}
	}
}

func TestSetReachesEveryKind(t *testing.T) {
	s := parse(t, valid,
		"process.loops=2", "process.drain_timeout=5s", "process.log_level=debug", "admin.listen=", "admin.read_only=true",
		"listeners.web.bind=[::1]:81", "listeners.web.buffer=1MiB", "listeners.web.tcp.keepalive=0s", "listeners.web.tcp.congestion=bbr",
		"clusters.web.policy=maglev", "clusters.web.hash_balance=2", `clusters.web.endpoints=[{ address = "127.0.0.1:2", weight = 3 }]`)
	l, c := s.Listeners[0], s.Clusters[0]
	if s.Process.Loops != 2 || s.Process.DrainTimeout != 5*time.Second || s.Process.LogLevel != -4 || s.Admin != (Admin{ReadOnly: true}) {
		t.Errorf("got %+v %+v", s.Process, s.Admin)
	}
	if l.Binds[0].String() != "[::1]:81" || l.Buffer != 1<<20 || l.TCP != (TCP{Congestion: "bbr"}) {
		t.Errorf("got %+v", l)
	}
	if c.Policy != Maglev || c.HashBalance != 2 || c.Endpoints[0].Weight != 3 {
		t.Errorf("got %+v", c)
	}
}
