package health

import (
	"math"
	"strings"
	"testing"
	"time"

	"weir/lb"
)

// play has a machine observe results, one a letter, and returns what it comes to after each: U and D for Up and Down, u
// and d while they are changing, ? for Unknown.
func play(m *Machine, r *Rules, results string) string {
	var states strings.Builder
	for _, result := range results {
		before := m.State()
		if changed := m.Observe(r, result == '+'); changed != (m.State() != before) {
			return "a change that wasn't reported"
		}
		letter := "?UD"[m.State()]
		if m.Changing() {
			letter |= 0x20
		}
		states.WriteByte(letter)
	}
	return states.String()
}

// What HAProxy's configuration manual says in section 5.2, "Server and default-server options":
//
//   - fall: that many failed checks in a row make a server dead (3 unless said otherwise);
//   - rise: that many passed checks in a row make it operational again (2 unless said otherwise);
//   - inter, fastinter: a server that is on its way down or up is checked each fastinter, if that is set.
//
// On purpose different: a server starts as up there, and gets traffic until its first check says otherwise; here it is
// Unknown, which its caller can tell from Up.
//
// And what Envoy's API reference says of config.core.v3.HealthCheck:
//
//   - unhealthy_threshold, healthy_threshold: as fall and rise;
//   - healthy_threshold: while starting, one passed check is enough.
//
// On purpose different: with type http an unexpected answer takes a host down at once there, and only a failure of the
// network is counted up to the threshold. Here failures are all the same: one answer of 500 among good ones shouldn't
// take away an endpoint that Fall was to protect.
func TestObserve(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		results    string
		want       string
	}{
		{"nothing observed", 2, 3, "", ""},

		// The first check decides.
		{"the first passes", 2, 3, "+", "U"},
		{"the first passes, whatever rise", 9, 3, "+", "U"},
		{"the first fails", 2, 3, "-", "D"},
		{"the first fails, whatever fall", 2, 9, "-", "D"},
		{"only the first is special", 2, 3, "-+", "Dd"},
		{"nothing is carried over from it", 2, 3, "+--", "Uuu"},

		{"fall", 2, 3, "+---", "UuuD"},
		{"fall and stay", 2, 3, "+------", "UuuDDDD"},
		{"a pass starts the count again", 2, 3, "+--+--+--+---", "UuuUuuUuuUuuD"},
		{"now and then isn't in a row", 2, 3, "+-+-+-+-+-", "UuUuUuUuUu"},

		{"rise", 2, 3, "-++", "DdU"},
		{"rise and stay", 2, 3, "-+++++", "DdUUUU"},
		{"a failure starts the count again", 3, 3, "-++-++-+++", "DddDddDddU"},
		{"down again after it rose", 2, 3, "-++---", "DdUuuD"},
		{"fall counts from nothing after a rise", 1, 2, "--+--", "DDUuD"},

		{"one is enough", 1, 1, "+-+-", "UDUD"},
		{"zero is one", 0, 0, "+-+-", "UDUD"},
		{"so is less", -5, math.MinInt, "+-+-", "UDUD"},
		{"never", math.MaxInt, math.MaxInt, "+------", "Uuuuuuu"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Machine
			if got := play(&m, &Rules{Rise: test.rise, Fall: test.fall}, test.results); got != test.want {
				t.Errorf("after %s: %s, want %s", test.results, got, test.want)
			}
		})
	}
}

