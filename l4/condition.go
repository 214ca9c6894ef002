package l4

import (
	"time"

	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// Condition is what checks and traffic have made of an endpoint. Its zero value is that of one that nobody watches.
type Condition struct {
	Checked bool         // its cluster has checks, or tracks one that has
	Check   health.State // what they say
	Since   time.Time    // of the last change of Check
	Result  string       // of the last check, for people; "" = it was well, or there was none
	At      time.Time    // of the last check
	Took    time.Duration

	Checks, ChecksFailed uint64 // since the endpoint is known
	WentDown, CameUp     uint64 // changes of Check

	Ejected   bool
	Why       outlier.Why
	Until     time.Time // when the ejection ends
	Ejections uint64

	Rose time.Time // when its slow start began; zero = it has none
}

// Health is what the balancer makes of it.
func (c *Condition) Health() lb.Health {
	switch {
	case c.Ejected || c.Checked && c.Check == health.Down:
		return lb.Unhealthy
	case c.Checked && c.Check == health.Unknown:
		return lb.Unknown
	}
	return lb.Healthy
}
