package l4

import (
	"sync"
	"sync/atomic"
)

// Places are those that the connections of a cluster take, over the whole process, and the queue of those that wait for one. They go on when the
// cluster is replaced.
//
// Who waits is woken in the order of arrival, one for each place that is given back, on its own loop, and then picks as anybody does. As long as some
// wait, newcomers queue behind them. The mutex is of the queue alone: nobody takes it who neither waits nor gives back what another waits for.
//
//	           Enter                Rest                 give: its turn       Claim
//	(nobody) ────────> trying ────────────────> queued ─────────────────> woken ──────┐
//	     ^             │  ^      no place was                                         │
//	     │     Leave   │  │      freed meanwhile                                      │
//	     └─────────────┘  └───────────────────────────────────────────────────────────┘
//
// A woken one that leaves without trying passes its turn on.
type Places struct {
	_        [64]byte
	active   atomic.Int64
	waiting  atomic.Int64 // those that have entered and not left
	retrying atomic.Int64
	_        [64]byte

	mu          sync.Mutex
	first, last *Waiter // queued, by ticket
	tickets     uint64
	freed       uint64 // times that somebody was to be woken
}

// Waiter is one place in the queue. Its owner is a loop; the links are the queue's.
type Waiter struct {
	Wake func() // has the owner Claim; called from anywhere, must not block

	state      waiterState
	ticket     uint64
	seen       uint64 // Places.freed, when it began to try
	next, prev *Waiter
}

type waiterState uint8

const (
	absent waiterState = iota
	trying
	queued
	woken
)

// Active returns the connections under way, being connected or established.
func (p *Places) Active() int64 { return p.active.Load() }

// Waiting returns how many wait for a place.
func (p *Places) Waiting() int64 { return p.waiting.Load() }

// Retrying returns how many connect attempts under way are not the first of their connection.
func (p *Places) Retrying() int64 { return p.retrying.Load() }

// TakeRetry takes a place for a retry if the limits leave one.
func (p *Places) TakeRetry(l *Limits) bool { return take(&p.retrying, 1, l.retries(p.active.Load())) }

// GiveRetry gives it back.
func (p *Places) GiveRetry() { p.retrying.Add(-1) }

// give gives a place back.
func (p *Places) give() {
	p.active.Add(-1)
	if p.waiting.Load() > 0 {
		p.wake()
	}
}

// wake wakes the one that waits longest.
func (p *Places) wake() {
	p.mu.Lock()
	p.freed++
	w := p.first
	if w != nil {
		p.remove(w)
		w.state = woken
	}
	p.mu.Unlock()
	if w != nil {
		w.Wake()
	}
}

// wakeAll has all look again, in their order.
func (p *Places) wakeAll() {
	if p.waiting.Load() == 0 {
		return
	}
	p.mu.Lock()
	p.freed++
	var all []*Waiter
	for p.first != nil {
		w := p.first
		p.remove(w)
		w.state = woken
		all = append(all, w)
	}
	p.mu.Unlock()
	for _, w := range all {
		w.Wake()
	}
}

// Enter lets one in that waits from now on, unless so many wait already. It tries to find a place, and Rests when it finds none.
func (p *Places) Enter(w *Waiter, most int64) bool {
	if most <= 0 || !take(&p.waiting, 1, most) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tickets++
	w.ticket, w.seen, w.state = p.tickets, p.freed, trying
	return true
}

// Rest queues one that has tried and found no place, behind those that came before it. false: a place was freed while it tried; it may try again.
func (p *Places) Rest(w *Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.seen != p.freed {
		w.seen = p.freed
		return false
	}
	before := p.last
	for before != nil && before.ticket > w.ticket {
		before = before.prev
	}
	w.state, w.prev = queued, before
	if before == nil {
		w.next, p.first = p.first, w
	} else {
		w.next, before.next = before.next, w
	}
	if w.next == nil {
		p.last = w
	} else {
		w.next.prev = w
	}
	return true
}

// First reports whether nobody is queued before one that has entered.
func (p *Places) First(w *Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first == nil || p.first.ticket > w.ticket
}

// Claim reports whether it is the turn of one that was woken; then it tries. A wake that came for another owner of the Waiter is none.
func (p *Places) Claim(w *Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.state != woken {
		return false
	}
	w.state, w.seen = trying, p.freed
	return true
}

// Leave ends the wait of one that has entered, with a place or without.
func (p *Places) Leave(w *Waiter) {
	p.mu.Lock()
	was := w.state
	if was == queued {
		p.remove(w)
	}
	w.state = absent
	p.mu.Unlock()
	p.waiting.Add(-1)
	if was == woken {
		p.wake()
	}
}

// remove takes one out of the queue. With the mutex held.
func (p *Places) remove(w *Waiter) {
	if w.prev == nil {
		p.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		p.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev = nil, nil
}
