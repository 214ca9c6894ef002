package report

import (
	"math"
	"strconv"
	"strings"

	"weir/bench/measure"
)

// num gives three significant digits, never an exponent: the method yields no
// more.
func num(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "none"
	}
	if x == 0 {
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(x))))
	return grouped(strconv.FormatFloat(x, 'f', min(max(decimals, 0), 6), 64))
}

// grouped puts commas between thousands.
func grouped(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, rest, found := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if found {
		rest = "." + rest
	}
	return sign + whole + rest
}

func count(n int64) string { return grouped(strconv.FormatInt(n, 10)) }

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
	return grouped(strconv.FormatFloat(math.Round(x*1e9)/1e9, 'f', -1, 64))
}
