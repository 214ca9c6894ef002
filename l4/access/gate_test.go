package access

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
)

func TestRulesAny(t *testing.T) {
	tests := []struct {
		rules *Rules
		want  bool
	}{
		{nil, false},
		{&Rules{}, false},
		{&Rules{Filter: NewFilter(nil, nil)}, false},
		{&Rules{Filter: NewFilter(prefixes("::/0"), nil)}, true},
		{&Rules{Rate: NewRate(0, 5)}, false},
		{&Rules{Rate: NewRate(1, 0)}, true},
		{&Rules{PerSource: NewRate(1, 0)}, true},
		{&Rules{MaxPerSource: 1}, true},
	}
	for _, test := range tests {
		if got := test.rules.Any(); got != test.want {
			t.Errorf("%+v: Any() = %v", test.rules, got)
		}
	}
}

func TestRefusalString(t *testing.T) {
	want := map[Refusal]string{
		None: "", Denied: "denied", RateLimited: "rate_limited", SourceRateLimited: "source_rate_limited", SourceLimit: "source_limit", 99: "unknown",
	}
	for r, s := range want {
		if r.String() != s {
			t.Errorf("%d is %q, want %q", r, r, s)
		}
	}
}

// A refusal takes nothing from anyone: what is there afterwards says who has paid.
func TestGate(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	type step struct {
		enter, leave string
		why          Refusal
		counted      bool
		level        float64 // of the listener, after it
	}
	deny := NewFilter(nil, prefixes("192.0.2.3/32"))
	tests := []struct {
		name  string
		rules Rules
		steps []step
	}{
		{"no rules", Rules{}, []step{{enter: a}, {enter: a}}},
		{"a filter", Rules{Filter: deny}, []step{{enter: a}, {enter: c, why: Denied}}},
		{"a rate", Rules{Rate: NewRate(1, 2)}, []step{
			{enter: a, level: 1},
			{enter: a},
			{enter: b, why: RateLimited},
		}},
		{"the denied cost nothing", Rules{Filter: deny, Rate: NewRate(1, 2), PerSource: NewRate(1, 1), MaxPerSource: 1}, []step{
			{enter: c, why: Denied, level: 2},
			{enter: c, why: Denied, level: 2},
			{enter: a, counted: true, level: 1},
		}},
		{"places of a source", Rules{MaxPerSource: 2}, []step{
			{enter: a, counted: true},
			{enter: a, counted: true},
			{enter: a, why: SourceLimit},
			{enter: b, counted: true},
			{leave: a},
			{enter: a, counted: true},
		}},
		{"a source at its limit costs the listener nothing", Rules{Rate: NewRate(1, 2), MaxPerSource: 1}, []step{
			{enter: a, counted: true, level: 1},
			{enter: a, why: SourceLimit, level: 1},
			{enter: a, why: SourceLimit, level: 1},
			{enter: b, counted: true},
			{enter: c, why: RateLimited},
		}},
		{"a source that is too fast costs the listener nothing", Rules{Rate: NewRate(1, 2), PerSource: NewRate(1, 1)}, []step{
			{enter: a, counted: true, level: 1},
			{enter: a, why: SourceRateLimited, level: 1},
			{leave: a, level: 1},
			{enter: a, why: SourceRateLimited, level: 1},
			{enter: b, counted: true},
			{enter: c, why: RateLimited},
			{enter: b, why: SourceRateLimited},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := NewGate(1)
			for i, step := range test.steps {
				if step.leave != "" {
					g.Leave(netip.MustParseAddr(step.leave))
				} else if why, counted := g.Enter(&test.rules, netip.MustParseAddr(step.enter), ns); why != step.why || counted != step.counted {
					t.Fatalf("step %d: Enter(%s) = %v, %v, want %v, %v", i, step.enter, why, counted, step.why, step.counted)
				}
				if got := g.Level(&test.rules, ns); got != step.level {
					t.Fatalf("step %d: a level of %v, want %v", i, got, step.level)
				}
			}
			if test.rules.ofSources() != (g.Sources() != nil) {
				t.Errorf("sources are remembered: %v", g.Sources() != nil)
			}
		})
	}
}

