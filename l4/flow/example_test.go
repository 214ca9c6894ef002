package flow_test

import (
	"fmt"
	"net/netip"
	"time"

	"weir/l4/flow"
)

// session is what a proxy would keep of a flow.
type session struct{ endpoint string }

// A client asks a name server twice, gets both answers, and asks again, in vain.
func Example() {
	now := int64(0)
	table := flow.New[session](0x5eed, now)
	rules := &flow.Rules{Idle: 30 * time.Second, Responses: 1}
	key := &flow.Key{Client: netip.MustParseAddr("192.0.2.7").As16(), Port: 5353}

	ask := func() {
		id, action := table.Arrive(key, 1, now)
		if action == flow.Open {
			var s *session
			id, s = table.Insert(key, rules, now)
			s.endpoint = "198.51.100.1:53"
			table.Owe(id, 1, now)
		}
		fmt.Println("ask", table.At(id).endpoint)
	}
	answer := func() {
		id, _ := table.Arrive(key, 0, now) // a proxy knows it from the socket that the answer came through
		if table.Answer(id, 1, now) == flow.End {
			table.Remove(id)
		}
		fmt.Println("answer,", table.Len(), "flows left")
	}
	ask()
	ask()
	answer()
	answer()
	ask()

	at, _ := table.Next()
	for ; table.Len() > 0; at, _ = table.Next() {
		now = at
		table.Advance(now, func(id flow.ID, why flow.Why) {
			fmt.Println("idle:", why == flow.Idle, "after", time.Duration(now-table.Started(id)))
			table.Remove(id)
		})
	}
	// Output:
	// ask 198.51.100.1:53
	// ask 198.51.100.1:53
	// answer, 1 flows left
	// answer, 0 flows left
	// ask 198.51.100.1:53
	// idle: true after 30s
}
