package lb

import "time"

// rampUnit is what Ramp counts in: percent.
const rampUnit = 100

// rampLeast is the percentage that a slow start begins with, Envoy's default
// min_weight_percent. With nothing at all, the end of the ramp would be the
// first that is seen of the endpoint.
const rampLeast = 10

// Ramp returns the Member.Ramp of a member that came up so long ago, in a slow
// start that takes over: its share grows linearly from a tenth to all. 0 means
// that the slow start is over, or that there is none.
func Ramp(since, over time.Duration) uint8 {
	if over <= 0 || since >= over {
		return 0
	}
	percent := float64(max(since, 0)) / float64(over) * rampUnit
	return uint8(min(max(percent, rampLeast), rampUnit-1))
}
