package measure

import (
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
	Memory  Figure = "memory"  // growth of the contender's Pss for one connection
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
	Unit       string   `json:"unit"`                 // what a figure is given in
	Scale      float64  `json:"scale"`                // seconds for one of what Amount counts, times Scale, is in Unit
	Conns      int      `json:"conns"`                // connections at a time
	Percentile string   `json:"percentile,omitempty"` // Latency: p99 or p99_9

	amountFlag string
	service    string // of the backend
}

// Idle connections: memory is the difference between these two numbers of them.
const (
	idleFew  = 1000
	idleMany = 8000
)

// Groups are the sections of the report, in order.
func Groups() []string {
	return []string{"round trips", "bulk", "connections", "latency", "memory", "growth", "udp"}
}

// AllWorkloads are sized for a cell of one to two seconds on a machine with two
// cores; quick makes them a fifth of that.
func AllWorkloads(quick bool) []Workload {
	list := slices.Concat(roundTrips(), []Workload{
		{
			Name: "bulk", Title: "bulk, backend to client, 4 connections", Group: "bulk", Figure: Cost, Protocol: "tcp",
			Command: []string{"bulk", "-conns", "4"},
			Amount:  4_000_000_000, Unit: "s/GB", Scale: 1e9, Conns: 4, amountFlag: "-bytes", service: "bulk",
		},
		{
			Name: "conn", Title: "a connection and one request", Group: "connections", Figure: Cost, Protocol: "tcp",
			Command: []string{"conn", "-conns", "64", "-sources", "8"},
			Amount:  20_000, Unit: "us", Scale: 1e6, Conns: 64, amountFlag: "-n", service: "once",
		},
		{
			Name: "idle", Title: "memory of an idle connection", Group: "memory", Figure: Memory, Protocol: "tcp",
			Command: []string{"idle"},
			Amount:  idleMany - idleFew, Unit: "KiB", Scale: 1, Conns: idleMany, amountFlag: "-conns", service: "echo",
		},
	})
	if quick {
		for i := range list {
			if list[i].Figure != Memory {
				list[i].Amount /= 5
			}
		}
	}
	return list
}

func roundTrips() []Workload {
	rtt := func(name, size string, group string, conns int, n int64) Workload {
		return Workload{
			Name: name, Title: fmt.Sprintf("round trips of %s B, %d connections", size, conns), Group: group,
			Figure: Cost, Protocol: "tcp", Command: []string{"rtt", "-conns", strconv.Itoa(conns), "-size", size},
			Amount: n, Unit: "us", Scale: 1e6, Conns: conns, amountFlag: "-n", service: "echo",
		}
	}
	return []Workload{
		rtt("rtt1", "64", "round trips", 1, 20_000),
		rtt("rtt64", "64", "round trips", 64, 120_000),
		rtt("rtt1000", "64", "round trips", 1000, 90_000),
	}
}

// ChooseWorkloads picks from all by name.
func ChooseWorkloads(all []Workload, names []string) ([]Workload, error) {
	var list []Workload
	for _, name := range names {
		i := slices.IndexFunc(all, func(w Workload) bool { return w.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for i, w := range all {
				known[i] = w.Name
			}
			return nil, fmt.Errorf("workload %s: unknown; there are %s", name, strings.Join(known, ", "))
		}
		list = append(list, all[i])
	}
	return list, nil
}

// args are the generator's arguments for an amount of work.
func (w Workload) args(addr string, amount int64, gated bool) []string {
	a := append(slices.Clone(w.Command), "-addr", addr, w.amountFlag, strconv.FormatInt(amount, 10))
	if gated {
		a = append(a, "-gate")
	}
	return a
}
