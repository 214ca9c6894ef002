package measure

import (
	"maps"
	"testing"
)

func TestValues(t *testing.T) {
	w := Workload{Name: "w", Figure: Cost, Scale: 1, Unit: "s"}
	sample := func(contender string, round int, busy float64) Sample {
		return Sample{Workload: "w", Contender: contender, Round: round, Amount: 2, Busy: busy}
	}
	disturbed, failed, empty := sample("a", 2, 99), sample("b", 1, 9), sample("c", 1, 9)
	disturbed.Discarded, failed.Failed, empty.Amount = "steal", "data lost", 0
	got := Values(w, []Sample{
		sample(Direct, 1, 2), sample(DirectAgain, 1, 4), sample(Direct, 2, 2),
		sample("a", 1, 10), disturbed, sample("a", 2, 8), sample("a", 3, 8), failed, empty,
		{Workload: "other", Contender: "a", Round: 1, Amount: 1, Busy: 1},
	})
	// Round 1 has a direct of 1 and one of 2; round 3 has none.
	if want := map[int]float64{1: 3.5, 2: 3}; len(got) != 1 || !maps.Equal(got["a"], want) {
		t.Errorf("got %v, want %v of a alone", got, want)
	}
	w.Figure = Memory
	m := Sample{Workload: "w", Contender: "a", Round: 1, Amount: 2, PssFew: 10, PssMany: 16}
	if got := Values(w, []Sample{m}); got["a"][1] != 3 {
		t.Errorf("memory: got %v, want 3", got)
	}
}
