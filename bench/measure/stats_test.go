package measure

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   Spread
	}{
		{"none", nil, Spread{}},
		{"one", []float64{3}, Spread{3, 3, 3, 1}},
		{"odd", []float64{9, 1, 4}, Spread{4, 1, 9, 3}},
		{"even", []float64{8, 1, 4, 2}, Spread{3, 1, 8, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := SpreadOf(c.values); got != c.want {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
	v := []float64{2, 1}
	if SpreadOf(v); v[0] != 2 {
		t.Error("the caller's values were sorted")
	}
}

func TestSpreadString(t *testing.T) {
	for want, s := range map[string]Spread{
		"none": {}, "12.3": {12.34, 12.34, 12.34, 1}, "0": {1e-9, 1e-9, 1e-9, 1}, "1 (-0.5 to 2)": {1, -0.5, 2, 3},
	} {
		if got := s.String(); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func TestPairedUsesCommonRoundsOnly(t *testing.T) {
	a := byRound{1: 10, 2: 30, 4: 1000}
	b := byRound{1: 20, 2: 20, 3: 1}
	if got, want := paired(a, b, ratio), (Spread{1, 0.5, 1.5, 2}); got != want {
		t.Errorf("ratios %+v, want %+v", got, want)
	}
	if got, want := paired(a, b, difference), (Spread{0, -10, 10, 2}); got != want {
		t.Errorf("differences %+v, want %+v", got, want)
	}
	if got := paired(byRound{1: 1}, byRound{1: 0}, ratio); got.N != 0 {
		t.Errorf("a ratio to nothing counts: %+v", got)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		diff Spread
		null float64
		want Verdict
	}{
		{"lower in all rounds", Spread{-3, -4, -2, 5}, 1, Cheaper},
		{"higher in all rounds", Spread{3, 2, 4, 5}, 1, Dearer},
		{"within the null", Spread{-3, -4, -2, 5}, 3, Same},
		{"rounds disagree", Spread{-3, -4, 0.1, 5}, 1, Same},
		{"too few", Spread{-3, -4, -2, 2}, 1, Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := judge(c.diff, c.null); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

// sampled makes one sample per busy second, of a workload of 1,000 units.
func sampled(contender string, busy ...float64) []Sample {
	var list []Sample
	for i, b := range busy {
		list = append(list, Sample{Workload: "w", Contender: contender, Round: i + 1, Amount: 1000, Busy: b, Process: b / 2})
	}
	return list
}

func TestSummarize(t *testing.T) {
	works := []Workload{{Name: "w", Unit: "ms", Scale: 1000}}
	contenders := []Contender{{Name: Direct}, {Name: Weir}, {Name: "nginx"}, {Name: "haproxy"}, {Name: "c"}, {Name: "go"}, {Name: DirectAgain}}
	var samples []Sample
	for _, s := range [][]Sample{
		sampled(Direct, 1, 1, 1), sampled(DirectAgain, 1.2, 0.8, 1),
		sampled(Weir, 3.1, 2.9, 3),    // less direct: 2, 2, 2
		sampled("nginx", 5.1, 4.9, 5), // 4, 4, 4
		sampled("haproxy", 2.1, 2.0, 1.9), sampled("c", 1.1, 0.9, 1),
		sampled("go", 1.1, 1.0, 0.9), // the cheapest, but no load balancer
	} {
		samples = append(samples, s...)
	}
	samples = append(samples,
		Sample{Workload: "w", Contender: Weir, Round: 1, Amount: 1000, Busy: 99, Discarded: "steal"},
		Sample{Workload: "w", Contender: "c", Round: 3, Failed: "lost a byte"},
		Sample{Workload: "other", Contender: Weir, Round: 1, Amount: 1, Busy: 99},
	)
	sum := Summarize(works, contenders, samples, Weir)

	rows := map[string]Row{}
	for _, r := range sum.Rows {
		rows[r.Contender] = r
	}
	if r := rows[Weir]; !near(r.Cost.Median, 2) || !near(r.Cost.Max, 2) || r.Discarded != 1 || !near(r.Total.Median, 3) || !near(r.Process.Median, 1.5) {
		t.Errorf("weir's row %+v", r)
	}
	if r := rows["c"]; r.Failed != "lost a byte" || r.Cost.N != 0 {
		t.Errorf("the row of one that failed %+v", r)
	}
	if n := sum.Nulls[0].Cost; !near(n.Max, 0.2) || !near(n.Min, -0.2) || n.N != 3 {
		t.Errorf("null %+v", n)
	}
	if len(sum.Comparisons) != 3 {
		t.Fatalf("comparisons %+v", sum.Comparisons)
	}
	relay, b, a := sum.Comparisons[0], sum.Comparisons[1], sum.Comparisons[2]
	if a.Peer != "nginx" || !near(a.Ratio.Median, 0.5) || a.Verdict != Cheaper || a.Better {
		t.Errorf("against nginx: %+v", a)
	}
	if b.Peer != "haproxy" || b.Verdict != Dearer || !b.Better || !near(b.Null, 0.2) {
		t.Errorf("against haproxy: %+v", b)
	}
	if relay.Peer != "go" || relay.Verdict != Dearer || relay.Better {
		t.Errorf("against a relay: %+v", relay)
	}
}

// What was lost is in the row, whatever else is; what was lost in a sample that
// doesn't count isn't.
func TestSummarizeLoss(t *testing.T) {
	w := Workload{Name: "u", Figure: Latency, Protocol: "udp", Unit: "us", Percentile: "p99_9"}
	sample := func(who string, round, lost int) Sample {
		return Sample{Workload: "u", Contender: who, Round: round, Amount: 9, Load: fmt.Appendf(nil, `{"lost":%d,"latency_us":{"p99_9":5}}`, lost)}
	}
	gone, bad := sample(Weir, 3, 100), sample("nginx", 2, 40)
	gone.Discarded, bad.Failed = "steal", "datagrams lost: 40 of 9"
	samples := []Sample{sample(Weir, 1, 2), sample(Weir, 2, 1), gone, sample("nginx", 1, 0), bad, sample("envoy", 1, 0)}
	r := Report{Workloads: []Workload{w}, Contenders: []Contender{{Name: Weir}, {Name: "nginx"}, {Name: "envoy"}}, Subject: Weir}
	r.Summary = Summarize(r.Workloads, r.Contenders, samples, Weir)
	for i, want := range []int64{3, 40, 0} {
		if got := r.Summary.Rows[i].Lost; got != want {
			t.Errorf("%s lost %d, want %d", r.Summary.Rows[i].Contender, got, want)
		}
	}
	var table bytes.Buffer
	if err := WriteTable(&table, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"thrown away  lost\n", "5 (3 lost)", "failed: datagrams lost: 40 of 9"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
}

func TestSummarizeIdleIsMemoryPerConnection(t *testing.T) {
	samples := []Sample{{Workload: "idle", Contender: Weir, Round: 1, Amount: 7000, PssFew: 1000, PssMany: 15000}}
	sum := Summarize([]Workload{{Name: "idle", Figure: Memory, Unit: "KiB"}}, []Contender{{Name: Direct}, {Name: Weir}}, samples, Weir)
	if len(sum.Rows) != 1 || sum.Rows[0].Cost.Median != 2 || sum.Rows[0].Total != nil {
		t.Fatalf("rows %+v", sum.Rows)
	}
}

func TestSummarizeLatency(t *testing.T) {
	w := Workload{Name: "open", Figure: Latency, Unit: "us", Percentile: "p99_9"}
	sample := func(contender string, round int, us string) Sample {
		load := `{"latency_us":{"p50":1,"p99_9":` + us + `},"curve":[{"percent":50,"us":1}]}`
		return Sample{Workload: "open", Contender: contender, Round: round, Amount: 10, Busy: 9, Load: []byte(load)}
	}
	var samples []Sample
	for round := range 3 {
		samples = append(samples, sample(Direct, round, "100"), sample(DirectAgain, round, "110"), sample(Weir, round, "150"), sample("envoy", round, "300"))
	}
	sum := Summarize([]Workload{w}, []Contender{{Name: Direct}, {Name: Weir}, {Name: "envoy"}, {Name: DirectAgain}}, samples, Weir)
	// Nothing is subtracted from a percentile, and direct has one too.
	for i, want := range []float64{100, 150, 300, 110} {
		r := sum.Rows[i]
		if r.Cost != (Spread{want, want, want, 3}) || r.Total == nil || *r.Total != r.Cost || r.Process != nil {
			t.Errorf("row %+v, want %v", r, want)
		}
	}
	if c := sum.Comparisons[0]; c.Ratio.Median != 0.5 || c.Null != 10 || c.Verdict != Cheaper || !c.Better {
		t.Errorf("comparison %+v", c)
	}
}

func TestSummarizeGrowth(t *testing.T) {
	works := []Workload{rtt(growthMany, "", 64, 8000, 1), rtt(growthFew, "", 64, 10, 1)}
	sample := func(workload, contender string, round int, busy float64) Sample {
		return Sample{Workload: workload, Contender: contender, Round: round, Amount: 1, Busy: busy}
	}
	samples := []Sample{
		sample(growthFew, Weir, 1, 2), sample(growthMany, Weir, 1, 3),
		sample(growthFew, Weir, 2, 2), sample(growthMany, Weir, 2, 5),
		sample(growthFew, Weir, 3, 2), // the other end is missing
		sample(growthFew, "nginx", 1, 1), {Workload: growthMany, Contender: "nginx", Round: 1, Failed: "lost"},
	}
	got := Summarize(works, []Contender{{Name: Weir}, {Name: "nginx"}}, samples, Weir).Growth
	if want := (Growth{Weir, 10, 8000, Spread{2, 1.5, 2.5, 2}}); len(got) != 1 || got[0] != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestNewContendersRefuses(t *testing.T) {
	bin := Binaries{HAProxy: "/bin/true", NGINX: "/bin/true", Weir: "/nowhere/weir"}
	for _, names := range [][]string{{"squid"}, {"haproxy", "haproxy"}, {Weir}} {
		if list, err := NewContenders(names, bin); err == nil {
			t.Errorf("%v: no error, %+v", names, list)
		}
	}
	list, err := NewContenders([]string{"haproxy"}, bin)
	if err != nil || len(list) != 3 || list[0].Name != Direct || list[2].Name != DirectAgain {
		t.Fatalf("got %+v, %v", list, err)
	}
}
