package measure

import (
	"maps"
	"slices"
	"strings"
)

// Row is what a contender came to in a workload, in the workload's unit.
type Row struct {
	Workload  string  `json:"workload"`
	Contender string  `json:"contender"`
	Unit      string  `json:"unit"`
	Total     *Spread `json:"total,omitempty"`   // the machine's time, direct's included; a latency as it is; none of memory
	Cost      Spread  `json:"cost"`              // marginal: less direct's of the same round; a latency or memory as it is
	Process   *Spread `json:"process,omitempty"` // CPU time of the contender's processes; only beside a cost
	Failed    string  `json:"failed,omitempty"`  // the first failure; then there is no cost
	Lost      int64   `json:"lost,omitempty"`    // UDP: datagrams that didn't come, in all rounds that count
	Discarded int     `json:"discarded"`         // samples thrown away
}

// Comparison is the subject's figure against a peer's, by rounds that both have.
type Comparison struct {
	Workload string  `json:"workload"`
	Subject  string  `json:"subject"`
	Peer     string  `json:"peer"`
	Better   bool    `json:"better"` // the best of the peers proper here: see Summarize
	Ratio    Spread  `json:"ratio"`  // below 1: the subject costs less
	Diff     Spread  `json:"difference"`
	Null     float64 `json:"null"` // the widest that direct differed from itself in a round
	Verdict  Verdict `json:"verdict"`
}

// Summary is what the samples come to.
type Summary struct {
	Rows        []Row        `json:"rows"`
	Nulls       []Row        `json:"nulls"` // direct less direct, as Cost
	Comparisons []Comparison `json:"comparisons"`
	Growth      []Growth     `json:"growth,omitempty"`
}

// Growth is how a contender's whole-machine time for one round trip grows from
// few connections (rtt10) to many (rtt8000), in the same round, direct's included.
type Growth struct {
	Contender string `json:"contender"`
	From      int    `json:"from"` // connections
	To        int    `json:"to"`
	Ratio     Spread `json:"ratio"`
}

// figures are what samples of one contender in one workload say.
type figures struct {
	total, process byRound
	failed         string
	lost           int64
	discarded      int
}

// Summarize makes the summary; subject is the contender that is compared with
// the others. A contender that failed once in a workload has no figure in it.
// The best of a workload is looked for among the load balancers that one would
// run instead, HAProxy, NGINX and Envoy; relays that do nothing but copy are
// baselines, compared with and never the best.
func Summarize(workloads []Workload, contenders []Contender, samples []Sample, subject string) Summary {
	var sum Summary
	for _, w := range workloads {
		all := collect(w, samples)
		direct, null := directOf(all)
		if w.Figure != Memory {
			sum.Nulls = append(sum.Nulls, Row{
				Workload: w.Name, Contender: Direct, Unit: w.Unit, Cost: null.spread(),
				Discarded: discarded(all, Direct) + discarded(all, DirectAgain),
			})
		}
		costs := map[string]byRound{}
		for _, c := range contenders {
			f := all[c.Name]
			if f == nil {
				continue
			}
			row := Row{Workload: w.Name, Contender: c.Name, Unit: w.Unit, Failed: f.failed, Lost: f.lost, Discarded: f.discarded}
			if f.failed == "" {
				cost := f.total
				if w.Figure != Memory {
					total := f.total.spread()
					row.Total = &total
				}
				if w.Figure != Memory && w.Figure != Latency {
					process := f.process.spread()
					row.Process = &process
					cost = subtract(f.total, direct)
				}
				row.Cost = cost.spread()
				if !c.isDirect() {
					costs[c.Name] = cost
				}
			}
			sum.Rows = append(sum.Rows, row)
		}
		sum.Comparisons = append(sum.Comparisons, compare(w, costs, subject, null.spread().widest())...)
	}
	sum.Growth = growth(workloads, contenders, samples)
	return sum
}

