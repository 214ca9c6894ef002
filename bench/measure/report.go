package measure

import (
	"encoding/json"
	"io"
	"os"
	"runtime"
	"strings"
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

	// Calibration is what gave the open loops their rate: each contender's
	// closed loop of 64 connections, in round 0.
	Calibration []Sample `json:"calibration,omitempty"`

	Summary Summary  `json:"summary"`
	Samples []Sample `json:"samples"`
}

// Skip is a contender that has no figure, and why: its program isn't there, or
// it can't do a workload at all.
type Skip struct {
	Contender string `json:"contender,omitempty"` // empty: all of them
	Workload  string `json:"workload,omitempty"`  // empty: all of them
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
