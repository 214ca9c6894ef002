package tcp

import (
	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// Small messages that a batch of events has brought are written after all of them were read, and not one by one: the receiver,
// which the first write wakes, then finds them together, and works through its own batch instead of sleeping and waking for
// each. They are written with one system call where that can be (Loop.WriteAll). A message that is alone in its batch is written just as soon.
const (
	deferMost    = 4 << 10   // a larger read is written at once
	deferRoom    = 128 << 10 // bytes of a loop that wait; what doesn't fit is written at once
	deferEntries = 1 << 10   // reads that wait
)

// deferral is a read whose write waits. It ends with the batch, or before anything else happens to its direction.
type deferral struct {
	session    uint32
	from       uint8
	settled    bool
	start, end int32 // in the proxy's room
	write      int32 // place among the writes of the batch
}

// putOff makes what was read wait for the end of the batch; false when there is no room for it.
func (p *Proxy) putOff(i uint32, from int, d *direction, b []byte) bool {
	start, end := len(p.room), len(p.room)+len(b)
	if p.flushing || len(b) > deferMost || end > deferRoom || len(p.deferred) == deferEntries {
		return false
	}
	p.room = append(p.room, b...)
	p.deferred = append(p.deferred, deferral{session: i, from: uint8(from), start: int32(start), end: int32(end)})
	d.deferred = uint16(len(p.deferred))
	return true
}

// takeDeferred returns what waits in a direction, which then is the caller's until the batch ends; nil if nothing does.
func (p *Proxy) takeDeferred(d *direction) []byte {
	if d.deferred == 0 {
		return nil
	}
	e := &p.deferred[d.deferred-1]
	e.settled, d.deferred = true, 0
	return p.room[e.start:e.end]
}

// Flush writes what waits. It is called once a turn, after the last event.
func (h streams) Flush() {
	p := h.p
	p.flushing = true
	out := p.outgoing[:0]
	for k := range p.deferred {
		e := &p.deferred[k]
		if e.settled {
			continue
		}
		dst := &p.sessions.At(e.session).sides[1-e.from]
		dst.hurry()
		e.write = int32(len(out))
		out = append(out, eventloop.Outgoing{FD: dst.fd, Data: p.room[e.start:e.end]})
	}
	p.loop.WriteAll(out)
	// All bytes are accounted for before a session's end may look for those of its other direction.
	for k := range p.deferred {
		if e := &p.deferred[k]; !e.settled {
			e.start += out[e.write].N
			p.count(p.sessions.At(e.session), int(e.from), l4.Copied, int(out[e.write].N))
		}
	}
	for k := range p.deferred {
		if e := &p.deferred[k]; !e.settled {
			p.settle(e, out[e.write].Errno)
		}
	}
	p.deferred, p.room, p.flushing = p.deferred[:0], p.room[:0], false
}

// settle ends a deferral whose write had the outcome errno.
func (p *Proxy) settle(e *deferral, errno unix.Errno) {
	s, from := p.sessions.At(e.session), int(e.from)
	d := &s.dirs[from]
	rest := p.takeDeferred(d)
	if !p.taken(s, e.session, from, d, rest, errno) {
		return
	}
	// Pumping only after an interrupted write: else nothing is held, or the poller says when to go on.
	if d.pending() && s.sides[1-from].writable {
		p.pump(s, e.session, from)
	}
}

// offer writes b to the direction's receiver, for which nothing is held, and holds what that doesn't take; false when the session has
// ended.
func (p *Proxy) offer(s *session, i uint32, from int, d *direction, b []byte) bool {
	dst := &s.sides[1-from]
	dst.hurry()
	n, e := eventloop.Write(int(dst.fd), b)
	p.count(s, from, l4.Copied, n)
	return p.taken(s, i, from, d, b[n:], e)
}

// taken holds the rest that the direction's receiver has left of a write, which had the outcome e; false when the session has ended.
func (p *Proxy) taken(s *session, i uint32, from int, d *direction, rest []byte, e unix.Errno) bool {
	if e != 0 && e != unix.EAGAIN && e != unix.EINTR {
		p.fail(s, i, 1-from, e)
		return false
	}
	if len(rest) > 0 {
		s.sides[1-from].writable = e == unix.EINTR
		p.hold(d, rest)
	}
	return true
}
