package config

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documents is what the fuzz targets begin with, besides their corpora.
func documents(f *testing.F) {
	files, _ := filepath.Glob("testdata/errors/*.toml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(valid)
}

// sound fails unless an outcome of Parse is a valid Snapshot or Errors whose
// lines are those of the text.
func sound(t *testing.T, s *Snapshot, err error, name string, lines int) {
	t.Helper()
	if err == nil {
		if c := Diff(s, s); !c.Empty() {
			t.Fatalf("a Snapshot differs from itself: %+v", c)
		}
		for _, l := range s.Listeners {
			if len(l.Binds) == 0 || l.Cluster != "" && s.Cluster(l.Cluster) == nil {
				t.Fatalf("not valid: %+v", l)
			}
			if u := l.UDP; u.MaxFlows < 1 || u.Responses < 0 || l.Protocol == ProtocolTCP && u != (UDP{MaxFlows: 65536}) || u.PerPacket && u.QUIC || u.Responses > 0 && (u.PerPacket || u.QUIC) {
				t.Fatalf("not valid: %+v", l)
			}
			for _, route := range l.Routes {
				for _, name := range route.SNI {
					if !l.UDP.QUIC || !isName(name) || name != strings.ToLower(name) {
						t.Fatalf("not valid: %+v", route)
					}
				}
			}
		}
		for _, c := range s.Clusters {
			if (len(c.Endpoints) == 0) != c.Discover.On() || c.ConnectAttempts == 0 || c.ConnectTimeout <= 0 {
				t.Fatalf("not valid: %+v", c)
			}
			ids := make(map[string]bool)
			for _, e := range c.Endpoints {
				if id, err := hex.DecodeString(e.ServerID); err != nil || len(id) > maxServerID || ids[e.ServerID] || e.ServerID != strings.ToLower(e.ServerID) {
					t.Fatalf("not valid: %+v", c)
				}
				ids[e.ServerID] = e.ServerID != ""
			}
		}
		return
	}
	all, ok := err.(Errors)
	if s != nil || !ok || len(all) == 0 || len(all) > MaxErrors+1 {
		t.Fatalf("got %v, %#v", s, err)
	}
	for i, e := range all {
		if e.Source == "" && i == MaxErrors {
			continue
		}
		if e.Source != name || min(lines, 1) > e.Line || e.Line > lines || e.Message == "" || strings.ContainsAny(e.Error(), "\n\r") {
			t.Fatalf("an error outside of the %d lines, or of more than one: %#v", lines, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	documents(f)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse([]Source{{Name: "f", Text: text}})
		sound(t, s, err, "f", 1+strings.Count(text, "\n"))
	})
}

func FuzzSet(f *testing.F) {
	for _, c := range setCases {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse([]Source{{Name: "s", Kind: Set, Text: text}})
		sound(t, s, err, "s", 0)
	})
}

func FuzzPositions(f *testing.F) {
	documents(f)
	f.Fuzz(agree)
}
