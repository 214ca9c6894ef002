package control

import (
	"testing"
	"testing/fstest"
)

func TestCgroupQuota(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, c := range []struct {
		name string
		root fstest.MapFS
		want int
	}{
		{"no cgroups", fstest.MapFS{}, 0},
		{"v2, no quota", fstest.MapFS{
			"proc/self/cgroup":        file("0::/a\n"),
			"sys/fs/cgroup/a/cpu.max": file("max 100000\n"),
		}, 0},
		{"v2, rounded up", fstest.MapFS{
			"proc/self/cgroup":        file("0::/a\n"),
			"sys/fs/cgroup/a/cpu.max": file("150000 100000\n"),
		}, 2},
		{"v2, whole", fstest.MapFS{
			"proc/self/cgroup":        file("0::/a\n"),
			"sys/fs/cgroup/a/cpu.max": file("200000 100000\n"),
		}, 2},
		{"v2, the tightest of the group and those above it", fstest.MapFS{
			"proc/self/cgroup":            file("0::/a/b/c\n"),
			"sys/fs/cgroup/a/cpu.max":     file("300000 100000\n"),
			"sys/fs/cgroup/a/b/c/cpu.max": file("800000 100000\n"),
		}, 3},
		{"v2, in a container the group's path is the host's", fstest.MapFS{
			"proc/self/cgroup":      file("0::/docker/0123\n"),
			"sys/fs/cgroup/cpu.max": file("50000 100000\n"),
		}, 1},
		{"v2, beside v1 without the cpu controller", fstest.MapFS{
			"proc/self/cgroup":                file("4:memory:/m\n0::/a\n"),
			"sys/fs/cgroup/unified/a/cpu.max": file("100000 100000\n"),
		}, 1},
		{"v1", fstest.MapFS{
			"proc/self/cgroup": file("3:cpu,cpuacct:/a\n2:cpuset:/\n"),
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us":  file("250000\n"),
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": file("100000\n"),
		}, 3},
		{"v1, no quota", fstest.MapFS{
			"proc/self/cgroup":                     file("3:cpu:/\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":   file("-1\n"),
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":  file("100000\n"),
			"sys/fs/cgroup/cpuset/cpuset.cpu.list": file("0-1\n"),
		}, 0},
		{"nonsense", fstest.MapFS{
			"proc/self/cgroup":      file("what\n:::\n0::../../..\n"),
			"sys/fs/cgroup/cpu.max": file("x y z\n"),
		}, 0},
	} {
		if got := cgroupQuota(c.root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestLoopCount(t *testing.T) {
	four := []int{0, 1, 4, 5}
	for _, c := range []struct{ want, quota, loops int }{
		{0, 0, 4}, {0, 2, 2}, {0, 9, 4}, {3, 2, 3}, {16, 0, 16}, {0, 1, 1},
	} {
		if got := loopCount(c.want, four, c.quota); got != c.loops {
			t.Errorf("process.loops %d with a quota of %d: %d loops, want %d", c.want, c.quota, got, c.loops)
		}
	}
}

func TestDescriptors(t *testing.T) {
	for _, c := range []struct {
		limit, overhead, listening, loops int
		room                              int64
		pipes                             int
	}{
		{limit: 20000, overhead: 16, listening: 4, loops: 2, room: 20000 - 20 - 200, pipes: 25},
		{limit: 1024, overhead: 16, listening: 4, loops: 2, room: 1024 - 20 - 16, pipes: 4},
		{limit: 64, overhead: 16, listening: 4, loops: 2, room: 64 - 20 - 16, pipes: 4},
		{limit: 20, overhead: 16, listening: 4, loops: 2, room: 2, pipes: 4},
		{limit: noLimit, overhead: 16, listening: 4, loops: 4, room: noLimit - 20 - noLimit/100, pipes: 256},
	} {
		f := files{limit: c.limit, overhead: c.overhead}
		if got := f.room(c.listening); got != c.room {
			t.Errorf("limit %d: room for %d descriptors, want %d", c.limit, got, c.room)
		}
		if got := f.pipes(c.loops); got != c.pipes {
			t.Errorf("limit %d: %d pipes a loop, want %d", c.limit, got, c.pipes)
		}
	}
}
