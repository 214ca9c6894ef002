package control

import (
	"context"
	"log/slog"
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/l4"
)

// refusalsEvery is how often a listener's refusals for one reason are logged at most. The first ones are logged at once; what comes meanwhile is
// in the next line's count.
const refusalsEvery = 10 * time.Second

// refusals are what listeners have refused, by reason.
type refusals map[*l4.Listener]*refused

// refused is what one listener has refused.
type refused struct {
	connections [l4.NumReasons]tally
	datagrams   [l4.NumDrops]tally
}

// tally is one counter, as far as it was logged.
type tally struct {
	told uint64
	at   time.Time
}

// due returns how many came since the last line, 0 if there is nothing to log yet.
func (t *tally) due(sum uint64, now time.Time) (n uint64) {
	if sum == t.told || now.Sub(t.at) < refusalsEvery {
		return 0
	}
	n = sum - min(t.told, sum)
	t.told, t.at = sum, now
	return n
}

// logRefusals logs what has come to seen since, and returns what there is now.
func (c *Control) logRefusals(v *stats.View, seen refusals, now time.Time) refusals {
	next := make(refusals, len(v.Listeners))
	for i := range v.Listeners {
		l := v.Listeners[i].State
		r := seen[l]
		if r == nil {
			r = new(refused)
		}
		next[l] = r
		var closed [l4.NumReasons]uint64
		var dropped [l4.NumDrops]uint64
		for k := range l.Loops {
			for reason := range closed {
				closed[reason] += l.Loops[k].Closed[reason].Load()
			}
			for reason := range dropped {
				dropped[reason] += l.Loops[k].Dropped[reason].Load()
			}
		}
		for reason, sum := range closed {
			if reason := l4.CloseReason(reason); reason.Refusal() {
				if n := r.connections[reason].due(sum, now); n > 0 {
					c.log.Log(context.Background(), levelOf(reason.ByRule()), "connections refused", "listener", l.Name, "reason", reason.String(), "count", n)
				}
			}
		}
		for reason, sum := range dropped {
			if reason := l4.Drop(reason); reason.Refusal() {
				if n := r.datagrams[reason].due(sum, now); n > 0 {
					c.log.Log(context.Background(), levelOf(reason.ByRule()), "datagrams refused", "listener", l.Name, "reason", reason.String(), "count", n)
				}
			}
		}
	}
	return next
}

// levelOf is how much a refusal matters: that strangers aren't let in is what the rules are for.
func levelOf(byRule bool) slog.Level {
	if byRule {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