// Rules may change in the middle of a count, which goes on.
func TestRulesChange(t *testing.T) {
	tests := []struct {
		name          string
		before, after Rules
		first, then   string
		want          string
	}{
		{"fall gets smaller than the count", Rules{Fall: 5}, Rules{Fall: 2}, "+---", "-", "D"},
		{"and is not looked at when a check passes", Rules{Fall: 5}, Rules{Fall: 2}, "+---", "+-", "Uu"},
		{"fall gets greater", Rules{Fall: 3}, Rules{Fall: 5}, "+--", "---", "uuD"},
		{"rise gets smaller", Rules{Rise: 5}, Rules{Rise: 3}, "-++", "+", "U"},
		{"rise of one who is up", Rules{Rise: 5}, Rules{Rise: 1}, "+", "++", "UU"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Machine
			play(&m, &test.before, test.first)
			if got := play(&m, &test.after, test.then); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestStreak(t *testing.T) {
	var m Machine
	r := &Rules{Rise: 2, Fall: 3}
	for i, step := range []struct {
		ok   bool
		want int
	}{{true, 0}, {false, 1}, {false, 2}, {true, 0}, {false, 1}, {false, 2}, {false, 0}, {false, 0}, {true, 1}, {false, 0}, {true, 1}, {true, 0}} {
		m.Observe(r, step.ok)
		if m.Streak() != step.want || m.Changing() != (step.want > 0) {
			t.Errorf("step %d: streak %d, changing %v, want %d", i, m.Streak(), m.Changing(), step.want)
		}
	}
}

// Which interval counts: the table of HAProxy's configuration manual, section 5.2, "inter", "fastinter", "downinter":
// inter when up; fastinter, or inter without it, when going down or going up; downinter, or inter without it, when down.
//
// On purpose different: there is no interval of its own for those that are down. To find out late that an endpoint is
// back costs as much as to find out late that it is gone. And one not checked yet isn't in a hurry by fastinter: Spread
// says when it is due.
//
// Jitter: Envoy's API reference, config.core.v3.HealthCheck, interval_jitter and interval_jitter_percent: up to so much is
// added to each interval. HAProxy's manual, section 3.2, spread-checks: up to 50 % more or less, none unless said. Here
// it is always 10 % more or less: it keeps endpoints out of step without a key, and the mean is the interval as set.
func TestWait(t *testing.T) {
	const slow, fast = 2 * time.Second, 500 * time.Millisecond
	tests := []struct {
		name    string
		rules   Rules
		results string
		want    time.Duration
	}{
		{"unchecked", Rules{slow, fast, 2, 3}, "", slow},
		{"up", Rules{slow, fast, 2, 3}, "+", slow},
		{"going down", Rules{slow, fast, 2, 3}, "+-", fast},
		{"still going down", Rules{slow, fast, 2, 3}, "+--", fast},
		{"up again", Rules{slow, fast, 2, 3}, "+--+", slow},
		{"down", Rules{slow, fast, 2, 3}, "+---", slow},
		{"going up", Rules{slow, fast, 2, 3}, "-+", fast},
		{"down again", Rules{slow, fast, 2, 3}, "-+-", slow},
		{"no fast interval", Rules{slow, 0, 2, 3}, "+-", slow},
		{"a slow one, as set", Rules{fast, slow, 2, 3}, "+-", slow},
		{"no tenth of it", Rules{9, 0, 2, 3}, "+", 9},
		{"none", Rules{0, 0, 2, 3}, "+", 0},
		{"less", Rules{-slow, -fast, 2, 3}, "+-", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Machine
			play(&m, &test.rules, test.results)
			rand := lb.NewRand(1)
			least, most, sum := time.Duration(math.MaxInt64), time.Duration(0), 0.0
			const n = 20_000
			for range n {
				d := m.Wait(&test.rules, rand)
				least, most, sum = min(least, d), max(most, d), sum+float64(d)/n
			}
			tenth := test.want / 10
			if least < test.want-tenth || most > test.want+tenth {
				t.Errorf("from %v to %v, want %v", least, most, test.want)
			}
			// The extremes of 20,000 are within a thousandth of where they could be, and the mean's deviation is 0.06 % / 141.
			if near := test.want / 5000; least > test.want-tenth+near || most < test.want+tenth-near {
				t.Errorf("only from %v to %v", least, most)
			}
			if want := float64(test.want); math.Abs(sum-want) > want/500 {
				t.Errorf("%v on average, want %v", time.Duration(sum), test.want)
			}
		})
	}
}

// The longest times there are don't become negative.
func TestWaitSaturates(t *testing.T) {
	var m Machine
	rand := lb.NewRand(1)
	for range 1000 {
		if d := m.Wait(&Rules{Interval: math.MaxInt64}, rand); d < math.MaxInt64/10*9 {
			t.Fatal(d)
		}
	}
}

func TestStateNames(t *testing.T) {
	for state, want := range map[State]string{Unknown: "unknown", Up: "up", Down: "down", 3: "invalid"} {
		if got := state.String(); got != want {
			t.Errorf("%d is %q, want %q", state, got, want)
		}
	}
	if (&Machine{}).State() != Unknown {
		t.Error("a new machine knows something")
	}
}
