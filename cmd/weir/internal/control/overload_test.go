package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"weir/cmd/weir/internal/stats"
	"weir/config"
	"weir/l4"
)

func TestMemory(t *testing.T) {
	file := func(v any) *fstest.MapFile { return &fstest.MapFile{Data: []byte(fmt.Sprintln(v))} }
	for _, c := range []struct {
		name              string
		root              fstest.MapFS
		used, limit, most uint64
	}{
		{"no cgroups", fstest.MapFS{}, 0, 0, 0},
		{"v2, no limit", fstest.MapFS{
			"proc/self/cgroup": file("0::/a"), "sys/fs/cgroup/a/memory.current": file(70), "sys/fs/cgroup/a/memory.max": file("max"),
		}, 0, 0, 0},
		{"v2", fstest.MapFS{
			"proc/self/cgroup": file("0::/a"), "sys/fs/cgroup/a/memory.current": file(70), "sys/fs/cgroup/a/memory.max": file(100),
			"sys/fs/cgroup/a/memory.stat": file("anon 20\ninactive_file 30\nactive_file 5"),
		}, 40, 100, 100},
		{"v2, more cache than is used", fstest.MapFS{
			"proc/self/cgroup": file("0::/a"), "sys/fs/cgroup/a/memory.current": file(70), "sys/fs/cgroup/a/memory.max": file(100),
			"sys/fs/cgroup/a/memory.stat": file("inactive_file 90"),
		}, 0, 100, 100},
		{"v2, the scarcest, and the least", fstest.MapFS{
			"proc/self/cgroup":               file("0::/a/b"),
			"sys/fs/cgroup/a/memory.current": file(190), "sys/fs/cgroup/a/memory.max": file(200),
			"sys/fs/cgroup/a/b/memory.current": file(50), "sys/fs/cgroup/a/b/memory.max": file(100),
		}, 190, 200, 100},
		{"v2, in a container", fstest.MapFS{
			"proc/self/cgroup": file("0::/docker/0123"), "sys/fs/cgroup/memory.current": file(5), "sys/fs/cgroup/memory.max": file(10),
		}, 5, 10, 10},
		{"v1", fstest.MapFS{
			"proc/self/cgroup": file("9:memory:/m\n3:cpu:/c"),
			"sys/fs/cgroup/memory/m/memory.usage_in_bytes": file(60), "sys/fs/cgroup/memory/m/memory.limit_in_bytes": file(80),
			"sys/fs/cgroup/memory/m/memory.stat": file("inactive_file 1\ntotal_inactive_file 20"),
		}, 40, 80, 80},
		{"v1, no limit", fstest.MapFS{
			"proc/self/cgroup": file("9:memory:/m"),
			"sys/fs/cgroup/memory/m/memory.usage_in_bytes": file(60), "sys/fs/cgroup/memory/m/memory.limit_in_bytes": file(uint64(9223372036854771712)),
		}, 0, 0, 0},
		{"nonsense", fstest.MapFS{
			"proc/self/cgroup": file("0::/a"), "sys/fs/cgroup/a/memory.current": file("some"), "sys/fs/cgroup/a/memory.max": file("few"),
		}, 0, 0, 0},
	} {
		m := findMemory(c.root)
		used, limit, _ := m.scarcest()
		if used != c.used || limit != c.limit || m.limit() != c.most {
			t.Errorf("%s: %d of %d, least limit %d; want %d of %d, %d", c.name, used, limit, m.limit(), c.used, c.limit, c.most)
		}
	}
}

// The runtime's own limit counts as well, and what is garbage doesn't count against it.
func TestGoMemory(t *testing.T) {
	garbage := make([][]byte, 64)
	for i := range garbage {
		garbage[i] = bytes.Repeat([]byte{1}, 1<<20)
	}
	debug.FreeOSMemory()
	with := goMemory()
	clear(garbage)
	debug.FreeOSMemory()
	if without := goMemory(); without+60<<20 > with {
		t.Errorf("%d bytes with 64 MiB that are used, %d without", with, without)
	}
	before := debug.SetMemoryLimit(1 << 40)
	defer debug.SetMemoryLimit(before)
	if used, limit, _ := findMemory(fstest.MapFS{}).scarcest(); limit != 1<<40 || used == 0 {
		t.Errorf("%d of %d", used, limit)
	}
}

// The runtime's limit follows the cgroup's, unless the environment has set one.
func TestSetMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	most := &fstest.MapFile{Data: []byte("1000000000000\n")}
	root := fstest.MapFS{
		"proc/self/cgroup":             {Data: []byte("0::/\n")},
		"sys/fs/cgroup/memory.current": {Data: []byte("1\n")}, "sys/fs/cgroup/memory.max": most,
	}
	c := &Control{shared: l4.NewShared(0, 0), overload: overload{memory: findMemory(root)}}
	t.Setenv("GOMEMLIMIT", "1TiB")
	c.pressure()
	if now := debug.SetMemoryLimit(-1); now != before {
		t.Errorf("with GOMEMLIMIT: %d, was %d", now, before)
	}
	t.Setenv("GOMEMLIMIT", "")
	for _, step := range []struct {
		max  string
		want int64
	}{{"1000000000000", 900_000_000_000}, {"2000000000000", 1_800_000_000_000}, {"max", math.MaxInt64}, {"1000000000000", 900_000_000_000}} {
		most.Data = []byte(step.max + "\n")
		c.pressure()
		if now := debug.SetMemoryLimit(-1); now != step.want {
			t.Errorf("memory.max %s: %d, want %d", step.max, now, step.want)
		}
	}
	delete(root, "sys/fs/cgroup/memory.current")
	delete(root, "sys/fs/cgroup/memory.max")
	c.pressure() // lifts the runtime's own
	if p := c.pressure(); p.MemoryLimit != 0 || p.Memory != 0 {
		t.Errorf("without the files: %+v", p)
	}
}

// The stages are decided, counted, logged and told to the loops.
func TestWeigh(t *testing.T) {
	s, err := config.Parse([]config.Source{{Text: "process.loops = 2\nadmin.listen = ''", Kind: config.TOML}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c, err := begin(context.Background(), Options{Snapshot: s, Log: slog.New(slog.NewTextHandler(&log, nil))}) // nobody else weighs
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Shutdown(ctx)
	}()
	before := c.measured().Entered
	var stages []l4.Stage
	for _, p := range []stats.Pressure{{Descriptors: 0.5}, {Descriptors: 0.91}, {Memory: 0.995}, {Memory: 0.97}, {Memory: 0.93}, {Descriptors: 0.1}} {
		c.weigh(p)
		stages = append(stages, c.measured().Stage)
	}
	if want := []l4.Stage{l4.StageCalm, l4.StageShorten, l4.StageRefuse, l4.StageRefuse, l4.StageShed, l4.StageCalm}; !slices.Equal(stages, want) {
		t.Errorf("stages %v, want %v", stages, want)
	}
	if n := c.measured().Entered; n[l4.StageShorten] != before[l4.StageShorten]+1 || n[l4.StageShed] != before[l4.StageShed]+1 || n[l4.StageRefuse] != before[l4.StageRefuse]+1 {
		t.Errorf("entered %v, before %v", n, before)
	}
	for _, want := range []string{"msg=overload stage=shorten was=calm descriptors=91%", "msg=overload stage=refuse was=shorten", `msg="overload eases" stage=calm was=shed`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}
