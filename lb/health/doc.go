// Package health says from the results of active checks whether an endpoint is up, and when it is to be checked next.
// How a check is made is the caller's: it asks the Schedule who is due, does the check, tells the endpoint's Machine
// the result, and puts the endpoint back into the Schedule after Wait.
//
// It is pure: results, `now` and a generator of random numbers in, a State and times out. No sockets, files,
// goroutines or clocks.
//
//	   ┌─ ok ──────────┐   ┌────── ok ──────┐
//	   │               v   v                │
//	Unknown              Up ── failure ──> going down
//	   │                 ^                  │
//	   │   Rise in a row │                  │ Fall in a row
//	   │                 │                  v
//	   │          going up <─── ok ─────── Down
//	   │                 │                 ^  ^
//	   │                 └──── failure ────┘  │
//	   └─ failure ────────────────────────────┘
//
// Going down is Up, and going up is Down, but both are Changing: a count is under way, and checks come faster. With a Fall
// or Rise of 1 they are passed over.
//
// What is known of HAProxy and Envoy is kept where it is good: rise, fall, inter and fastinter of the one, jitter and the
// first check that decides of the other. The tables in the tests say which, and where this differs on purpose.
//
// Owner of its state: a Machine and a Schedule belong to the one loop or goroutine that runs the checks; they aren't
// safe for concurrent use. Rules are immutable and may be shared.
//
// Layer: lb. Of weir it imports lb, for its generator.
package health
