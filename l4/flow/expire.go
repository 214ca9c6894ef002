package flow

import (
	"math"
	"time"

	"weir/eventloop"
)

// Why says why a flow is over.
type Why uint8

const (
	Idle Why = iota // no datagram came for Rules.Idle
	Aged            // it began Rules.MaxDuration ago
)

// Next returns when Advance has something to do (nanoseconds); ok is false when there is nothing to wait for. It may be early, for flows
// that have had datagrams since, and is never late.
func (t *Table[T]) Next() (at int64, ok bool) { return t.wheel.Next() }

// Advance calls expired for each flow that is due at now (nanoseconds): at the first Advance at or after its deadline, rounded up to a
// millisecond, and never before it. expired must Remove the flow; it may Insert and Remove others, also ones that are due in the same
// call, but not Advance. Of two deadlines that have passed it hears the earlier one.
func (t *Table[T]) Advance(now int64, expired func(ID, Why)) {
	t.wheel.Advance(now, func(_ eventloop.HandlerID, arg uint32) {
		id := ID(arg)
		e := t.at(id) // live: Remove stops the timer
		e.timer = 0
		// In whole milliseconds as on the wheel, so that a deadline is the same whether the timer stood on it or came by on the way to it.
		if at, why := e.due(); at <= wholeMillisecond(now) {
			expired(id, why)
			return
		}
		t.start(id, e)
	})
}

// start starts the timer for what the flow is due for next, if anything.
func (t *Table[T]) start(id ID, e *entry[T]) {
	if at, _ := e.due(); at < math.MaxInt64 {
		e.timer = t.wheel.Start(at, 0, uint32(id))
	}
}

// due returns when the flow is over if no more datagram comes, and why; the largest time means never.
func (e *entry[T]) due() (at int64, why Why) {
	at = later(e.last, e.rules.Idle)
	if aged := later(e.started, e.rules.MaxDuration); aged < at {
		return aged, Aged
	}
	return at, Idle
}

// later adds a duration to a time. None, and one too long to count, lead to the largest time there is.
func later(at int64, d time.Duration) int64 {
	if d <= 0 || at > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return at + int64(d)
}

// wholeMillisecond is the last whole millisecond that is not after now, also before zero.
func wholeMillisecond(now int64) int64 {
	const ms = int64(time.Millisecond)
	return now - (now%ms+ms)%ms
}
