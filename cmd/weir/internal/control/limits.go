package control

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"weir/config"
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

// room is how many descriptors there are for sessions and flows beside so many others: listening, of checks, of lookups.
func (f files) room(others int) int64 {
	return int64(max(l4.SessionDescriptors, f.limit-f.overhead-others-f.reserve()))
}

// lookups is the most sockets that discovery has open at once for so many clusters that ask DNS, so many of them for SRV records: two for a name, of
// which resolve asks for eight at once for the targets of a service, and no more than 128 in all.
func lookups(names, services int) int { return min(2*names+16*services, 128) }

// limits are those of sessions and flows (0 = no limit) and of their descriptors for the configuration that runs, and how many each takes.
func (c *Control) limits() (most, descriptors, each int64) {
	others := 0
	for _, s := range c.sockets {
		others += len(s.fds)
	}
	checked := 0
	for i := range c.running.Plans {
		if p := &c.running.Plans[i]; p.Check != nil {
			checked += len(p.Members)
		}
	}
	names, services := 0, 0
	for i := range c.running.Snapshot.Clusters {
		switch d := &c.running.Snapshot.Clusters[i].Discover; {
		case d.DNS == "":
		case d.Mode == config.DiscoverSRV:
			services++
		default:
			names++
		}
	}
	others += min(checked, c.files.probes()) + lookups(names, services)
	most, descriptors, each = c.running.Snapshot.Process.MaxConnections, c.files.room(others), l4.SessionDescriptors
	if !c.running.AnyTCP() {
		each = l4.FlowDescriptors
	}
	c.sayUnmet(most, descriptors/each)
	return most, descriptors, each
}

// sayUnmet says that there are fewer descriptors than process.max_connections asks for: once for each that is configured, and again when there were enough
// in the meantime.
func (c *Control) sayUnmet(most, room int64) {
	if most <= room {
		c.mostUnmet = 0
		return
	}
	if most != c.mostUnmet {
		c.log.Warn("process.max_connections is more than there are descriptors for: raise the limit of open files (RLIMIT_NOFILE)",
			"want", most, "use", room, "descriptors", c.files.limit)
	}
	c.mostUnmet = most
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
