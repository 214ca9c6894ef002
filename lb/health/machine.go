package health

import (
	"math"
	"time"

	"weir/lb"
)

// State is what the checks of an endpoint say of it. The zero value is Unknown. Whether an endpoint that is Unknown gets
// traffic is the caller's to say.
type State uint8

const (
	Unknown State = iota // not checked yet
	Up
	Down
)

var stateNames = [...]string{Unknown: "unknown", Up: "up", Down: "down"}

// String is the state's name in statistics and logs.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// Rules are how the endpoints of one cluster are checked. They are immutable; a change of the configuration makes new
// ones, and a Machine may go on under those.
type Rules struct {
	Interval     time.Duration // between checks; above 0
	FastInterval time.Duration // between checks while the state is Changing; 0 = Interval
	Rise         int           // successes in a row that take Down to Up; less than 1 = 1
	Fall         int           // failures in a row that take Up to Down; less than 1 = 1
}

// Machine is the health of one endpoint. The zero value is Unknown, with nothing observed.
type Machine struct {
	streak int // results in a row against the state
	state  State
}

// Observe takes the result of a check and reports whether the state changed. The first result decides at once; after
// that it takes Fall failures in a row, or Rise successes.
func (m *Machine) Observe(r *Rules, ok bool) (changed bool) {
	to, after := Down, r.Fall
	if ok {
		to, after = Up, r.Rise
	}
	if m.state == to {
		m.streak = 0
		return false
	}
	if m.streak++; m.state != Unknown && m.streak < after {
		return false
	}
	m.state, m.streak = to, 0
	return true
}

// State returns what the results so far have come to.
func (m *Machine) State() State { return m.state }

// Changing reports whether the last result spoke against the state: a count is under way.
func (m *Machine) Changing() bool { return m.streak > 0 }

// Streak returns how many results in a row speak against the state.
func (m *Machine) Streak() int { return m.streak }

// Wait returns how long to wait for the next check: FastInterval while Changing, else Interval, give or take up to 10 %,
// so that endpoints don't get into step. An interval of 0 or less is 0.
func (m *Machine) Wait(r *Rules, rand *lb.Rand) time.Duration {
	d := r.Interval
	if m.Changing() && r.FastInterval > 0 {
		d = r.FastInterval
	}
	if d <= 0 {
		return 0
	}
	tenth := uint64(d) / 10
	wait := uint64(d) - tenth + rand.Below(2*tenth+1)
	return time.Duration(min(wait, math.MaxInt64))
}
