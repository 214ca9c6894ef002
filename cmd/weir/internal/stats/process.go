package stats

import (
	"bytes"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// readProcess reads what the kernel knows about this process. What can't be read stays zero.
func readProcess(p *Process) {
	p.PID, p.Go = os.Getpid(), runtime.Version()
	p.Descriptors = Descriptors{Open: openDescriptors(), Limit: descriptorLimit()}
	p.Resident = residentBytes()
}

// openDescriptors counts the open descriptors. Since Linux 6.2 the size of /proc/self/fd is their number; before, all have to be listed.
func openDescriptors() uint64 {
	if info, err := os.Stat("/proc/self/fd"); err == nil && info.Size() > 0 {
		return uint64(info.Size())
	}
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer dir.Close()
	var n uint64
	for {
		names, err := dir.Readdirnames(1024)
		n += uint64(len(names))
		if err != nil {
			return max(n, 1) - 1 // the listing's own
		}
	}
}

func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}

// residentBytes is the memory in use: the second field of /proc/self/statm, in pages (proc(5)).
func residentBytes() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