// growth compares rounds in which a contender has both ends of the curve.
func growth(workloads []Workload, contenders []Contender, samples []Sample) []Growth {
	find := func(name string) (Workload, map[string]*figures) {
		for _, w := range workloads {
			if w.Name == name {
				return w, collect(w, samples)
			}
		}
		return Workload{}, nil
	}
	few, from := find(growthFew)
	many, to := find(growthMany)
	var list []Growth
	for _, c := range contenders {
		a, b := from[c.Name], to[c.Name]
		if a == nil || b == nil || a.failed != "" || b.failed != "" {
			continue
		}
		if r := paired(b.total, a.total, ratio); r.N > 0 {
			list = append(list, Growth{Contender: c.Name, From: few.Conns, To: many.Conns, Ratio: r})
		}
	}
	return list
}

func collect(w Workload, samples []Sample) map[string]*figures {
	all := map[string]*figures{}
	for _, s := range samples {
		if s.Workload != w.Name {
			continue
		}
		f := all[s.Contender]
		if f == nil {
			f = &figures{total: byRound{}, process: byRound{}}
			all[s.Contender] = f
		}
		if s.Discarded == "" {
			f.lost += s.Lost()
		}
		switch {
		case s.Failed != "":
			if f.failed == "" {
				f.failed = s.Failed
			}
		case s.Discarded != "":
			f.discarded++
		case w.Figure == Memory:
			f.total[s.Round] = (s.PssMany - s.PssFew) / float64(s.Amount)
		case w.Figure == Latency:
			if us, ok := w.latency(s); ok {
				f.total[s.Round] = us
			}
		default:
			f.total[s.Round] = s.Busy / float64(s.Amount) * w.Scale
			f.process[s.Round] = s.Process / float64(s.Amount) * w.Scale
		}
	}
	return all
}

func discarded(all map[string]*figures, name string) int {
	if f := all[name]; f != nil {
		return f.discarded
	}
	return 0
}

// directOf is the mean of a round's direct runs, and their difference.
func directOf(all map[string]*figures) (mean, null byRound) {
	mean, null = byRound{}, byRound{}
	first, second := all[Direct], all[DirectAgain]
	if first != nil {
		maps.Copy(mean, first.total)
	}
	if second == nil {
		return mean, null
	}
	for round, b := range second.total {
		a, ok := mean[round]
		if !ok {
			mean[round] = b
			continue
		}
		mean[round], null[round] = (a+b)/2, b-a
	}
	return mean, null
}

// subtract leaves out the rounds that have no direct.
func subtract(a, b byRound) byRound {
	d := byRound{}
	for round, x := range a {
		if y, ok := b[round]; ok {
			d[round] = x - y
		}
	}
	return d
}

func compare(w Workload, costs map[string]byRound, subject string, null float64) []Comparison {
	own := costs[subject]
	if own == nil {
		return nil
	}
	var list []Comparison
	for _, name := range slices.Sorted(maps.Keys(costs)) {
		if name == subject {
			continue
		}
		c := Comparison{
			Workload: w.Name, Subject: subject, Peer: name,
			Ratio: paired(own, costs[name], ratio), Diff: paired(own, costs[name], difference), Null: null,
		}
		c.Verdict = judge(c.Diff, null)
		list = append(list, c)
	}
	// The best peer is one configuration for the whole workload: the best of
	// each round would be a peer that nobody can run.
	best := -1
	for i, c := range list {
		if isPeer(c.Peer) && c.Ratio.N > 0 && (best < 0 || costs[c.Peer].spread().Median < costs[list[best].Peer].spread().Median) {
			best = i
		}
	}
	if best >= 0 {
		list[best].Better = true
	}
	return list
}

// isPeer reports whether a contender is a load balancer, not a bare relay.
func isPeer(name string) bool {
	family, _, _ := strings.Cut(name, "-")
	return slices.Contains([]string{"haproxy", "nginx", "envoy"}, family)
}
