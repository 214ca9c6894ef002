package config

import "time"

// bound is a duration of a table, and its key.
type bound struct {
	key   string
	value *time.Duration
}

// checkOrder finds v on the wrong side of limit: it is at most that, or at least.
// Where v is left to its default, limit is the default.
func (r *reader) checkOrder(at *keyPath, n *node, v, limit bound, most bool) {
	said, other := n.child(v.key), n.child(limit.key)
	right := *v.value >= *limit.value
	if most {
		right = *v.value <= *limit.value
	}
	if right || v.misread(said) || limit.misread(other) {
		return
	}
	if unsaid(said) {
		*v.value = *limit.value
		return
	}
	wrong := "shorter"
	if most {
		wrong = "longer"
	}
	r.say(at.key(v.key), said, "%s is %s than %s, which is %s", *v.value, wrong, limit.key, *limit.value)
}

// unsaid tells whether a duration is left to its default.
func unsaid(n *node) bool {
	if n == nil {
		return true
	}
	text, _ := n.text()
	v, err := time.ParseDuration(text)
	return err == nil && v == 0
}

// misread tells whether a duration of the document is not the one in its place,
// which was said: nothing follows from that one.
func (b bound) misread(n *node) bool {
	if unsaid(n) {
		return false
	}
	text, _ := n.text()
	v, err := time.ParseDuration(text)
	return err != nil || v != *b.value
}
