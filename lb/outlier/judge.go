package outlier

import (
	"cmp"
	"math"
	"slices"
)

const (
	// MinMembers is how many members with MinVolume there have to be for success rates to be judged: a mean of few says
	// little.
	MinMembers = 5
	// MinVolume is how many outcomes in the interval a member must have for its success rate to count.
	MinVolume = 100
	// MinGap is how far below the mean a success rate has to be in any case: a percentage point. Among n members of which one alone has
	// failures, that one is sqrt(n-1) deviations below the mean however few they are: a single one would eject it.
	MinGap = 0.01
)

// rounding is what sums of floating-point numbers may be off by, and more. A success rate that is closer than that to the
// threshold isn't below it: equal members never are outliers.
const rounding = 1e-9

// Sample is the outcomes of one member in one interval.
type Sample struct {
	Successes, Failures uint64
}

// rate is the share of successes; ok is false if there are too few outcomes to say. It adds in floating point, where
// there is no overflow.
func (s Sample) rate() (rate float64, ok bool) {
	n := float64(s.Successes) + float64(s.Failures)
	if n < MinVolume {
		return 0, false
	}
	return float64(s.Successes) / n, true
}

// Judge is called once in each Interval; samples[i] are the outcomes of members[i] in it. It ejects those whose success
// rate is more than Stdev standard deviations, and MinGap, below the mean, the worst first for as long as Eject would, and appends
// their indexes to ejected in that order. Members that are ejected already have no part in mean and deviation. Then the
// multipliers of all that were in use for the whole interval, and still are, go down by one.
func (r *Rules) Judge(members []*Record, samples []Sample, now int64, ejected []int) []int {
	first := len(ejected)
	ejected = r.outliers(members, samples, ejected)
	ejected = ejected[:min(len(ejected), first+max(r.room(members), 0))]
	for _, i := range ejected[first:] {
		r.eject(members[i], now, SuccessRate)
	}
	for _, m := range members {
		m.forget()
	}
	return ejected
}

// outliers appends the indexes of the members that are to be ejected by success rate, the worst first.
func (r *Rules) outliers(members []*Record, samples []Sample, found []int) []int {
	if !(r.Stdev > 0) { // nor not a number
		return found
	}
	n, sum := 0.0, 0.0
	for i, m := range members {
		if rate, ok := samples[i].rate(); ok && !m.Ejected() {
			n, sum = n+1, sum+rate
		}
	}
	if n < MinMembers {
		return found
	}
	mean, squares := sum/n, 0.0
	for i, m := range members {
		if rate, ok := samples[i].rate(); ok && !m.Ejected() {
			squares += (rate - mean) * (rate - mean)
		}
	}
	threshold := mean - max(r.Stdev*math.Sqrt(squares/n), MinGap) - rounding
	first := len(found)
	for i, m := range members {
		if rate, ok := samples[i].rate(); ok && !m.Ejected() && rate < threshold {
			found = append(found, i)
		}
	}
	slices.SortFunc(found[first:], func(a, b int) int {
		x, _ := samples[a].rate()
		y, _ := samples[b].rate()
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	})
	return found
}
