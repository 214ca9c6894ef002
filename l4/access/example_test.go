package access_test

import (
	"fmt"
	"net/netip"
	"time"

	"weir/l4/access"
)

// Two connections at once from a source, none from 203.0.113.0/24, ten a second in all.
func Example() {
	rules := &access.Rules{
		Filter:       access.NewFilter(nil, []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}),
		Rate:         access.NewRate(10, 4),
		MaxPerSource: 2,
	}
	gate := access.NewGate(42) // a random number, in earnest
	second := time.Second.Nanoseconds()

	enter := func(source string, now int64) {
		why, counted := gate.Enter(rules, netip.MustParseAddr(source), now)
		fmt.Printf("%s: %q %v\n", source, why, counted)
	}
	enter("203.0.113.7", second)
	enter("2001:db8::1", second)
	enter("2001:db8::2", second)
	enter("2001:db8::3", second) // the same /64, and so the same source
	gate.Leave(netip.MustParseAddr("2001:db8::1"))
	enter("2001:db8::3", second)
	enter("192.0.2.1", second)
	enter("192.0.2.2", second) // the fifth token
	enter("192.0.2.2", second+second/10)

	// Output:
	// 203.0.113.7: "denied" false
	// 2001:db8::1: "" true
	// 2001:db8::2: "" true
	// 2001:db8::3: "source_limit" false
	// 2001:db8::3: "" true
	// 192.0.2.1: "" true
	// 192.0.2.2: "rate_limited" false
	// 192.0.2.2: "" true
}
