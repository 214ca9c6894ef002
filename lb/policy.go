package lb

import (
	"fmt"
	"strings"
)

// Policy says how a Set chooses among its usable members. The zero value is
// RoundRobin. The names are those of `policy` in the configuration.
type Policy uint8

const (
	// RoundRobin goes through the members in a smooth weighted order.
	RoundRobin Policy = iota
	// LeastConnections takes the member with the least (active+1)/weight; if
	// all are idle it goes by weight.
	LeastConnections
	// Random draws a member by weight.
	Random
	// P2C draws two different members by weight and takes the one with the
	// lower active/weight.
	P2C
	// RingHash maps Request.Hash on a ring of points: when a member leaves,
	// only its own keys move.
	RingHash
	// Maglev maps Request.Hash on a table of 65,537 entries: more even than
	// RingHash, with a few more keys moved by a change.
	Maglev
	// First takes the first member in order that has room, and so packs.
	First
)

var policyNames = [...]string{
	RoundRobin:       "round_robin",
	LeastConnections: "least_connections",
	Random:           "random",
	P2C:              "p2c",
	RingHash:         "ring_hash",
	Maglev:           "maglev",
	First:            "first",
}

// String is the policy's name in the configuration.
func (p Policy) String() string { return nameOf(policyNames[:], "Policy", uint8(p)) }

// ParsePolicy is the inverse of String. The error names the text and lists
// the known names.
func ParsePolicy(name string) (Policy, error) {
	i, err := indexOf(policyNames[:], "policy", name)
	return Policy(i), err
}

// hashes reports whether the policy looks at Request.Hash.
func (p Policy) hashes() bool { return p == RingHash || p == Maglev }

// State is what an operator or a health machine made of a member. The zero
// value is Ready.
//
//	         set drain             set maint
//	Ready ------------->  Drain ------------->  Maint
//	  ^                     |                     |
//	  +------ set ready ----+------ set ready ----+
//
// Any state may follow any other. For a Set, Drain and Maint are the same: no
// new connections. They differ in what the owner of the sessions does with
// those under way: Drain lets them finish, Maint closes them.
type State uint8

const (
	// Ready takes new connections.
	Ready State = iota
	// Drain takes no new connections; those under way may finish.
	Drain
	// Maint takes no new connections and should have none.
	Maint
)

var stateNames = [...]string{Ready: "ready", Drain: "drain", Maint: "maint"}

// String is the state's name in the configuration.
func (s State) String() string { return nameOf(stateNames[:], "State", uint8(s)) }

// ParseState is the inverse of String. The error names the text and lists the
// known names.
func ParseState(name string) (State, error) {
	i, err := indexOf(stateNames[:], "state", name)
	return State(i), err
}

// Health is what checks and traffic have made of a member. The zero value is
// Healthy: what nobody checks.
type Health uint8

const (
	// Healthy takes its share.
	Healthy Health = iota
	// Unknown was not checked yet: it is used where there aren't enough healthy
	// ones.
	Unknown
	// Unhealthy failed its checks or was ejected: it is used only in a panic.
	Unhealthy
)

var healthNames = [...]string{Healthy: "healthy", Unknown: "unknown", Unhealthy: "unhealthy"}

// String is a name for logs.
func (h Health) String() string { return nameOf(healthNames[:], "Health", uint8(h)) }

// Verdict is how a Pick ended.
type Verdict uint8

const (
	// Picked: a place was taken on the member returned.
	Picked Verdict = iota
	// NoEndpoint: no member takes new connections (none there, all drained, in
	// maintenance, without weight or unhealthy).
	NoEndpoint
	// Full: every member in use is at its MaxConnections.
	Full
)

var verdictNames = [...]string{Picked: "picked", NoEndpoint: "no_endpoint", Full: "full"}

// String is a name for logs and counters.
func (v Verdict) String() string { return nameOf(verdictNames[:], "Verdict", uint8(v)) }

func nameOf(names []string, kind string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s(%d)", kind, i)
}

func indexOf(names []string, kind, name string) (int, error) {
	for i, known := range names {
		if name == known {
			return i, nil
		}
	}
	return 0, fmt.Errorf("lb: unknown %s %q: want one of %s", kind, name, strings.Join(names, ", "))
}
