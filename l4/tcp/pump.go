package tcp

import (
	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// When a direction splices instead of copying. Splicing saves the two copies of a byte and costs a system call more for
// each turn: it pays for streams and not for messages.
const (
	largeRead   = 32 << 10 // a read of so many bytes speaks for a stream
	smallSplice = 8 << 10  // a turn that spliced fewer speaks for messages
	promoteAt   = 2        // large reads in a row
	demoteAt    = 4        // small turns in a row
	spliceWorth = 4        // a turn may splice so many times what it may copy: a spliced byte costs that much less, and each turn a wake-up
)

// direction is the way from one side of a session to the other.
//
//	        promoteAt large reads, nothing held
//	copying ─────────────────────────────────────> splicing
//	   ^    demoteAt small turns, pipe empty           │
//	   └───────────────────────────────────────────────┘
type direction struct {
	first, last *eventloop.Chunk // copied bytes that the receiver hasn't taken
	held        int32            // bytes in them
	piped       int32            // bytes in the pipe
	pipe        eventloop.Pipe   // leased while piped > 0
	splicing    bool
	streak      uint8
	deferred    uint16 // place in the proxy's deferred reads, plus 1; 0 = none
}

// pending reports whether the direction holds bytes for its receiver.
func (d *direction) pending() bool { return d.held > 0 || d.piped > 0 }

// outcome of a step of the pump.
type outcome uint8

const (
	moved   outcome = iota // something moved; look again
	blocked                // nothing more to do until the poller says so
	gone                   // the session has ended
)

// pump moves bytes from side from to the other until one of the two sockets says EAGAIN, the stream ends or the budget is used up;
// then it puts itself on the ready list. It reports false when the session has ended.
func (p *Proxy) pump(s *session, i uint32, from int) bool {
	d := &s.dirs[from]
	if b := p.takeDeferred(d); b != nil && !p.offer(s, i, from, d, b) {
		return false
	}
	budget := p.budget
	for {
		out := p.step(s, i, from, d, &budget)
		if out == gone {
			return false
		}
		if out == blocked {
			break
		}
		if budget <= 0 {
			p.loop.Again(s.sides[from].tok)
			break
		}
	}
	if d.pipe.Size > 0 && d.piped == 0 {
		p.loop.ReturnPipe(d.pipe)
		d.pipe = eventloop.Pipe{}
	}
	return true
}

// step does the next thing there is to do: give the receiver what is held, else take more from the sender.
func (p *Proxy) step(s *session, i uint32, from int, d *direction, budget *int) outcome {
	src, dst := &s.sides[from], &s.sides[1-from]
	if d.pending() {
		if dst.writable {
			return p.flush(s, i, from, d)
		}
		if d.piped > 0 || int(d.held) >= s.settings.buffer() {
			return blocked
		}
	}
	switch {
	case src.eof:
		if d.pending() || dst.finSent {
			return blocked
		}
		return p.passFIN(s, i, from)
	case !src.readable:
		return blocked
	case d.splicing && !d.pending():
		return p.spliceIn(s, i, from, d, budget)
	}
	return p.copyIn(s, i, from, d, budget)
}

// copyIn reads once and writes what it got, at once or with the rest of the batch; what the receiver doesn't take is held in chunks.
func (p *Proxy) copyIn(s *session, i uint32, from int, d *direction, budget *int) outcome {
	src, dst := &s.sides[from], &s.sides[1-from]
	buf := p.loop.Shared()
	if room := s.settings.buffer() - int(d.held); room < len(buf) {
		buf = buf[:room]
	}
	n, e := eventloop.Read(int(src.fd), buf)
	if e == unix.EAGAIN {
		src.urgent = false
		p.drained(src)
		return blocked
	}
	if n == 0 {
		return p.tookNothing(s, i, from, e)
	}
	*budget -= n
	p.took(s, from)
	if n < len(buf) && !src.urgent {
		// Drained. A FIN that was announced before has everything that came before it in the queue: this was the last of it.
		if p.drained(src); src.peerClosed {
			p.sawFIN(s, i, from)
		}
	}
	p.judgeRead(d, n, n == len(buf))
	if !dst.writable || d.pending() {
		p.hold(d, buf[:n])
		return moved
	}
	empty := !src.readable && !src.eof
	if empty && p.putOff(i, from, d, buf[:n]) {
		return blocked
	}
	if !p.offer(s, i, from, d, buf[:n]) {
		return gone
	}
	if empty && !d.pending() {
		return blocked
	}
	return moved
}

// drained notes that a side's queue was found empty: the poller says when there is more.
func (p *Proxy) drained(src *stream) {
	src.readable = false
	if src.muted {
		src.muted = false
		p.loop.SetInterest(src.tok, streamEvents)
	}
}

// mute keeps the poller from telling of every arrival on a side that waits for its slow receiver, each of which would wake
// the loop for nothing, until its queue is drained again. The kernel wakes at every arrival for who wants to hear of
// urgent data, too; so there may be some that nobody has told of.
func (p *Proxy) mute(src *stream) {
	src.muted, src.urgent = true, true
	p.loop.SetInterest(src.tok, streamEvents&^(eventloop.Readable|eventloop.Urgent))
}

// took notes that bytes have come from a side.
func (p *Proxy) took(s *session, from int) {
	s.active = p.loop.Now()
	if from == upstream && !s.answered {
		s.answered = true
		s.endpoint.Conduct.Succeeded()
	}
}

// tookNothing takes the end of a side's stream, which has no error, or whatever else than EAGAIN kept bytes from coming.
func (p *Proxy) tookNothing(s *session, i uint32, from int, e unix.Errno) outcome {
	switch e {
	case 0:
		p.sawFIN(s, i, from)
		return moved
	case unix.EINTR:
		return moved
	}
	return p.failed(s, i, from, e)
}

// judgeRead decides by a read of n bytes, which filled the buffer or not, whether the direction should splice.
func (p *Proxy) judgeRead(d *direction, n int, full bool) {
	if n < largeRead && !full {
		d.streak = 0
		return
	}
	if d.streak++; d.streak >= promoteAt && !p.copyOnly {
		d.splicing, d.streak = true, 0
	}
}

// spliceIn moves bytes into the direction's pipe, which is empty.
func (p *Proxy) spliceIn(s *session, i uint32, from int, d *direction, budget *int) outcome {
	src := &s.sides[from]
	if d.pipe.Size == 0 {
		pipe, err := p.loop.LeasePipe()
		if err != nil {
			d.splicing, d.streak = false, 0
			return moved
		}
		d.pipe = pipe
	}
	n, e := eventloop.Splice(int(src.fd), int(d.pipe.W), min(*budget*spliceWorth, int(d.pipe.Size)))
	switch {
	case e == unix.EAGAIN && src.urgent:
		// The kernel splices up to an urgent byte and no further; a plain read steps over it (tcp(7)).
		return p.copyIn(s, i, from, d, budget)
	case e == unix.EAGAIN:
		p.drained(src)
		return blocked
	case e == unix.EINVAL:
		d.splicing = false // this kind of socket can't
		return moved
	case n == 0:
		return p.tookNothing(s, i, from, e)
	}
	*budget -= (n + spliceWorth - 1) / spliceWorth
	p.took(s, from)
	d.piped = int32(n)
	if n >= smallSplice {
		d.streak = 0
	} else if d.streak++; d.streak >= demoteAt {
		d.splicing, d.streak = false, 0
	}
	return moved
}

// flush gives the receiver what the direction holds.
func (p *Proxy) flush(s *session, i uint32, from int, d *direction) outcome {
	dst := &s.sides[1-from]
	switch e := p.give(s, from, d); e {
	case 0:
		s.active = p.loop.Now()
		return moved
	case unix.EAGAIN:
		s.active = p.loop.Now()
		dst.writable = false
		return blocked
	default:
		return p.failed(s, i, 1-from, e)
	}
}

// give writes what the direction holds until nothing is left or the receiver answers with an error, EAGAIN among them.
func (p *Proxy) give(s *session, from int, d *direction) unix.Errno {
	dst := &s.sides[1-from]
	dst.hurry()
	for d.piped > 0 {
		n, e := eventloop.Splice(int(d.pipe.R), int(dst.fd), int(d.piped))
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return e
		}
		d.piped -= int32(n)
		p.count(s, from, l4.Spliced, n)
	}
	for d.held > 0 {
		c := d.first
		n, e := eventloop.Write(int(dst.fd), c.Data[c.Start:c.End])
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return e
		}
		d.held -= int32(n)
		p.count(s, from, l4.Copied, n)
		if c.Start += n; c.Start == c.End {
			if d.first = p.loop.ReturnChunk(c); d.first == nil {
				d.last = nil
			}
		}
	}
	return 0
}

