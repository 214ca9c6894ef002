package control

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cgroupQuota returns how many CPUs the process's cgroup, or one above it, lets it keep busy, rounded up; 0 = no quota. Version 2
// says so in cpu.max, version 1 in cpu.cfs_quota_us and cpu.cfs_period_us (kernel documentation, admin-guide/cgroup-v2
// and scheduler/sched-bwc). Inside a container the path is often that of the host, and the files are at the mount's root.
func cgroupQuota(root fs.FS) int {
	least := 0
	note := func(cpus int) {
		if cpus > 0 && (least == 0 || cpus < least) {
			least = cpus
		}
	}
	eachGroup(root, "cpu", func(dir string) { note(quotaV2(root, dir)) }, func(dir string) { note(quotaV1(root, dir)) })
	return least
}

// eachGroup visits the directories of the process's cgroup and of those above it: of version 2, and of version 1's controller.
func eachGroup(root fs.FS, controller string, v2, v1 func(dir string)) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch {
		case id == "0" && controllers == "":
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				upwards(mount, group, v2)
			}
		case slices.Contains(strings.Split(controllers, ","), controller):
			for _, mount := range []string{"sys/fs/cgroup/" + controllers, "sys/fs/cgroup/" + controller} {
				upwards(mount, group, v1)
			}
		}
	}
}

// upwards visits the group's directory and all above it, up to the mount.
func upwards(mount, group string, visit func(dir string)) {
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		visit(path.Join(mount, group))
		if group == "/" {
			return
		}
	}
}

func quotaV2(root fs.FS, dir string) int {
	quota, period, _ := strings.Cut(word(root, path.Join(dir, "cpu.max")), " ")
	return wholeCPUs(quota, period)
}

func quotaV1(root fs.FS, dir string) int {
	return wholeCPUs(word(root, path.Join(dir, "cpu.cfs_quota_us")), word(root, path.Join(dir, "cpu.cfs_period_us")))
}

func word(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// wholeCPUs rounds quota/period up; "max", -1 and anything that makes no sense are no quota.
func wholeCPUs(quota, period string) int {
	q, err := strconv.ParseInt(quota, 10, 64)
	p, err2 := strconv.ParseInt(period, 10, 64)
	if err != nil || err2 != nil || q <= 0 || p <= 0 {
		return 0
	}
	return int(min((q-1)/p+1, 1<<16))
}
