package control

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"weir/l4"
)

// files is what the process may have open.
type files struct {
	limit    int // RLIMIT_NOFILE
	overhead int // open before any listener and session, loops included
}

// noLimit stands for RLIM_INFINITY and anything else beyond all use.
const noLimit = 1 << 30

// raiseFiles raises the soft limit of descriptors to the hard one and returns what it is then.
func raiseFiles() files {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return files{limit: 1024} // the kernel's default
	}
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			r = raised
		}
	}
	return files{limit: int(min(r.Cur, noLimit))}
}

// measure notes what is open now.
func (f *files) measure() {
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.overhead = len(entries) - 1 // one is ReadDir's own
	}
}

// reserve is what sessions' sockets must leave: for pipes, the admin side, a reload.
func (f files) reserve() int { return max(16, f.limit/100) }

// pipes is the most pipes that each of n loops may have.
func (f files) pipes(n int) int { return max(4, min(f.reserve()/4, 1024)/n) }

// probes is the most health checks at once.
func (f files) probes() int { return max(16, min(f.limit/20, 1024)) }

// room is how many descriptors there are for sessions and flows beside so many listening sockets.
func (f files) room(listening int) int64 {
	return int64(max(l4.SessionDescriptors, f.limit-f.overhead-listening-f.reserve()))
}

// limits are those of sessions and flows (0 = no limit) and of their descriptors for the configuration that runs, and how many each takes.
func (c *Control) limits() (most, descriptors, each int64) {
	listening := 0
	for _, s := range c.sockets {
		listening += len(s.fds)
	}
	checked := 0
	for i := range c.running.Plans {
		if p := &c.running.Plans[i]; p.Check != nil {
			checked += len(p.Members)
		}
	}
	most, descriptors, each = c.running.Snapshot.Process.MaxConnections, c.files.room(listening+min(checked, c.files.probes())), l4.SessionDescriptors
	if !c.running.AnyTCP() {
		each = l4.FlowDescriptors
	}
	if most > descriptors/each {
		c.log.Warn("process.max_connections is more than there are descriptors for", "want", most, "use", descriptors/each, "descriptors", c.files.limit)
	}
	return most, descriptors, each
}

// setMaxProcs gives each loop a processor of the Go scheduler and the rest of the process one more, unless the environment says otherwise.
func setMaxProcs(loops int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(loops + 1)
	}
}

// processors returns the CPUs that the process may run on, and how many it may keep busy by its cgroup's quota (0 = no quota).
func processors() (cpus []int, quota int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, 0, fmt.Errorf("sched_getaffinity: %w", err)
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	if len(cpus) == 0 {
		cpus = []int{0}
	}
	return cpus, cgroupQuota(os.DirFS("/")), nil
}

// loopCount is the number of loops for a configuration's process.loops.
func loopCount(want int, cpus []int, quota int) int {
	switch {
	case want > 0:
		return want
	case quota > 0:
		return min(len(cpus), quota)
	}
	return len(cpus)
}
