package health_test

import (
	"fmt"
	"time"

	"weir/lb"
	"weir/lb/health"
)

// Two endpoints are checked for a while; the second stops answering, and comes back.
func Example() {
	rules := &health.Rules{Interval: 2 * time.Second, FastInterval: 500 * time.Millisecond, Rise: 2, Fall: 3}
	rand := lb.NewRand(1)
	machines := make([]health.Machine, 2)
	var schedule health.Schedule
	for i := range machines {
		schedule.Put(uint32(i), int64(health.Spread(i, len(machines), rules.Interval, rand)))
	}
	// check is where a caller would open a connection.
	check := func(id uint32, now time.Duration) bool {
		return id != 1 || now < 10*time.Second || now > 20*time.Second
	}
	for {
		now, _ := schedule.Next() // a caller waits until then
		if time.Duration(now) > 30*time.Second {
			break
		}
		id, _ := schedule.Pop(now)
		m := &machines[id]
		if m.Observe(rules, check(id, time.Duration(now))) {
			fmt.Printf("%.0f s: endpoint %d is %v\n", time.Duration(now).Seconds(), id, m.State())
		}
		schedule.Put(id, now+int64(m.Wait(rules, rand)))
	}
	// Output:
	// 0 s: endpoint 0 is up
	// 0 s: endpoint 1 is up
	// 11 s: endpoint 1 is down
	// 22 s: endpoint 1 is up
}