// hurry turns Nagle's algorithm off before the second write: it never holds back the first, so that a session of one request
// saves the system call.
func (st *stream) hurry() {
	if st.wrote && !st.noDelay {
		st.noDelay = true
		eventloop.SetNoDelay(int(st.fd))
	}
}

// hold keeps bytes that the receiver hasn't taken.
func (p *Proxy) hold(d *direction, b []byte) {
	d.held += int32(len(b))
	for len(b) > 0 {
		if d.last == nil || d.last.End == eventloop.ChunkSize {
			c := p.loop.LeaseChunk()
			if d.last == nil {
				d.first = c
			} else {
				d.last.Next = c
			}
			d.last = c
		}
		n := copy(d.last.Data[d.last.End:], b)
		d.last.End += n
		b = b[n:]
	}
}

// discard drops what the direction holds.
func (p *Proxy) discard(d *direction) {
	p.takeDeferred(d)
	for c := d.first; c != nil; {
		c = p.loop.ReturnChunk(c)
	}
	switch {
	case d.pipe.Size > 0 && d.piped == 0:
		p.loop.ReturnPipe(d.pipe)
	case d.pipe.Size > 0:
		p.loop.DiscardPipe(d.pipe)
	}
	*d = direction{}
}

// sawFIN notes the end of a side's stream.
func (p *Proxy) sawFIN(s *session, i uint32, from int) {
	s.sides[from].eof = true
	s.sides[from].readable = false
	s.active = p.loop.Now()
	if s.firstFIN == 0 {
		s.firstFIN = uint8(from) + 1
		if s.settings.HalfCloseTimeout > 0 {
			p.setTimer(s, i, p.nextDeadline(s))
		}
	}
}

