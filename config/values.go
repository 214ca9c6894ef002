package config

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// boolean is true or false.
func boolean() kind[bool] {
	return kind[bool]{name: "boolean", read: func(r *reader, at *keyPath, n *node) (bool, bool) {
		v, ok := n.scalar.(bool)
		if !ok {
			text, _ := n.scalar.(string)
			r.want(at, n, "true or false").Suggestion = map[string]string{
				"true": "true", "yes": "true", "on": "true", "1": "true",
				"false": "false", "no": "false", "off": "false", "0": "false",
			}[strings.ToLower(text)]
		}
		return v, ok
	}}
}

// integer is a whole number of least to most.
func integer[V int | int64 | uint32 | uint16](least, most int64) kind[V] {
	what := fmt.Sprintf("a whole number of %d to %d", least, most)
	if most == math.MaxInt64 {
		what = fmt.Sprintf("a whole number of %d or more", least)
	}
	return kind[V]{name: "integer", read: func(r *reader, at *keyPath, n *node) (V, bool) {
		v, ok := n.scalar.(int64)
		if !ok || v < least || v > most {
			i := r.want(at, n, what)
			if s, isText := n.scalar.(string); isText { // a number in quotes
				if v, err := strconv.ParseInt(s, 10, 64); err == nil && v >= least && v <= most {
					i.Message += ", which needs no quotes"
				}
			}
			return 0, false
		}
		return V(v), true
	}}
}

// ratio is 0 or a number of least or more.
func ratio(least float64) kind[float64] {
	return kind[float64]{name: "number", read: func(r *reader, at *keyPath, n *node) (float64, bool) {
		v, ok := n.scalar.(float64)
		if whole, isWhole := n.scalar.(int64); isWhole {
			v, ok = float64(whole), true
		}
		if !ok || v != 0 && !(v >= least) || math.IsInf(v, 0) {
			r.want(at, n, fmt.Sprintf("0 or a number of %s or more", literal(least)))
			return 0, false
		}
		return v, true
	}}
}

// number is a number of least to most, such as like.
func number(least, most, like float64) kind[float64] {
	what := fmt.Sprintf("a number of %g to %g, such as %g", least, most, like)
	return kind[float64]{name: "number", read: func(r *reader, at *keyPath, n *node) (float64, bool) {
		v, ok := n.scalar.(float64)
		if whole, isWhole := n.scalar.(int64); isWhole {
			v, ok = float64(whole), true
		}
		if !ok || !(v >= least && v <= most) {
			i := r.want(at, n, what)
			text, _ := n.scalar.(string)
			digits, percent := strings.CutSuffix(text, "%")
			if quoted, err := strconv.ParseFloat(strings.TrimSpace(digits), 64); err == nil {
				v = quoted
				if !percent && v >= least && v <= most {
					i.Message += ", which needs no quotes"
				}
			}
			if most == 1 && v > 0 && v <= 100 && (percent || v > 1 && v == math.Trunc(v)) {
				i.Suggestion = strconv.FormatFloat(v/100, 'g', -1, 64)
			}
			return 0, false
		}
		return v, true
	}}
}

// plain is any string of at most most bytes; valid, unless nil, says what else
// is wanted of one that is not empty.
func plain(most int, valid func(string) (what string, ok bool)) kind[string] {
	return kind[string]{name: "string", read: func(r *reader, at *keyPath, n *node) (string, bool) {
		v, ok := n.text()
		switch {
		case !ok:
			r.want(at, n, "a string in quotes")
			return "", false
		case len(v) > most:
			r.want(at, n, fmt.Sprintf("a string of at most %d bytes", most))
			return "", false
		case strings.ContainsRune(v, 0):
			r.want(at, n, "a string without a zero byte")
			return "", false
		}
		if valid != nil && v != "" {
			if what, ok := valid(v); !ok {
				r.want(at, n, what)
				return "", false
			}
		}
		return v, true
	}}
}

// near is plain for strings that have to be valid; meant, unless nil, is what one
// that is not was probably meant to say.
func near(most int, what string, valid func(string) bool, meant func(string) string) kind[string] {
	k := plain(most, nil)
	read := k.read
	k.read = func(r *reader, at *keyPath, n *node) (string, bool) {
		v, ok := read(r, at, n)
		if !ok || v == "" || valid(v) {
			return v, ok
		}
		i := r.want(at, n, what)
		if meant != nil {
			if s := meant(v); s != v && s != "" && valid(s) {
				i.Suggestion = s
			}
		}
		return "", false
	}
	return k
}

