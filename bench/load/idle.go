package load

import (
	"fmt"
	"runtime"
	"time"
)

// Idle opens connections, makes one round trip on each, and holds them while
// the memory of what is between is looked at.
type Idle struct {
	Addr  string        // echo service, IPv4:PORT
	Conns int           // connections; 0 = 1,000
	Stall time.Duration // the longest a connection may take; 0 = 10 s
	Gate  Gate          // Ready tells that all are open; they close when Go ends
}

// Run opens the connections and holds them until Gate.Go has a line or ends.
func (d Idle) Run() (Result, error) {
	if d.Conns == 0 {
		d.Conns = 1000
	}
	if d.Conns < 0 {
		return Result{}, fmt.Errorf("idle: conns %d: want a positive number", d.Conns)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := startMeter()
	callers, p, err := dialCallers(d.Addr, nil, d.Conns, 8, d.Stall)
	defer closeCallers(callers, p)
	res := m.result("idle", int64(len(callers)))
	if err != nil {
		return res, fmt.Errorf("idle: %w", err)
	}
	if err := d.Gate.hold(); err != nil {
		return res, fmt.Errorf("idle: %w", err)
	}
	// What was held must still work: nobody may have dropped it meanwhile.
	for i := range callers {
		if finished, err := callers[i].step(); err != nil || finished {
			return res, fmt.Errorf("idle: connection %d did not last: %w", i+1, err)
		}
	}
	d.Gate.done(res)
	return res, nil
}
