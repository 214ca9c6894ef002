package measure

import (
	"math"
	"slices"
)

// Spread is the median of a set of values and its range; N is their number.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// SpreadOf returns the zero Spread for no values.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Clone(values)
	slices.Sort(v)
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return Spread{Median: mid, Min: v[0], Max: v[len(v)-1], N: len(v)}
}

// byRound is one figure of one contender in one workload, for each round it has.
type byRound map[int]float64

func (b byRound) spread() Spread {
	v := make([]float64, 0, len(b))
	for _, x := range b {
		v = append(v, x)
	}
	return SpreadOf(v)
}

// paired applies f to the values of the rounds that both have.
func paired(a, b byRound, f func(a, b float64) float64) Spread {
	var v []float64
	for round, x := range a {
		if y, ok := b[round]; ok {
			if r := f(x, y); !math.IsNaN(r) && !math.IsInf(r, 0) {
				v = append(v, r)
			}
		}
	}
	return SpreadOf(v)
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }

// widest is the largest distance from zero.
func (s Spread) widest() float64 { return max(math.Abs(s.Min), math.Abs(s.Max)) }

// Verdict says what a comparison of a cost against a peer's comes to.
type Verdict string

// The verdicts: a lower cost is cheaper.
const (
	Cheaper Verdict = "cheaper"
	Dearer  Verdict = "dearer"
	Same    Verdict = "no difference"
	Unknown Verdict = "too few rounds"
)

// enough is the least number of pairs a verdict is given on.
const enough = 3

// judge calls a difference one only when it is wider than the null's and all
// rounds agree on its direction.
func judge(diff Spread, null float64) Verdict {
	switch {
	case diff.N < enough:
		return Unknown
	case math.Abs(diff.Median) <= null || diff.Min <= 0 && diff.Max >= 0:
		return Same
	case diff.Median < 0:
		return Cheaper
	default:
		return Dearer
	}
}
