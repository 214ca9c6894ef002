package measure

import (
	"math"
	"testing"
)

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 1: "1.00", 12.345: "12.3", 0.0671: "0.0671", 999.6: "1,000", 123456: "123,456", -1234567.8: "-1,234,568",
		1e-9: "0.000000", math.Inf(1): "none", math.NaN(): "none",
	} {
		if got := Number(x); got != want {
			t.Errorf("Number(%v) is %s, want %s", x, got, want)
		}
	}
}