// oneOf is one of some words; the empty string is none and gives the default.
func oneOf[V ~string](words ...V) kind[V] {
	all := make([]string, len(words))
	for i := range words {
		all[i] = string(words[i])
	}
	what := "one of " + strings.Join(all, ", ")
	if len(all) == 1 {
		what = strconv.Quote(all[0])
	}
	return kind[V]{name: strings.Join(all, " | "), read: func(r *reader, at *keyPath, n *node) (V, bool) {
		v, ok := n.text()
		if ok && v == "" {
			return "", true
		}
		for _, word := range words {
			if ok && v == string(word) {
				return word, true
			}
		}
		i := r.want(at, n, what)
		i.word, i.among = v, all
		return "", false
	}}
}

// level is a log level.
func level() kind[slog.Level] {
	words := oneOf("debug", "info", "warn", "error")
	return kind[slog.Level]{name: words.name, read: func(r *reader, at *keyPath, n *node) (l slog.Level, ok bool) {
		v, ok := words.read(r, at, n)
		if v != "" {
			ok = l.UnmarshalText([]byte(v)) == nil
		}
		return l, ok
	}}
}

// duration is zero or more, in steps of unit, at most most; both may be 0.
// Other lengths than 0 are at least one unit.
func duration(unit, most time.Duration) kind[time.Duration] {
	return kind[time.Duration]{name: "duration", read: func(r *reader, at *keyPath, n *node) (time.Duration, bool) {
		if v, ok := n.scalar.(int64); ok {
			i := r.want(at, n, `a duration with its unit, such as "30s"`)
			if v >= 0 {
				i.Suggestion = strconv.FormatInt(v, 10) + "s"
			}
			return 0, false
		}
		text, ok := n.text()
		v, err := time.ParseDuration(text)
		switch {
		case !ok || err != nil:
			i := r.want(at, n, `a duration such as "250ms", "30s" or "1h30m"`)
			i.Suggestion = nearDuration(text)
		case v < 0:
			r.want(at, n, "a duration of zero or more")
		case most > 0 && v > most:
			r.want(at, n, "a duration of at most "+most.String())
		case unit > 0 && v != 0 && v < unit:
			r.want(at, n, `"0s" or a duration of at least `+unit.String())
		default:
			return v, true
		}
		return 0, false
	}}
}

// nearDuration is what a number without a unit, or with another's unit, was
// probably meant to say; empty where that is not clear.
func nearDuration(text string) string {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return ""
	}
	unit := strings.ToLower(strings.TrimSpace(text[len(digits):]))
	switch unit {
	case "", "sec", "secs", "second", "seconds", "s":
		return digits + "s"
	case "msec", "ms":
		return digits + "ms"
	case "min", "mins", "minute", "minutes", "m":
		return digits + "m"
	case "hour", "hours", "h":
		return digits + "h"
	case "d", "day", "days":
		return strconv.FormatUint(n*24, 10) + "h"
	}
	return ""
}

// sizeUnits are the units of sizes, in bytes, the longer names first.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// size is 0, or least to most bytes: a whole number of bytes, or a string of a
// whole number and its unit.
func size(least, most int64) kind[int64] {
	return kind[int64]{name: "size", read: func(r *reader, at *keyPath, n *node) (int64, bool) {
		v, ok := n.scalar.(int64)
		if !ok {
			text, isText := n.text()
			if v, ok = parseSize(text); !ok || !isText {
				i := r.want(at, n, `a size such as "64KiB" (units B, KiB, MiB, GiB, kB, MB, GB)`)
				i.Suggestion = nearSize(text)
				return 0, false
			}
		}
		if v != 0 && (v < least || v > most) {
			r.want(at, n, "a size of "+formatSize(least)+" to "+formatSize(most))
			return 0, false
		}
		return v, true
	}}
}

func parseSize(text string) (int64, bool) {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n > uint64(math.MaxInt64/unit.bytes) {
			return 0, false
		}
		return int64(n) * unit.bytes, true
	}
	return 0, false
}

// nearSize is what a size in another spelling was probably meant to say: "64k",
// "64 KiB", "64kib". A single letter is taken as the binary unit.
func nearSize(text string) string {
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	if _, err := strconv.ParseUint(digits, 10, 32); err != nil {
		return ""
	}
	unit := strings.ToLower(strings.TrimSpace(text[len(digits):]))
	for _, u := range sizeUnits[:7] {
		if l := strings.ToLower(u.name); unit == l || unit+"ib" == l {
			return digits + u.name
		}
	}
	return ""
}

// formatSize is the shortest exact way to write a size.
func formatSize(n int64) string {
	for _, unit := range []int{2, 1, 0} {
		if u := sizeUnits[unit]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
