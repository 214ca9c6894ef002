package measure

import (
	"math"
	"strconv"
	"strings"
)

// Number gives x with three significant digits and never an exponent: the
// method yields no more. What is no number is "none".
func Number(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "none"
	}
	if x == 0 {
		return "0"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(x))))
	return Grouped(strconv.FormatFloat(x, 'f', min(max(decimals, 0), 6), 64))
}

// Grouped puts commas between the thousands of a decimal number.
func Grouped(s string) string {
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
