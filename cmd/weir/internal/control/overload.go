package control

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"weir/cmd/weir/internal/stats"
	"weir/l4"
)

// pressureEvery is how often the Control looks how much is left of descriptors and memory.
const pressureEvery = 250 * time.Millisecond

// goShare is the part of a cgroup's memory that the Go runtime is told to stay within, unless GOMEMLIMIT says another: sockets' buffers take theirs
// from the same.
const goShare = 0.9

// overload watches what the process runs short of.
type overload struct {
	memory memory
	now    atomic.Pointer[stats.Pressure]
	times  [l4.NumStages]atomic.Uint64 // that a stage was entered from below
	said   [2][l4.NumStages]time.Time  // when it was logged that one was entered, from below and from above; of the goroutine that weighs
	told   uint64                      // the limit of the cgroup that the runtime knows; 0 = none
}

// setMemoryLimit tells the runtime the limit of the process's cgroup (0 = none) when it's another one, unless the environment has told it its own.
func (o *overload) setMemoryLimit(limit uint64) {
	if limit == o.told || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	o.told = limit
	if limit == 0 { // lifted
		debug.SetMemoryLimit(math.MaxInt64)
		return
	}
	debug.SetMemoryLimit(int64(goShare * float64(limit)))
}

// watchOverload looks at the pressure until the loops stop.
func (c *Control) watchOverload() {
	ticker := time.NewTicker(pressureEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.quit:
			return
		case <-ticker.C:
			c.weigh(c.pressure())
		}
	}
}

// pressure measures. A cgroup whose limit was changed meanwhile has the runtime's follow.
func (c *Control) pressure() stats.Pressure {
	p := stats.Pressure{Descriptors: c.shared.DescriptorShare()}
	var least uint64
	p.MemoryUsed, p.MemoryLimit, least = c.overload.memory.scarcest()
	c.overload.setMemoryLimit(least)
	if p.MemoryLimit > 0 {
		p.Memory = float64(p.MemoryUsed) / float64(p.MemoryLimit)
	}
	return p
}

// weigh decides the stage by what was measured, and tells the loops when it is another one.
func (c *Control) weigh(p stats.Pressure) {
	was := l4.StageCalm
	if before := c.overload.now.Load(); before != nil {
		was = before.Stage
	}
	p.Stage = was.Next(max(p.Descriptors, p.Memory))
	for at := range c.overload.times {
		if l4.Stage(at) > was && l4.Stage(at) <= p.Stage {
			c.overload.times[at].Add(1)
		}
		p.Entered[at] = c.overload.times[at].Load()
	}
	c.overload.now.Store(&p)
	if p.Stage == was {
		return
	}
	c.sayStage(&p, was)
	for i := range c.loops {
		l := &c.loops[i]
		_ = l.Loop.Post(func() { // a loop that has stopped has nothing to shed
			l.TCP.Overload(p.Stage)
			l.UDP.Overload(p.Stage)
		})
	}
}

// stageSaidEvery is how often it is logged at most that a stage was entered from one side: what frees a little and is full again goes to and fro.
const stageSaidEvery = 10 * time.Second

// sayStage logs that the stage is another one.
func (c *Control) sayStage(p *stats.Pressure, was l4.Stage) {
	level, text, side := slog.LevelWarn, "overload", 0
	if p.Stage < was {
		level, text, side = slog.LevelInfo, "overload eases", 1
	}
	if said, now := &c.overload.said[side][p.Stage], time.Now(); now.Sub(*said) >= stageSaidEvery {
		*said = now
		c.log.Log(context.Background(), level, text, "stage", p.Stage.String(), "was", was.String(),
			"descriptors", percent(p.Descriptors), "memory", percent(p.Memory), "sessions", c.shared.Active())
	}
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + "%" }

// measured returns the last measurement, for the View.
func (c *Control) measured() stats.Pressure {
	if p := c.overload.now.Load(); p != nil {
		return *p
	}
	return stats.Pressure{}
}

// memory finds what bounds the process's memory: its cgroup, and the runtime's own limit (GOMEMLIMIT).
type memory struct {
	root fs.FS
	dirs []string // of the cgroup and those above it, whether they have a limit or may get one
}

// findMemory looks for the cgroups of the process, of version 2, or of version 1's memory controller.
func findMemory(root fs.FS) memory {
	m := memory{root: root}
	note := func(dir string) {
		if _, _, err := m.group(dir); err == nil && !slices.Contains(m.dirs, dir) {
			m.dirs = append(m.dirs, dir)
		}
	}
	eachGroup(root, "memory", note, note)
	return m
}

// group reads what a cgroup uses, without the page cache that the kernel would give up first, and its limit; 0 = none.
func (m memory) group(dir string) (used, limit uint64, err error) {
	current, most, inactive := "memory.current", "memory.max", "inactive_file "
	if _, err := fs.Stat(m.root, path.Join(dir, current)); err != nil {
		current, most, inactive = "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file "
	}
	used, err = strconv.ParseUint(word(m.root, path.Join(dir, current)), 10, 64)
	if err != nil {
		return 0, 0, err
	}
	limit, err = strconv.ParseUint(word(m.root, path.Join(dir, most)), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) || limit > math.MaxInt64/2 { // "max", or version 1's number for it
		return used, 0, nil
	}
	for line := range strings.Lines(word(m.root, path.Join(dir, "memory.stat"))) {
		if value, ok := strings.CutPrefix(line, inactive); ok {
			cache, _ := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			used -= min(used, cache)
		}
	}
	return used, limit, nil
}

// limit returns the least limit of the cgroups; 0 = none.
func (m memory) limit() uint64 {
	_, _, least := m.scarcest()
	return least
}

// scarcest returns what is used of the limit that is nearest, and that limit; 0 = there is none. And the least limit of the cgroups; 0 = none.
func (m memory) scarcest() (used, limit, least uint64) {
	nearer := func(u, l uint64) {
		if l > 0 && (limit == 0 || float64(u)/float64(l) > float64(used)/float64(limit)) {
			used, limit = u, l
		}
	}
	for _, dir := range m.dirs {
		u, l, err := m.group(dir)
		if err != nil {
			continue // it's gone, as after a move of the process
		}
		nearer(u, l)
		if l > 0 && (least == 0 || l < least) {
			least = l
		}
	}
	if l := debug.SetMemoryLimit(-1); l < math.MaxInt64 {
		nearer(goMemory(), uint64(l))
	}
	return used, limit, least
}

// goMemory returns the bytes that the runtime can't do without: all that it has mapped, save free and released spans and what in the heap is garbage.
func goMemory() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return samples[i].Value.Uint64()
	}
	used := value(0) + value(1)
	for i := 2; i < len(samples); i++ {
		used -= min(used, value(i))
	}
	return used
}
