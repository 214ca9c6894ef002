package config

import (
	"slices"
	"strconv"
	"strings"
)

// ofTypes is the types of checks that a key of Health is for; those that are not
// here are for all.
var ofTypes = map[string][]HealthType{
	"send":          {HealthTCP, HealthUDP},
	"expect":        {HealthTCP, HealthUDP},
	"method":        {HealthHTTP},
	"host":          {HealthHTTP, HealthGRPC},
	"path":          {HealthHTTP},
	"expect_status": {HealthHTTP},
	"expect_body":   {HealthHTTP},
	"service":       {HealthGRPC},
	"tls":           {HealthTCP, HealthHTTP, HealthGRPC},
}

// checkHealth decides whether there are checks, and finds keys that are not for
// them. n is nil without the table. A default that is spelled out says nothing
// wrong.
func checkHealth(r *reader, at *keyPath, n *node, h *Health) {
	if !asksForChecks(n) {
		h.Type = HealthOff
		return
	}
	h.TLS.On = n.child("tls") != nil
	r.checkOrder(at, n, bound{"fast_interval", &h.FastInterval}, bound{"interval", &h.Interval}, true)
	plain := healthTable().defaults()
	keys := healthTable().changed(&plain, h)
	if given(n.child("track")) {
		checkAlone(r, at, n, keys)
		h.Type = HealthOff
		return
	}
	if misread(n.child("type"), string(h.Type)) {
		return
	}
	told := ""
	for _, path := range keys {
		name, _, _ := strings.Cut(path, ".")
		types, some := ofTypes[name]
		value := n.child(name)
		if !some || slices.Contains(types, h.Type) || value == nil || name == told {
			continue
		}
		told = name
		r.missing(at.key(name), value, "means nothing to checks of type %s: it needs type = %s", h.Type, either(types))
	}
	if h.Type == HealthHTTP && h.Method == head && h.ExpectBody != "" {
		r.say(at.key("expect_body"), n.child("expect_body"), "the answer to a HEAD request has no body")
	}
}

// checkAlone finds keys of checks beside track.
func checkAlone(r *reader, at *keyPath, n *node, keys []string) {
	if given(n.child("type")) && !slices.Contains(keys, "type") {
		keys = append(keys, "type")
	}
	told := ""
	for _, path := range keys {
		name, _, _ := strings.Cut(path, ".")
		if value := n.child(name); value != nil && name != "track" && name != "on_down" && name != told {
			told = name
			r.say(at.key(name), value, "means nothing beside track, which takes the results of another cluster's checks: leave one of the two out")
		}
	}
}

// asksForChecks tells whether the table is there, with other keys than on_down
// or with none.
func asksForChecks(n *node) bool {
	if n == nil || n.table == nil {
		return false
	}
	_, onDown := n.table["on_down"]
	return !onDown || len(n.table) > 1
}

// either is types as a document gives them: "tcp" or "udp".
func either(types []HealthType) string {
	var b strings.Builder
	for i, t := range types {
		switch {
		case i > 0 && i == len(types)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(string(t)))
	}
	return b.String()
}

func checkHealthTLS(r *reader, at *keyPath, n *node, _ *HealthTLS) {
	for _, pair := range [][2]string{{"cert", "key"}, {"key", "cert"}} {
		one, other := n.child(pair[0]), n.child(pair[1])
		if given(one) && !given(other) {
			r.missing(at.key(pair[0]), one, "needs %s beside it: a certificate and its private key go together", pair[1])
		}
	}
}

// checkTracking finds clusters that take their endpoints' health from where there
// is none to take.
func (r *reader) checkTracking(root *node, s *Snapshot) {
	var top *keyPath
	for i := range s.Clusters {
		c := &s.Clusters[i]
		if c.Health.Track == "" {
			continue
		}
		at, n := top.key("clusters").key(c.Name).key("health").key("track"), root.child("clusters").child(c.Name).child("health").child("track")
		other := s.Cluster(c.Health.Track)
		if other == nil {
			continue // which was said
		}
		health := root.child("clusters").child(other.Name).child("health")
		switch name := clip(other.Name, shown); {
		case other == c:
			r.say(at, n, "a cluster cannot track itself")
		case other.Health.Track != "":
			i := r.say(at, n, "cluster %q tracks another itself: track one that has checks", name)
			if last := s.Cluster(other.Health.Track); last != nil && last.Health.Type != HealthOff {
				i.Suggestion = last.Name
			}
		case other.Health.Type == HealthOff && (health == nil || health.table != nil):
			r.say(at, n, "cluster %q has no health checks whose results could be taken", name)
		}
	}
}
