package report

import (
	"math"
	"strconv"

	"weir/bench/measure"
)

func num(x float64) string { return measure.Number(x) }

func count(n int64) string { return measure.Grouped(strconv.FormatInt(n, 10)) }

// span is a spread's range.
func span(s measure.Spread) string { return num(s.Min) + " to " + num(s.Max) }

// ticks are round values, about so many of them, within lo and hi.
func ticks(lo, hi float64, about int) []float64 {
	if !(hi > lo) || math.IsInf(hi-lo, 0) {
		return nil
	}
	rough := (hi - lo) / float64(about)
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	step := unit
	for _, m := range []float64{2, 5, 10} {
		if step < rough {
			step = m * unit
		}
	}
	var list []float64
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9 && len(list) < 10*about; i++ {
		list = append(list, i*step+0) // no -0
	}
	return list
}

// logTicks are 1, 2 and 5 of each power of ten within lo and hi, which are
// greater than zero; over more than two decades the powers alone.
func logTicks(lo, hi float64) []float64 {
	var list []float64
	few := hi/lo > 200
	for e := math.Floor(math.Log10(lo)); e <= math.Log10(hi); e++ {
		for _, m := range []float64{1, 2, 5} {
			x := m * math.Pow(10, e)
			if x >= lo*(1-1e-9) && x <= hi*(1+1e-9) && (m == 1 || !few) {
				list = append(list, x)
			}
		}
	}
	return list
}

// tickLabel needs no more digits than the step between ticks has.
func tickLabel(x float64) string {
	return measure.Grouped(strconv.FormatFloat(math.Round(x*1e9)/1e9, 'f', -1, 64))
}
