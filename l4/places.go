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
//	           Enter, others wait                   its turn              Claim
//	(nobody) ─────────────────────────> queued ────────────────> woken ──────────┐
//	   │  ^                               ^                                      │
//	   │  │ Leave, from any state         │ Rest, no place was freed meanwhile   │
//	   │  │                               │                                      │
//	   │  └────────────────────────── trying <───────────────────────────────────┘
//	   └──────────────────────────────────^
//	           Enter, nobody waits
//
// None is forgotten because, while some are queued, there are at most as many free places as there are others who are woken or trying, or else settled
// is false. A place that is given back wakes one more, or finds nobody queued and unsettles. Who leaves with a place has taken one; without, it
// passes its turn on. And who finds no place, with none freed since it began to look, has seen that there is none. While it isn't settled, who leaves
// with a place wakes the next two, so that a cluster that suddenly has room is filled in a few steps, and a long queue isn't woken for one place.
type Places struct {
	_        [64]byte
	active   atomic.Int64
	waiting  atomic.Int64 // those that have entered and not left
	retrying atomic.Int64
	_        [64]byte

	latest atomic.Pointer[Cluster] // the last that has published; nil = none has

	mu          sync.Mutex
	first, last *Waiter // queued, by ticket
	looking     int     // woken or trying
	settled     bool
	tickets     uint64
	freed       uint64 // times that there may have come to be a place
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
	p.freedOne()
}

// freedOne wakes the one that waits longest, if any, after something was given back that it may have missed.
func (p *Places) freedOne() {
	if p.waiting.Load() == 0 {
		return
	}
	p.mu.Lock()
	p.freed++
	wake := p.turn()
	if wake == nil {
		p.settled = false
	}
	p.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// publish has those that wait go on with c, which may have more room.
func (p *Places) publish(c *Cluster) {
	p.mu.Lock()
	if before := p.latest.Load(); before == nil || before.generation <= c.generation {
		p.latest.Store(c)
	}
	p.freed++
	p.settled = false
	first, second := p.turn(), p.turn()
	p.mu.Unlock()
	wakeBoth(first, second)
}

// turn gives the one that waits longest its turn, and returns how it is woken, once the mutex is free; nil = nobody is queued. With the mutex held.
func (p *Places) turn() func() {
	w := p.first
	if w == nil {
		return nil
	}
	p.remove(w)
	w.state = woken
	p.looking++
	return w.Wake
}

func wakeBoth(first, second func()) {
	if first != nil {
		first()
	}
	if second != nil {
		second()
	}
}

// Entry is what becomes of one that Enters.
type Entry uint8

// What becomes of it.
const (
	Refused Entry = iota // so many wait already: it hasn't entered
	Queued               // behind those that wait: it will be woken
	Tries                // it is the only one: it looks for a place, and Rests when it finds none
)

// Enter lets one in that waits from now on, unless so many wait already.
func (p *Places) Enter(w *Waiter, most int64) Entry {
	if most <= 0 || !take(&p.waiting, 1, most) {
		return Refused
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tickets++
	w.ticket, w.seen = p.tickets, p.freed
	if p.first == nil && p.looking == 0 {
		w.state, p.looking, p.settled = trying, 1, false
		return Tries
	}
	p.insert(w)
	return Queued
}

// Rest queues one that has tried and found no place, behind those that came before it. false: a place was freed while it tried; it may try again.
func (p *Places) Rest(w *Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.seen != p.freed {
		w.seen = p.freed
		return false
	}
	p.looking--
	p.settled = true
	p.insert(w)
	return true
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

// Leave ends the wait of one that has entered, with a place that it has taken as it tried, or without.
func (p *Places) Leave(w *Waiter, served bool) {
	var first, second func()
	p.mu.Lock()
	switch {
	case w.state == queued:
		p.remove(w)
	case !served:
		p.looking--
		if first = p.turn(); first == nil {
			p.settled = false
		}
	default:
		p.looking--
		if !p.settled {
			first, second = p.turn(), p.turn()
		}
	}
	w.state = absent
	p.mu.Unlock()
	p.waiting.Add(-1)
	wakeBoth(first, second)
}

// insert queues one behind those that came before it. With the mutex held.
func (p *Places) insert(w *Waiter) {
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
