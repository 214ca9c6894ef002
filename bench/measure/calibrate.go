package measure

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
)

// calibration is a closed loop that shows how much a contender can do at most.
func (r *Runner) calibration(protocol string) Workload {
	w := rtt("rtt64", "", 64, 64, 60_000)
	if protocol == "udp" {
		w = udpRTT(60_000)
	}
	if r.Quick {
		w.Amount /= 6
	}
	return w
}

// calibrate gives the open loops that have no rate one that all contenders of
// the protocol can keep: a part of what the slowest of them does at most. Latency at
// full load is the length of a queue and says nothing of who made it.
func (r *Runner) calibrate(ctx context.Context) error {
	for _, protocol := range []string{"tcp", "udp"} {
		open := func(w Workload) bool { return w.seconds > 0 && w.Protocol == protocol }
		if !slices.ContainsFunc(r.Workloads, open) {
			continue
		}
		var samples []Sample
		if r.Rate == 0 {
			var err error
			if samples, err = r.calibrated(ctx, protocol); err != nil {
				return err
			}
		}
		for i, w := range r.Workloads {
			if !open(w) {
				continue
			}
			rate := r.Rate
			if rate == 0 {
				rate = partOfSlowest(w.part, samples)
			}
			if rate == 0 {
				r.skip(Skip{Workload: w.Name, Why: "no contender passed the calibration that gives it its rate"})
				continue
			}
			r.Workloads[i] = w.withRate(rate)
		}
	}
	return nil
}

// calibrated are the samples of a protocol's calibration.
func (r *Runner) calibrated(ctx context.Context, protocol string) ([]Sample, error) {
	var samples []Sample
	cells := r.calibrationCells(protocol)
	for i, c := range cells {
		got, err := r.timed(ctx, c, cells[i+1:])
		samples = append(samples, got...)
		r.report.Calibration = append(r.report.Calibration, got...)
		if err != nil {
			return nil, err
		}
	}
	return samples, nil
}

// calibrationCells are all that have a program between, or direct where nobody has.
func (r *Runner) calibrationCells(protocol string) []planned {
	var list []planned
	w := r.calibration(protocol)
	for _, c := range r.Contenders {
		if !c.isDirect() && c.supports(w.Protocol) {
			list = append(list, planned{0, w, c})
		}
	}
	if len(list) == 0 && len(r.Contenders) > 0 {
		list = append(list, planned{0, w, r.Contenders[0]})
	}
	return list
}

// partOfSlowest is that part of what the slowest contender did, in round trips per
// second, down to two digits; 0 = none passed. Of a contender that was measured
// again the best counts: a disturbed sample can only be too slow, and where there
// is no other, a rate that is too low is no harm.
func partOfSlowest(part float64, samples []Sample) float64 {
	best := map[string]float64{}
	for _, s := range samples {
		var r struct{ Seconds float64 }
		if s.Failed != "" || json.Unmarshal(s.Load, &r) != nil || r.Seconds <= 0 {
			continue
		}
		best[s.Contender] = max(best[s.Contender], float64(s.Amount)/r.Seconds)
	}
	if len(best) == 0 {
		return 0
	}
	rate := part * slices.Min(slices.Collect(maps.Values(best)))
	digits := math.Pow(10, math.Floor(math.Log10(rate))-1)
	return math.Floor(rate/digits) * digits
}
