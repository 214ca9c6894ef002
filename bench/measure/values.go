package measure

import "math"

// Values is the figure of each contender in each round of a workload, in its
// unit: what [Summarize] takes the medians of. In a Cost workload that is over
// direct, and direct itself has none. Contenders that failed have none either,
// and a sample that was thrown away isn't in it.
func Values(w Workload, samples []Sample) map[string]map[int]float64 {
	all := collect(w, samples)
	direct, _ := directOf(all)
	list := map[string]map[int]float64{}
	for name, f := range all {
		if f.failed != "" {
			continue
		}
		figure := f.total
		if w.Figure == Cost {
			if name == Direct || name == DirectAgain {
				continue
			}
			figure = subtract(f.total, direct)
		}
		v := map[int]float64{}
		for round, x := range figure {
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				v[round] = x
			}
		}
		if len(v) > 0 {
			list[name] = v
		}
	}
	return list
}
