package measure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Workload is a fixed amount of work for a load generator.
type Workload struct {
	Name    string   `json:"name"`
	Command []string `json:"command"` // the subcommand of cmd/load and its flags, without -addr and the amount
	Amount  int64    `json:"amount"`  // round trips, bytes or connections
	Unit    string   `json:"unit"`    // what a cost is given in
	Scale   float64  `json:"scale"`   // seconds for one of what Amount counts, times Scale, is in Unit

	amountFlag string
	service    string // of the backend
}

// Idle connections: memory is the difference between these two numbers of them.
const (
	idleFew  = 1000
	idleMany = 8000
	idle     = "idle"
)

// AllWorkloads are sized for a cell of two to three seconds on a machine with
// two cores; quick halves them.
func AllWorkloads(quick bool) []Workload {
	rtt := func(name string, conns int, n int64) Workload {
		return Workload{
			Name: name, Command: []string{"rtt", "-conns", strconv.Itoa(conns), "-size", "64"},
			Amount: n, Unit: "us", Scale: 1e6, amountFlag: "-n", service: "echo",
		}
	}
	list := []Workload{
		rtt("rtt1", 1, 20_000),
		rtt("rtt64", 64, 180_000),
		rtt("rtt1000", 1000, 120_000),
		{
			Name: "bulk", Command: []string{"bulk", "-conns", "4"},
			Amount: 5_000_000_000, Unit: "s/GB", Scale: 1e9, amountFlag: "-bytes", service: "bulk",
		},
		{
			Name: "conn", Command: []string{"conn", "-conns", "64", "-sources", "8"},
			Amount: 28_000, Unit: "us", Scale: 1e6, amountFlag: "-n", service: "once",
		},
		{
			Name: idle, Command: []string{"idle"},
			Amount: idleMany - idleFew, Unit: "KiB", Scale: 1, amountFlag: "-conns", service: "echo",
		},
	}
	if quick {
		for i := range list {
			if list[i].Name != idle {
				list[i].Amount /= 2
			}
		}
	}
	return list
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