// passFIN sends the FIN of side from on, or ends the session when the other direction has ended too.
func (p *Proxy) passFIN(s *session, i uint32, from int) outcome {
	src, dst := &s.sides[from], &s.sides[1-from]
	if src.finSent { // the other direction is done: dst's FIN was read and given to src
		p.finish(s, i)
		return gone
	}
	dst.finSent = true
	if e := eventloop.ShutdownWrite(int(dst.fd)); e != 0 {
		return p.failed(s, i, 1-from, e)
	}
	return blocked
}

// failed ends the session after a side's socket has failed.
func (p *Proxy) failed(s *session, i uint32, side int, e unix.Errno) outcome {
	p.fail(s, i, side, e)
	return gone
}

// salvageMost bounds what is moved for a side that has failed.
const salvageMost = 1 << 20

// salvage moves what a failed side had sent before to the other one, as far as that takes it now. It ends nothing.
func (p *Proxy) salvage(s *session, from int) {
	src, dst, d := &s.sides[from], &s.sides[1-from], &s.dirs[from]
	if s.state != streaming || dst.finSent {
		return
	}
	p.hold(d, p.takeDeferred(d))
	if p.give(s, from, d) != 0 {
		return
	}
	buf := p.loop.Shared()
	for total := 0; total < salvageMost && !src.eof; {
		n, e := eventloop.Read(int(src.fd), buf)
		if e != 0 || n == 0 {
			return
		}
		total += n
		p.took(s, from)
		w, e := eventloop.Write(int(dst.fd), buf[:n])
		if w > 0 {
			p.count(s, from, l4.Copied, w)
		}
		if e != 0 || w < n {
			return
		}
	}
}

// count counts n bytes that the receiver of a direction has taken.
func (p *Proxy) count(s *session, from int, m l4.Method, n int) {
	dir := l4.Direction(from)
	p.counters.Bytes.Add(dir, m, n)
	s.on.counters.Bytes.Add(dir, m, n)
	s.counters.Bytes.Add(dir, m, n)
	s.sides[1-from].wrote = true
}
