package load

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A connection of the mix service says with its first byte what it is.
const (
	mixEcho = 'e'
	mixBulk = 'b'

	// mixTurn is the most bytes of bulk that the generator or the backend reads
	// or writes at a time while small messages may wait.
	mixTurn = 64 << 10
)

// Mix is bulk and small messages at the same time through the same address: an
// open loop of small messages, as [Open], for as long as the bulk takes.
//
// The generator and the backend are one thread each, and their own turns of bulk
// delay the small messages. That share is kept small, not nil: both serve small
// messages first, and bulk in turns of 64 KiB, with the messages that are due
// sent in between. It is the same for every path: compare with the latencies of
// the direct one, and look at SendLagUS, which is the generator's part of it.
type Mix struct {
	Addr      string        // mix service, IPv4:PORT
	Bytes     int64         // of bulk in all, backend to client; 0 = 1 GiB
	BulkConns int           // connections of bulk; 0 = 2
	Conns     int           // connections of small messages, used in turn; 0 = 16
	Rate      float64       // small messages per second; 0 = 2,000
	Size      int           // bytes per small message, 8 or more; 0 = 64
	Stall     time.Duration // the longest time without progress; 0 = 10 s
	Gate      Gate
}

// mixRun is the state of a run: callers have the tokens from 0, streams those
// after them.
type mixRun struct {
	*openRun
	streams []stream
	waiting []int32 // streams with an event that is yet to be served
	turn    []byte
	data    pattern
	moved   int64
	left    int // streams that have not ended
}

func (m Mix) defaults() Mix {
	if m.Bytes == 0 {
		m.Bytes = 1 << 30
	}
	if m.BulkConns == 0 {
		m.BulkConns = 2
	}
	if m.Conns == 0 {
		m.Conns = 16
	}
	if m.Rate == 0 {
		m.Rate = 2000
	}
	if m.Size == 0 {
		m.Size = 64
	}
	return m
}

// Run moves the bulk and keeps the schedule until it ends and every message is
// answered. Units of the result are the bytes of bulk, Messages the small
// messages; LatencyUS, Curve and SendLagUS are theirs. It fails with ErrCorrupt,
// ErrStalled, ErrOverload or the error of a connection.
func (m Mix) Run() (Result, error) {
	m = m.defaults()
	if m.Bytes < 0 || m.Bytes >= 1<<countBits || m.BulkConns < 0 || m.Conns < 0 || m.Size < 8 || !(m.Rate > 0 && m.Rate <= 1e7) {
		return Result{}, fmt.Errorf("mix: bytes %d, bulk connections %d, connections %d, size %d, rate %g: want positive numbers, a size of 8 or more and a rate of at most 1e7",
			m.Bytes, m.BulkConns, m.Conns, m.Size, m.Rate)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := sharpTimers(); err != nil {
		return Result{}, fmt.Errorf("mix: %w", err)
	}
	callers, p, err := dialCallers(m.Addr, []byte{mixEcho}, m.Conns, m.Size, m.Stall)
	defer closeCallers(callers, p)
	if err != nil {
		return Result{}, fmt.Errorf("mix: %w", err)
	}
	streams, err := dialStreams(p, m.Addr, []byte{mixBulk}, m.BulkConns, m.Conns, m.Stall)
	defer closeStreams(streams)
	if err != nil {
		return Result{}, fmt.Errorf("mix: %w", err)
	}
	r := &mixRun{
		openRun: newOpenRun(Open{Conns: m.Conns, Rate: m.Rate, Total: 1 << 62, Stall: m.Stall}, p, callers),
		streams: streams, waiting: make([]int32, 0, len(p.events)), turn: make([]byte, mixTurn), data: newPattern(), left: len(streams),
	}
	if err := m.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("mix: %w", err)
	}
	clock := startMeter()
	r.start = clock.wall
	err = r.loop(m.Bytes)
	res := clock.result("mix", r.moved)
	res.Messages = int64(r.done)
	r.report(&res)
	if err != nil {
		return res, fmt.Errorf("mix: after %d bytes and %d messages: %w", r.moved, r.done, err)
	}
	m.Gate.done(res)
	return res, nil
}

func (r *mixRun) loop(bytes int64) error {
	for i := range r.streams {
		if err := r.streams[i].start(r.poll, len(r.callers)+i, send, uint64(portion(bytes, i, len(r.streams)))); err != nil {
			return err
		}
	}
	// One watchdog each: neither kind may hide that the other stands still. The
	// schedule goes on by itself, so small messages are missed when it has ended.
	bulk, small := newWatchdog(r.Stall), newWatchdog(r.Stall)
	for turns := 0; r.left > 0 || r.done < r.total; turns++ {
		wait, err := r.sendDue(r.send)
		if err != nil {
			return err
		}
		events := r.poll.waitFor(wait)
		if events == nil || turns%1024 == 0 {
			if r.left > 0 && bulk.stalled(r.moved) || small.stalled(int64(r.done+r.sent)) {
				return ErrStalled
			}
		}
		if err := r.serve(events); err != nil {
			return err
		}
	}
	return nil
}

// serve reads the small answers first.
func (r *mixRun) serve(events []unix.EpollEvent) error {
	r.waiting = r.waiting[:0]
	for i := range events {
		if int(events[i].Fd) >= len(r.callers) {
			r.waiting = append(r.waiting, int32(i))
			continue
		}
		if err := r.step(int(events[i].Fd)); err != nil {
			return err
		}
	}
	for _, i := range r.waiting {
		if err := r.bulk(events[i]); err != nil {
			return err
		}
		if _, err := r.sendDue(r.send); err != nil {
			return err
		}
	}
	return nil
}

// bulk serves one turn of a stream. With the last one the schedule ends.
func (r *mixRun) bulk(ev unix.EpollEvent) error {
	s := &r.streams[int(ev.Fd)-len(r.callers)]
	before := s.taken
	done, err := s.step(ev.Events, r.turn, r.data)
	r.moved += int64(s.taken - before)
	if err != nil {
		return err
	}
	if err := s.arm(r.poll, int(ev.Fd), done); err != nil {
		return err
	}
	if done {
		if r.left--; r.left == 0 {
			r.total = r.sent
		}
	}
	return nil
}

// choose reads the first byte of a connection to the mix service.
func (b *Backend) choose(c *peer) {
	n, e := readFD(c.fd, b.buf[:1])
	if e == syscall.EAGAIN {
		return
	}
	if e != 0 || n == 0 {
		b.drop(c)
		return
	}
	switch b.buf[0] {
	case mixEcho:
		c.service = echoConn
		// What is there already is an edge of the new registration.
		if err := b.poll.control(unix.EPOLL_CTL_MOD, c.fd, int32(c.fd), edgeAll); err != nil {
			b.drop(c)
		}
	case mixBulk:
		c.service, c.bulk.turn = politeConn, mixTurn
	default:
		b.drop(c)
	}
}

// serveWaiting serves the bulk of mix after all else in a batch.
func (b *Backend) serveWaiting(events []unix.EpollEvent) {
	for _, i := range b.waiting {
		if c := b.conns[events[i].Fd]; c != nil && c.service == politeConn {
			b.transfer(c, events[i].Events)
		}
	}
	b.waiting = b.waiting[:0]
}
