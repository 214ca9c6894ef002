package lb

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestSequence(t *testing.T) {
	for _, test := range []struct {
		weights []uint32
		want    sequence
	}{
		{[]uint32{7}, sequence{0}},
		{[]uint32{0, 3, 0}, sequence{1}},
		{equal(4), sequence{0, 1, 2, 3}},
		{[]uint32{100, 100}, sequence{0, 1}},
		{[]uint32{5, 1, 1}, sequence{0, 1, 0, 0, 2, 0, 0}},
		{[]uint32{3, 2}, sequence{0, 1, 0, 1, 0}},
		{[]uint32{4, 1, 1, 1, 1}, sequence{0, 1, 0, 2, 0, 3, 0, 4}},
	} {
		if got := newSequence(test.weights); !slices.Equal(got, test.want) {
			t.Errorf("newSequence(%v) = %v, want %v", test.weights, got, test.want)
		}
	}
}

// Nowhere in a sequence, across cycles too, is an index more than one turn
// from its share.
func TestSequenceIsSmooth(t *testing.T) {
	rand := NewRand(1)
	tests := [][]uint32{{5, 1, 1}, {65535, 1}, {1, 2, 4, 8, 16, 32, 64}, {0, 9, 10, 11, 0, 1}}
	for range 60 {
		tests = append(tests, randomWeights(1+int(rand.Below(40)), 1+rand.Below(200), rand))
	}
	for _, weights := range tests {
		var sum float64
		for _, w := range weights {
			sum += float64(w)
		}
		q := newSequence(weights)
		had := make([]float64, len(weights))
		for position := range 2 * len(q) {
			had[q.at(uint64(position))]++
			if len(q) > 1000 && position%97 != 0 {
				continue
			}
			for i, w := range weights {
				due := float64(position+1) * float64(w) / sum
				if math.Abs(had[i]-due) > 1+1e-9 {
					t.Fatalf("weights %v: after %d picks index %d had %v, due %v", weights, position+1, i, had[i], due)
				}
			}
		}
	}
}

// A sequence too long for its bound keeps to the weights as well as its
// entries can, and leaves nobody out.
func TestSequenceIsBounded(t *testing.T) {
	rand := NewRand(2)
	for _, weights := range [][]uint32{
		{math.MaxUint32, 1, 1000, math.MaxUint32},
		{65535, 1, 3},
		randomWeights(300, 65535, rand),
		append(equal(5000), randomWeights(5000, math.MaxUint32, rand)...),
	} {
		limit := max(65536, 16*len(weights))
		q := newSequence(weights)
		if len(q) > limit+len(weights) {
			t.Errorf("%d weights: length %d, want at most %d", len(weights), len(q), limit+len(weights))
		}
		var sum float64
		for _, w := range weights {
			sum += float64(w)
		}
		turns := make([]float64, len(weights))
		for _, i := range q {
			turns[i]++
		}
		for i, w := range weights {
			exact := float64(w) / sum * float64(limit)
			if turns[i] < 1 || math.Abs(turns[i]-exact) > 1 {
				t.Fatalf("%d weights: index %d has %v entries, exact %v", len(weights), i, turns[i], exact)
			}
		}
	}
}

func TestSplit(t *testing.T) {
	for _, weights := range [][]uint32{{90, 10}, {1, 0, 2}, {1}, {99, 1, 7}} {
		s, err := NewSplit(weights)
		if err != nil {
			t.Fatal(err)
		}
		counts := make([]uint32, len(weights))
		var sum uint32
		for _, w := range weights {
			sum += w
		}
		for range 5 * sum {
			counts[s.Next()]++
		}
		for i, w := range weights {
			if counts[i] != 5*w {
				t.Errorf("split %v gives %v", weights, counts)
			}
		}
	}
	for _, weights := range [][]uint32{nil, {}, {0}, {0, 0}, make([]uint32, MaxMembers+1)} {
		if _, err := NewSplit(weights); err == nil {
			t.Errorf("NewSplit of %d zero weights: no error", len(weights))
		}
	}
}

func ExampleSplit() {
	split, err := NewSplit([]uint32{75, 25})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 8 {
		fmt.Print(split.Next(), " ")
	}
	// Output: 0 1 0 0 0 1 0 0
}