func TestGateWithoutRules(t *testing.T) {
	g := NewGate(1)
	if why, counted := g.Enter(nil, v4(1), ns); why != None || counted {
		t.Errorf("Enter = %v, %v", why, counted)
	}
	g.Leave(v4(1)) // that nobody counted
	if g.Sources() != nil || g.Level(nil, ns) != 0 {
		t.Error("no rules made something")
	}
}

// Whom the listener's rate refuses has his source's place and token as before.
func TestGateRefusesBeforeItTakes(t *testing.T) {
	g := NewGate(1)
	empty := &Rules{Rate: NewRate(1, 1), PerSource: NewRate(1, 2), MaxPerSource: 2}
	g.Enter(empty, v4(9), ns)
	for range 10 {
		if why, counted := g.Enter(empty, v4(1), ns); why != RateLimited || counted {
			t.Fatalf("Enter = %v, %v", why, counted)
		}
	}
	if g.Sources().Active(v4(1)) != 0 || g.Sources().Len() != 1 {
		t.Errorf("%d connections, and %d sources remembered", g.Sources().Active(v4(1)), g.Sources().Len())
	}
	r := *empty
	r.Rate = Rate{}
	for range 2 {
		if why, _ := g.Enter(&r, v4(1), ns); why != None {
			t.Errorf("then Enter = %v", why)
		}
	}
}

// What was counted by old rules is given back under new ones, and those that the old ones didn't count stay uncounted.
func TestGateWhoseRulesChange(t *testing.T) {
	g := NewGate(1)
	var counts []bool
	enter := func(r *Rules) Refusal {
		why, counted := g.Enter(r, v4(1), ns)
		if why == None {
			counts = append(counts, counted)
		}
		return why
	}
	one := &Rules{MaxPerSource: 1}
	steps := []struct {
		rules *Rules
		want  Refusal
	}{
		{nil, None},
		{&Rules{Rate: NewRate(1000, 0)}, None},
		{one, None}, // the two before are not counted
		{one, SourceLimit},
		{&Rules{MaxPerSource: 2}, None},
		{one, SourceLimit},
		{&Rules{}, None},
		{&Rules{PerSource: NewRate(1000, 0)}, None},
		{&Rules{MaxPerSource: 3}, SourceLimit},
	}
	for i, step := range steps {
		if got := enter(step.rules); got != step.want {
			t.Fatalf("step %d: %v, want %v", i, got, step.want)
		}
	}
	for _, counted := range counts {
		if counted {
			g.Leave(v4(1))
		}
	}
	if got := g.Sources().Active(v4(1)); got != 0 {
		t.Errorf("%d connections after the last", got)
	}
	if got := enter(one); got != None {
		t.Errorf("then %v", got)
	}
}

// Loops enter and leave at once, from the first, that makes the table, on: the listener's tokens go out to the last and not beyond, and every place
// comes back.
func TestGateConcurrently(t *testing.T) {
	const callers, few, most, burst = 8, 30, 3, 6000
	g := NewGate(1)
	r := &Rules{Filter: NewFilter(nil, []netip.Prefix{netip.PrefixFrom(v4(0), 32)}), Rate: NewRate(0.001, burst), MaxPerSource: most}
	var held [few]atomic.Int64
	var entered, refused atomic.Int64
	together(callers, func(caller int) {
		dice := rand.New(rand.NewPCG(uint64(caller), 8))
		var open []int
		for range 3000 {
			i := dice.IntN(few)
			switch why, counted := g.Enter(r, v4(i), ns); why {
			case None:
				if n := held[i].Add(1); !counted || n > most {
					t.Errorf("source %d has %d connections, counted: %v", i, n, counted)
				}
				entered.Add(1)
				open = append(open, i)
			case RateLimited:
				refused.Add(1)
			case Denied:
				if i != 0 {
					t.Errorf("source %d is denied", i)
				}
			}
			if len(open) > dice.IntN(8) {
				held[open[0]].Add(-1)
				g.Leave(v4(open[0]))
				open = open[1:]
			}
		}
		for _, i := range open {
			held[i].Add(-1)
			g.Leave(v4(i))
		}
	})
	if entered.Load() != burst || refused.Load() == 0 {
		t.Errorf("%d entered and %d were refused by the listener, want %d and some", entered.Load(), refused.Load(), burst)
	}
	if active, _ := check(t, g.Sources()); active != 0 || g.Level(r, ns) != 0 {
		t.Errorf("%d sources with connections, a level of %v", active, g.Level(r, ns))
	}
}
