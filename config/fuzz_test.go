package config

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
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
		for _, l := range s.Listeners {
			if r := l.Rate; !(r.Connections >= 0 && r.PerSource >= 0) || r.Burst < 0 || r.PerSourceBurst < 0 || l.UDP.PerPacket && (r != Rate{} || l.MaxConnectionsPerSource != 0) {
				t.Fatalf("not valid: %+v", l)
			}
		}
		for _, c := range s.Clusters {
			if (len(c.Endpoints) == 0) != c.Discover.On() || c.ConnectAttempts == 0 || c.ConnectTimeout <= 0 {
				t.Fatalf("not valid: %+v", c)
			}
			if why := unsound(s, &c); why != "" {
				t.Fatalf("%s: %+v", why, c)
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

// unsound says what of a cluster's discovery, checks and limits cannot be so.
func unsound(s *Snapshot, c *Cluster) string {
	d, h, o, l := &c.Discover, &c.Health, &c.Outlier, &c.Limits
	host, _, hasPort := cutPort(d.DNS)
	_, bad := regexp.Compile(strings.TrimPrefix(h.Expect, "~"))
	_, badBody := regexp.Compile(strings.TrimPrefix(h.ExpectBody, "~"))
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	switch tracked := s.Cluster(h.Track); {
	case d.DNS != "" && (d.File != "" || !isHostName(strings.TrimSuffix(host, ".")) || hasPort != (d.Mode != DiscoverSRV)), d.Refresh < minRefresh, d.MaxRefresh < d.Refresh:
		return "discover"
	case h.FastInterval > h.Interval, h.FastInterval < minCheck, h.Timeout < minCheck, h.Rise < 1, h.Fall < 1, h.Rise > maxTimes, h.Fall > maxTimes:
		return "health"
	case h.Track != "" && (h.Type != HealthOff || tracked == nil || tracked.Health.Type == HealthOff || tracked == c):
		return "track"
	case !strings.HasPrefix(h.Path, "/"), h.Method == "", len(h.ExpectStatus) == 0, strings.HasPrefix(h.Expect, "~") && bad != nil, strings.HasPrefix(h.ExpectBody, "~") && badBody != nil:
		return "probe"
	case (h.TLS.Cert == "") != (h.TLS.Key == ""), h.TLS.On && h.Type != HealthTCP && h.Type != HealthHTTP && h.Type != HealthGRPC:
		return "tls"
	case !share(c.PanicThreshold), !share(o.MaxEjected), !share(l.RetryBudget), !(o.SuccessRateStdev >= 0), o.MaxEjection < o.Ejection, o.Interval <= 0, l.PendingTimeout <= 0:
		return "limits"
	}
	return ""
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
