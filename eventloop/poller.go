package eventloop

import "time"

// Event is what a Poller reports: the token of a registration and its readiness.
type Event struct {
	Token  Token
	Events Events
}

// Poller tells which descriptors are ready. The loop's own is epoll; tests drive a loop with a scripted one.
//
// Contract: Add, Remove and Wait are called by the loop alone, Wake by anybody. Wait fills at most len(out) events and
// returns their number; it returns 0 after timeout (0 = look and return, negative = no limit), after a Wake, or early for no reason.
// It never blocks for long while holding what the Go scheduler needs (see epoll.Wait).
type Poller interface {
	Add(fd int, tok Token, interest Events) error
	Modify(fd int, tok Token, interest Events) error
	Remove(fd int) error
	Wait(out []Event, timeout time.Duration) (int, error)
	Wake()
	Close() error
}

// PollerStats counts what waiting has cost; a poller that has them implements PollStatser.
type PollerStats struct {
	Waits    uint64 // epoll_pwait calls of any kind
	Blocking uint64 // those that gave the processor back to the Go scheduler
	Yields   uint64 // raw waits that the runtime interrupted, answered with Gosched
}

// PollStatser is implemented by pollers that count their waits.
type PollStatser interface{ PollStats() PollerStats }
