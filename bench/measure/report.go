package measure

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what the samples were taken on.
type Machine struct {
	CPU        string    `json:"cpu"`
	CPUs       int       `json:"cpus"`
	Kernel     string    `json:"kernel"`
	MemoryKiB  string    `json:"memory"`
	Congestion string    `json:"congestion"`
	Autogroup  string    `json:"sched_autogroup"`
	Time       time.Time `json:"time"`
}

// Report is everything a run leaves. Of it Summary is drawn from the rest.
type Report struct {
	Machine    Machine     `json:"machine"`
	Subject    string      `json:"subject"` // the contender that is compared with the others
	Rounds     int         `json:"rounds"`
	Quick      bool        `json:"quick,omitempty"` // small amounts of work: a look, not a result
	Contenders []Contender `json:"contenders"`
	Workloads  []Workload  `json:"workloads"`
	Skipped    []Skip      `json:"skipped,omitempty"`
	Summary    Summary     `json:"summary"`
	Samples    []Sample    `json:"samples"`
}

// Skip is a contender that has no figure, and why: its program isn't there, or
// it can't do a workload at all.
type Skip struct {
	Contender string `json:"contender"`
	Workload  string `json:"workload,omitempty"` // empty: none of them
	Why       string `json:"why"`
}

// DescribeMachine looks at this one.
func DescribeMachine() Machine {
	m := Machine{
		CPUs:      runtime.NumCPU(),
		CPU:       field("/proc/cpuinfo", "model name"),
		MemoryKiB: field("/proc/meminfo", "MemTotal"),
		Time:      time.Now().UTC().Truncate(time.Second),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	m.Congestion, _ = Congestion()
	if text, err := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled"); err == nil {
		m.Autogroup = strings.TrimSpace(string(text))
	}
	return m
}

// field is the value of the first line "name: value" of a file.
func field(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// WriteJSON writes the whole report.
func WriteJSON(w io.Writer, r Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// WriteTable writes the summary for people.
func WriteTable(w io.Writer, r Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s, %d CPUs, Linux %s, %s, sched_autogroup %s\n", r.Machine.CPU, r.Machine.CPUs, r.Machine.Kernel, r.Machine.Congestion, r.Machine.Autogroup)
	for _, c := range r.Contenders {
		if !c.isDirect() {
			fmt.Fprintf(t, "%s: %s\n", c.Name, c.Version)
		}
	}
	for _, work := range r.Workloads {
		fmt.Fprintf(t, "\n%s, %s: median (least to most)\n", work.Name, work.Unit)
		fmt.Fprintf(t, "contender\tcost over direct\tmachine\tprocess\trounds\tthrown away\n")
		for _, row := range r.Summary.Rows {
			if row.Workload == work.Name {
				writeRow(t, row)
			}
		}
		for _, row := range r.Summary.Nulls {
			if row.Workload == work.Name {
				fmt.Fprintf(t, "direct less direct\t%s\t\t\t%d\t\n", row.Cost, row.Cost.N)
			}
		}
		writeComparisons(t, r.Summary.Comparisons, work.Name)
	}
	return t.Flush()
}

func writeRow(w io.Writer, row Row) {
	if row.Failed != "" {
		fmt.Fprintf(w, "%s\tfailed: %s\n", row.Contender, row.Failed)
		return
	}
	cost, total, process, n := row.Cost.String(), "", "", row.Cost.N
	if row.Total != nil {
		total, process = row.Total.String(), row.Process.String()
	}
	if row.Contender == Direct || row.Contender == DirectAgain {
		cost, process, n = "", "", row.Total.N
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\n", row.Contender, cost, total, process, n, row.Discarded)
}

func writeComparisons(w io.Writer, list []Comparison, workload string) {
	for _, c := range list {
		if c.Workload != workload {
			continue
		}
		peer := c.Peer
		if c.Better {
			peer += " (the better)"
		}
		fmt.Fprintf(w, "%s / %s\t%s\t%s\t\t%d\t\n", c.Subject, peer, c.Ratio, c.Verdict, c.Ratio.N)
	}
}

// String gives three significant digits: the method yields no more.
func (s Spread) String() string {
	if s.N == 0 {
		return "none"
	}
	return fmt.Sprintf("%.3g (%.3g to %.3g)", s.Median, s.Min, s.Max)
}
