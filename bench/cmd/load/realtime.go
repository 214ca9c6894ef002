package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// realtime gives the calling thread, to which the goroutine is bound from then
// on, precedence over all ordinary threads (SCHED_RR, sched(7)), so that what is
// measured is how late the contender is and not how late its load. It needs
// CAP_SYS_NICE or an RLIMIT_RTPRIO. Threads made later don't inherit it.
func realtime() error {
	runtime.LockOSThread()
	attr := unix.SchedAttr{Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("realtime: sched_setattr: %w; it needs root, or -realtime=false", err)
	}
	return nil
}
