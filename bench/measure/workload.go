package measure

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Figure is what a workload measures.
type Figure string

// The figures. Lower is better in all of them.
const (
	Cost    Figure = "cost"    // busy time of the whole machine for one unit of work, less direct's
	Memory  Figure = "memory"  // growth of the contender's Pss for one connection, or flow
	Latency Figure = "latency" // a percentile of an open loop's latencies; direct's is shown, not subtracted
)

// Workload is a fixed amount of work for a load generator.
type Workload struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"` // for people
	Group      string   `json:"group"` // a section of the report: see Groups
	Figure     Figure   `json:"figure"`
	Protocol   string   `json:"protocol"`             // tcp or udp
	Command    []string `json:"command"`              // the subcommand of cmd/load and its flags, without -addr and the amount
	Amount     int64    `json:"amount"`               // round trips, bytes, connections or messages
	AmountFlag string   `json:"amount_flag"`          // of the subcommand, for Amount
	Unit       string   `json:"unit"`                 // what a figure is given in
	Scale      float64  `json:"scale"`                // seconds for one of what Amount counts, times Scale, is in Unit
	Conns      int      `json:"conns"`                // connections at a time
	Percentile string   `json:"percentile,omitempty"` // Latency: p99 or p99_9
	Rate       float64  `json:"rate,omitempty"`       // open loop: messages per second, the same for all contenders
	Realtime   bool     `json:"realtime,omitempty"`   // load and backend run before all ordinary threads: lateness is the contender's

	service     string  // of the backend
	responses   int     // UDP: answers to a flow, where its client never sends again
	flowTimeout string  // UDP: of a flow that nothing but a timeout can end, in seconds; empty: as it comes
	seconds     float64 // open loop: length of the schedule; the amount follows from it and the rate
	part        float64 // open loop: the rate's, of what the slowest contender does in a closed one
}

// Idle connections, or flows: memory is the difference between these two numbers of
// them.
const (
	idleFew  = 1000
	idleMany = 8000
)

// Groups are the sections of the report, in order.
func Groups() []string {
	return []string{"round trips", "bulk", "connections", "latency", "memory", "growth", "udp"}
}

// ChooseWorkloads picks from all by name, or a whole section by the name of its
// group, where it isn't a workload's as well; blanks in it may be hyphens. The
// section growth brings along rtt1000, which is on its curve. What is chosen
// twice is in the list once.
func ChooseWorkloads(all []Workload, names []string) ([]Workload, error) {
	var list []Workload
	for _, name := range names {
		found := matching(all, name)
		if len(found) == 0 {
			return nil, fmt.Errorf("workload %s: unknown; there are %s, and the groups %s", name, strings.Join(namesOf(all), ", "), strings.Join(Groups(), ", "))
		}
		for _, w := range found {
			if !slices.Contains(namesOf(list), w.Name) {
				list = append(list, w)
			}
		}
	}
	return list, nil
}

func matching(all []Workload, name string) []Workload {
	if i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name }); i >= 0 {
		return all[i : i+1]
	}
	var list []Workload
	for _, w := range all {
		if strings.ReplaceAll(w.Group, " ", "-") == strings.ReplaceAll(name, " ", "-") || name == "growth" && w.Name == growthMiddle {
			list = append(list, w)
		}
	}
	return list
}

func namesOf(list []Workload) []string {
	names := make([]string, len(list))
	for i, w := range list {
		names[i] = w.Name
	}
	return names
}

// withRate is an open loop's workload at a rate in messages per second.
func (w Workload) withRate(rate float64) Workload {
	w.Rate = rate
	w.Amount = int64(rate * w.seconds)
	w.Command = append(slices.Clone(w.Command), "-rate", strconv.FormatFloat(rate, 'f', -1, 64))
	return w
}

// latency is the workload's percentile of what the generator saw, microseconds.
func (w Workload) latency(s Sample) (us float64, ok bool) {
	var r struct {
		Latency map[string]float64 `json:"latency_us"`
	}
	if json.Unmarshal(s.Load, &r) != nil {
		return 0, false
	}
	us, ok = r.Latency[w.Percentile]
	return us, ok
}

// descriptors is what a contender needs open at a time: two for each
// connection, and some of its own.
func (w Workload) descriptors() uint64 { return uint64(2*w.Conns + 1000) }

// args are the generator's arguments for an amount of work.
func (w Workload) args(addr string, amount int64, gated bool) []string {
	a := append(slices.Clone(w.Command), "-addr", addr, w.AmountFlag, strconv.FormatInt(amount, 10))
	if w.Realtime {
		a = append(a, "-realtime")
	}
	if gated {
		a = append(a, "-gate")
	}
	return a
}

// manyConns is from where on a warm-up uses fewer connections than the work: it
// is there for caches and code, and dialling thousands takes longer than the
// work does. Each dialled connection has made a round trip before the clock
// starts anyway.
const (
	manyConns = 1000
	warmConns = 64
)

// warmUp are the arguments for a twentieth of the work.
func (w Workload) warmUp(addr string) []string {
	a := w.args(addr, max(w.Amount/20, 1), true)
	if w.Conns >= manyConns {
		a = append(a, "-conns", strconv.Itoa(warmConns)) // the last one counts
	}
	return a
}
