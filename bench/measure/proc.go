package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tick is USER_HZ: the unit of /proc/stat and /proc/PID/stat is 1/100 s on every
// Linux architecture that Go runs on (proc(5)).
const tick = 0.01

// CPU is the first line of /proc/stat, in seconds since boot over all CPUs.
type CPU struct {
	Busy  float64 // user, nice, system, irq and softirq (guest time is within user)
	Idle  float64 // idle and iowait
	Steal float64 // what the hypervisor gave to others
}

// Sub returns the time between an earlier reading and this one.
func (c CPU) Sub(earlier CPU) CPU {
	return CPU{c.Busy - earlier.Busy, c.Idle - earlier.Idle, c.Steal - earlier.Steal}
}

// StealShare is stolen time as a share of all time, 0 to 1.
func (c CPU) StealShare() float64 {
	all := c.Busy + c.Idle + c.Steal
	if all <= 0 {
		return 0
	}
	return c.Steal / all
}

// ParseCPU reads the text of /proc/stat.
func ParseCPU(text []byte) (CPU, error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) < 9 || f[0] != "cpu" {
		return CPU{}, fmt.Errorf("/proc/stat: first line %q: want cpu and eight numbers", line)
	}
	var v [8]float64
	for i := range v {
		n, err := strconv.ParseUint(f[i+1], 10, 64)
		if err != nil {
			return CPU{}, fmt.Errorf("/proc/stat: %w", err)
		}
		v[i] = float64(n) * tick
	}
	return CPU{Busy: v[0] + v[1] + v[2] + v[5] + v[6], Idle: v[3] + v[4], Steal: v[7]}, nil
}

func readCPU() (CPU, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return CPU{}, err
	}
	return ParseCPU(text)
}

// Process is what /proc/PID/stat says of a process.
type Process struct {
	PID, Session int
	Kernel       bool    // a kernel thread
	Self         float64 // its own user and system time, seconds
	Children     float64 // that of the children it has waited for, seconds
}

const kernelThread = 0x00200000 // PF_KTHREAD, include/linux/sched.h

// ParseProcess reads the text of /proc/PID/stat.
func ParseProcess(text []byte) (Process, error) {
	// The name, in parentheses, may hold anything, parentheses too.
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return Process{}, fmt.Errorf("/proc/PID/stat: no name in %q", text)
	}
	f := append([]string{strings.TrimSpace(string(text[:open])), ""}, strings.Fields(string(text[end+1:]))...)
	if len(f) < 17 {
		return Process{}, fmt.Errorf("/proc/PID/stat: %d fields: want 17 or more", len(f))
	}
	var v [17]int64
	for i := range v {
		if i == 1 || i == 2 {
			continue // name and state
		}
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return Process{}, fmt.Errorf("/proc/PID/stat: field %d: %w", i+1, err)
		}
		v[i] = n
	}
	return Process{
		PID: int(v[0]), Session: int(v[5]), Kernel: v[8]&kernelThread != 0,
		Self: float64(v[13]+v[14]) * tick, Children: float64(v[15]+v[16]) * tick,
	}, nil
}

// readProcesses lists all processes. One that ends meanwhile is left out.
func readProcesses() ([]Process, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	list := make([]Process, 0, len(names))
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		p, err := ParseProcess(text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// sessionTime is the CPU time of all processes of a session, seconds.
func sessionTime(list []Process, session int) float64 {
	sum := 0.0
	for _, p := range list {
		if p.Session == session {
			sum += p.Self
		}
	}
	return sum
}

// foreignTime is the CPU time of the user's processes outside the sessions and
// pids that are ours, and of the children they waited for: between two readings
// it grows by what others did meanwhile, short-lived ones too.
func foreignTime(list []Process, sessions, pids map[int]bool) float64 {
	sum := 0.0
	for _, p := range list {
		if !p.Kernel && !sessions[p.Session] && !pids[p.PID] {
			sum += p.Self + p.Children
		}
	}
	return sum
}

// ParsePss reads the Pss line, in KiB, of the text of /proc/PID/smaps_rollup:
// the memory of a process, with its share of what it shares.
func ParsePss(text []byte) (float64, error) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) == 3 && f[0] == "Pss:" && f[2] == "kB" {
			n, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("smaps_rollup: %w", err)
			}
			return float64(n), nil
		}
	}
	return 0, errors.New("smaps_rollup: no Pss line")
}

// sessionPss sums Pss over the processes of a session, KiB.
func sessionPss(session int) (float64, error) {
	list, err := readProcesses()
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for _, p := range list {
		if p.Session != session {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.PID))
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", p.PID, err)
		}
		kib, err := ParsePss(text)
		if err != nil {
			return 0, fmt.Errorf("memory of process %d: %w", p.PID, err)
		}
		sum, found = sum+kib, true
	}
	if !found {
		return 0, fmt.Errorf("session %d has no process", session)
	}
	return sum, nil
}
