package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is how fast new connections, or UDP flows, may come: listeners.NAME.rate.
type Rate struct {
	// Connections is of the whole listener and PerSource of each client address,
	// per second; 0 is no limit.
	Connections, PerSource float64
	// Burst and PerSourceBurst are how many may come at once; 0 is one second's
	// worth, at least 1.
	Burst, PerSourceBurst int64
}

// maxRate is the most events of a rate, per whatever time.
const maxRate = 1e9

func rateTable() table[Rate] {
	return table[Rate]{
		entries: []entry[Rate]{
			key(rate(), func(t *Rate) *float64 { return &t.Connections }, doc{
				name: "connections", def: "0/s", example: `"1000/s"`,
				help: `New connections and flows of the whole listener; "0/s" is no limit.`}),
			key(integer[int64](0, maxCount), func(t *Rate) *int64 { return &t.Burst }, doc{
				name: "burst", def: int64(0), example: "2000",
				help: "How many of them may come at once; 0 is one second's worth, at least 1: of \"30/m\" that is 1."}),
			key(rate(), func(t *Rate) *float64 { return &t.PerSource }, doc{
				name: "per_source", def: "0/s", example: `"20/s"`,
				help: `New connections and flows of each client address; "0/s" is no limit.`}),
			key(integer[int64](0, maxCount), func(t *Rate) *int64 { return &t.PerSourceBurst }, doc{
				name: "per_source_burst", def: int64(0), example: "50",
				help: "How many of them may come at once; 0 is one second's worth, at least 1."}),
		},
		check: checkRate,
	}
}

// checkRate finds bursts of no rate.
func checkRate(r *reader, at *keyPath, n *node, t *Rate) {
	for _, c := range []struct {
		burst   int64
		key, of string
		rate    float64
	}{{t.Burst, "burst", "connections", t.Connections}, {t.PerSourceBurst, "per_source_burst", "per_source", t.PerSource}} {
		of := n.child(c.of)
		if c.burst != 0 && c.rate == 0 && (of == nil || of.scalar == "" || of.scalar == "0/s" || of.scalar == int64(0)) {
			r.missing(at.key(c.key), n.child(c.key), "means nothing without %s, such as %s = \"100/s\"", c.of, c.of)
		}
	}
}

// rateUnits are the times a rate is given by, in seconds.
var rateUnits = [...]struct {
	name    string
	seconds float64
}{{"/s", 1}, {"/m", 60}, {"/h", 3600}}

// rate is a whole number of events per second, minute or hour, and comes out per
// second; 0 and "" are no limit.
func rate() kind[float64] {
	return kind[float64]{name: "rate", read: func(r *reader, at *keyPath, n *node) (float64, bool) {
		text, ok := n.text()
		if v, isWhole := n.scalar.(int64); isWhole && v == 0 || ok && text == "" {
			return 0, true
		} else if isWhole {
			text, ok = strconv.FormatInt(v, 10), false
		}
		for _, unit := range rateUnits {
			digits, found := strings.CutSuffix(text, unit.name)
			v, err := strconv.ParseUint(digits, 10, 64)
			switch {
			case !ok || !found || err != nil:
			case v > maxRate:
				r.want(at, n, fmt.Sprintf("a rate of at most %d", int(maxRate)))
				return 0, false
			default:
				return float64(v) / unit.seconds, true
			}
		}
		r.want(at, n, `a rate such as "100/s", "100/m" or "100/h"`).Suggestion = nearRate(text)
		return 0, false
	}}
}

// nearRate is what a rate in other words was probably meant to say: "100",
// "100/sec", "100 per minute", "100r/s", "0.5/s"; empty where that is not clear.
func nearRate(text string) string {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789."))]
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return ""
	}
	unit := strings.ToLower(strings.TrimSpace(text[len(digits):]))
	for _, before := range []string{"requests", "connections", "conns", "conn", "r", "per", "/", "p"} {
		unit = strings.TrimSpace(strings.TrimPrefix(unit, before))
	}
	at := -1
	switch unit {
	case "", "s", "sec", "secs", "second", "seconds":
		at = 0
	case "m", "min", "mins", "minute", "minutes":
		at = 1
	case "h", "hr", "hour", "hours":
		at = 2
	}
	if at < 0 {
		return ""
	}
	for ; at < len(rateUnits); at++ { // half a connection each second is 30 a minute
		if v == float64(int64(v)) && v <= maxRate {
			return strconv.FormatInt(int64(v), 10) + rateUnits[at].name
		}
		v *= 60
	}
	return ""
}
