package main

import (
	"fmt"
	"slices"
	"strings"

	"weir/bench/measure"
)

// warningsOf says what isn't the same in both, besides the subject.
func warningsOf(before, after measure.Report) []string {
	var list []string
	differ := func(what string, a, b any) {
		if a != b {
			list = append(list, fmt.Sprintf("%s: %v, then %v", what, a, b))
		}
	}
	a, b := before.Machine, after.Machine
	differ("another processor", a.CPU, b.CPU)
	differ("another number of CPUs", a.CPUs, b.CPUs)
	differ("another amount of memory", a.MemoryKiB, b.MemoryKiB)
	differ("another kernel", a.Kernel, b.Kernel)
	differ("another congestion control", a.Congestion, b.Congestion)
	differ("another sched_autogroup", a.Autogroup, b.Autogroup)
	differ("another subject", before.Subject, after.Subject)
	for _, r := range []struct {
		name string
		measure.Report
	}{{"OLD", before}, {"NEW", after}} {
		if r.Quick {
			list = append(list, r.name+" is a quick run, which is no result")
		}
	}
	for _, c := range after.Contenders {
		i := slices.IndexFunc(before.Contenders, func(o measure.Contender) bool { return o.Name == c.Name })
		if i < 0 || c.Name == after.Subject {
			continue
		}
		differ("another "+c.Name, before.Contenders[i].Version, c.Version)
		if before.Contenders[i].Config != c.Config {
			list = append(list, c.Name+": another configuration")
		}
	}
	for _, pair := range shared(before, after) {
		differ("another load in "+pair[1].Name, loadOf(pair[0]), loadOf(pair[1]))
	}
	return list
}

func loadOf(w measure.Workload) string {
	return fmt.Sprintf("%s, amount %d", strings.Join(w.Command, " "), w.Amount)
}

// subjectsOf is the version of the subject in both.
func subjectsOf(before, after measure.Report) string {
	version := func(r measure.Report) string {
		for _, c := range r.Contenders {
			if c.Name == r.Subject && c.Version != "" {
				return c.Version
			}
		}
		return "unknown"
	}
	return version(before) + ", then " + version(after)
}
