package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"
)

// asker is one datagram socket of a closed loop: a question under way, or none.
type asker struct {
	fd     int // -1 between two sockets
	out    []byte
	want   []byte // the answer; may be out itself
	stamp  uint64 // of the question under way: its first bytes, and the answer's
	gone   uint64 // of a question that was given up; its answer may still come
	since  int64  // tick at which the question went
	busy   bool
	served int // questions on this socket
}

// askRun is a closed loop of questions and answers, UDPRTT or DNS.
type askRun struct {
	Tolerance
	poll   *poller
	addr   rawAddr
	askers []asker
	width  int // bytes of a stamp: 8 or 2
	reuse  int // questions for a socket; 0 = no bound
	fresh  sources
	in     []byte
	total  int64
	issued int64
	done   int64
	tally  tally
	clock  ticker
}

func (r *askRun) close() {
	for i := range r.askers {
		if r.askers[i].fd >= 0 {
			closeFD(r.askers[i].fd)
		}
	}
	r.poll.close()
}

// prepare makes one round trip on every socket, or on one that is thrown away
// when they are to be changed anyway.
func (r *askRun) prepare(addr string) error {
	for i := range r.askers {
		a := &r.askers[i]
		r.restamp(i)
		fd, err := dialUDP(addr, a.out, a.want, r.timeout())
		if err != nil {
			return fmt.Errorf("socket %d of %d: %w", i+1, len(r.askers), err)
		}
		if r.reuse > 0 {
			closeFD(fd)
			return nil
		}
		a.fd = fd
		if err := r.poll.watchReads(a.fd, int32(i)); err != nil {
			return err
		}
	}
	return nil
}

// loop asks until every question is answered or lost.
func (r *askRun) loop() error {
	r.clock = newTicker(r.timeout())
	for i := range r.askers {
		if err := r.issue(i); err != nil {
			return err
		}
	}
	if err := r.serve(r.poll, &r.clock, r); err != nil {
		return err
	}
	return r.drain()
}

func (r *askRun) over() bool      { return r.done+r.tally.lost >= r.total }
func (r *askRun) progress() int64 { return r.done }

// restamp makes the next question of asker i one that hasn't been before.
func (r *askRun) restamp(i int) {
	a := &r.askers[i]
	if r.width == 8 {
		a.stamp++
		binary.LittleEndian.PutUint64(a.out, a.stamp)
		return // the answer is the question
	}
	a.stamp = (a.stamp + 40503) & 0xffff // odd: 65,536 differ before one comes again
	binary.BigEndian.PutUint16(a.out, uint16(a.stamp))
	binary.BigEndian.PutUint16(a.want, uint16(a.stamp))
}

func (r *askRun) stampOf(b []byte) uint64 {
	if r.width == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return uint64(binary.BigEndian.Uint16(b))
}

// issue asks the next question on asker i, if there is one to ask.
func (r *askRun) issue(i int) error {
	a := &r.askers[i]
	if r.reuse > 0 && a.served >= r.reuse {
		closeFD(a.fd)
		a.fd, a.served, a.gone = -1, 0, 0
	}
	if r.issued == r.total {
		return nil
	}
	if a.fd < 0 {
		fd, err := r.fresh.connect(&r.addr)
		if err != nil {
			return err
		}
		a.fd = fd
		if err := r.poll.watchReads(a.fd, int32(i)); err != nil {
			return err
		}
	}
	r.issued++
	a.served++
	a.busy, a.since = true, r.clock.now
	r.restamp(i)
	if e := writeDatagram(a.fd, a.out); e != 0 {
		return fmt.Errorf("write: %w", e)
	}
	return nil
}

// step reads the answer to asker i's question, and asks the next.
func (r *askRun) step(i int) error {
	a := &r.askers[i]
	for a.fd >= 0 {
		n, e := readFD(a.fd, r.in)
		switch {
		case e == syscall.EAGAIN:
			return nil
		case e != 0:
			return fmt.Errorf("read: %w", e)
		case a.busy && bytes.Equal(r.in[:n], a.want):
			// Not read until empty: an answer too many is read before the
			// next one, or at the end.
			a.busy = false
			r.done++
			return r.issue(i)
		case n >= r.width && a.gone != 0 && r.stampOf(r.in) == a.gone:
			a.gone = 0 // late: it was counted as lost
		case n != len(a.want):
			return fmt.Errorf("%w: an answer of %d bytes, want %d", ErrCorrupt, n, len(a.want))
		default:
			return fmt.Errorf("%w: an answer differs, or came again", ErrCorrupt)
		}
	}
	return nil
}

// late counts what was not answered in time as lost, and asks the next.
func (r *askRun) late() error {
	for i := range r.askers {
		a := &r.askers[i]
		if !a.busy || !r.clock.expired(a.since) {
			continue
		}
		if err := r.tally.lose(1); err != nil {
			return err
		}
		a.busy, a.gone = false, a.stamp
		if err := r.issue(i); err != nil {
			return err
		}
	}
	return nil
}

// drain looks for answers that nobody waits for.
func (r *askRun) drain() error {
	for i := range r.askers {
		if err := r.step(i); err != nil {
			return err
		}
	}
	return nil
}
