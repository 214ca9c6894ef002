package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// ErrOverload means that the path took so little that the generator's own
// buffers were full: the rate is above what can be measured.
var ErrOverload = errors.New("rate too high")

// maxBacklog is how much Open keeps for one connection that doesn't take it.
const maxBacklog = 1 << 20

// Open is an open loop: messages go out on a schedule, whether or not the
// answers to earlier ones are back, and latency counts from the time a message
// was meant to go, so that a pause of the contender is seen by every message it
// delays ("coordinated omission", G. Tene).
type Open struct {
	Addr     string        // echo service, IPv4:PORT
	Conns    int           // connections, used in turn; 0 = 64
	Size     int           // bytes per message, 8 or more; 0 = 64
	Rate     float64       // messages per second; 0 = 1,000
	Duration time.Duration // of the schedule; 0 = 2 s
	Total    int64         // messages in all; 0 = Rate times Duration, otherwise Duration isn't looked at
	Stall    time.Duration // the longest time without progress; 0 = 10 s
	Gate     Gate
}

// openRun is the state of a run. Message k goes out on connection k mod Conns.
type openRun struct {
	Open
	schedule
	poll     *poller
	callers  []caller
	backlogs [][]byte
	next     []uint64 // by connection: the number its next answer must carry
	buf      []byte
}

// defaults fills in what is zero and refuses what can't be.
func (o Open) defaults() (Open, error) {
	if o.Conns == 0 {
		o.Conns = 64
	}
	if o.Size == 0 {
		o.Size = 64
	}
	if o.Rate == 0 {
		o.Rate = 1000
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if o.Conns < 0 || o.Size < 8 || !(o.Rate > 0 && o.Rate <= 1e7) || o.Duration < 0 || o.Total < 0 {
		return o, fmt.Errorf("conns %d, size %d, rate %g, duration %s, total %d: want positive numbers, a size of 8 or more and a rate of at most 1e7",
			o.Conns, o.Size, o.Rate, o.Duration, o.Total)
	}
	if o.Total == 0 {
		o.Total = int64(o.Rate * o.Duration.Seconds())
	}
	return o, nil
}

// Run keeps the schedule and waits for the last answer.
func (o Open) Run() (Result, error) {
	o, err := o.defaults()
	if err != nil {
		return Result{}, fmt.Errorf("open: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := sharpTimers(); err != nil {
		return Result{}, fmt.Errorf("open: %w", err)
	}
	callers, p, err := dialCallers(o.Addr, nil, o.Conns, o.Size, o.Stall)
	defer closeCallers(callers, p)
	if err != nil {
		return Result{}, fmt.Errorf("open: %w", err)
	}
	r := newOpenRun(o, p, callers)
	if err := o.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("open: %w", err)
	}
	m := startMeter()
	r.start = m.wall
	err = r.loop()
	res := m.result("open", int64(r.done))
	r.report(&res)
	if err != nil {
		return res, fmt.Errorf("open: after %d of %d messages: %w", r.done, r.total, err)
	}
	o.Gate.done(res)
	return res, nil
}

func newOpenRun(o Open, p *poller, callers []caller) *openRun {
	r := &openRun{
		Open: o, schedule: newSchedule(o.Rate, o.Total), poll: p, callers: callers,
		backlogs: make([][]byte, o.Conns),
		next:     make([]uint64, o.Conns),
		buf:      make([]byte, 64<<10),
	}
	for i := range r.next {
		r.next[i] = uint64(i)
	}
	return r
}

func (r *openRun) loop() error {
	dog := newWatchdog(r.Stall)
	for r.done < r.total {
		wait, err := r.sendDue(r.send)
		if err != nil {
			return err
		}
		events := r.poll.waitFor(wait)
		if events == nil && dog.stalled(int64(r.done+r.sent)) {
			return ErrStalled
		}
		for _, ev := range events {
			if err := r.step(int(ev.Fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// send is what the schedule calls when message k is due.
func (r *openRun) send(k uint64) error {
	i := int(k % uint64(len(r.callers)))
	c := &r.callers[i]
	binary.LittleEndian.PutUint64(c.out, k)
	if len(r.backlogs[i]) == 0 {
		n, e := writeFD(c.fd, c.out)
		if e != 0 && e != syscall.EAGAIN {
			return fmt.Errorf("write: %w", e)
		}
		if n == len(c.out) {
			return nil
		}
		r.backlogs[i] = append(r.backlogs[i], c.out[n:]...)
		return nil
	}
	if len(r.backlogs[i]) > maxBacklog {
		return ErrOverload
	}
	r.backlogs[i] = append(r.backlogs[i], c.out...)
	return nil
}

// step sends what was left over and reads all answers of connection i.
func (r *openRun) step(i int) error {
	c := &r.callers[i]
	if b := r.backlogs[i]; len(b) > 0 {
		n, e := writeFD(c.fd, b)
		if e != 0 && e != syscall.EAGAIN {
			return fmt.Errorf("write: %w", e)
		}
		r.backlogs[i] = b[:copy(b, b[n:])]
	}
	for {
		n, e := readFD(c.fd, r.buf)
		switch {
		case e == syscall.EAGAIN:
			return nil
		case e != 0:
			return fmt.Errorf("read: %w", e)
		case n == 0:
			return fmt.Errorf("%w: end of stream", ErrCorrupt)
		}
		if err := r.answers(i, r.buf[:n]); err != nil {
			return err
		}
	}
}

// answers splits what came into messages and records each.
func (r *openRun) answers(i int, b []byte) error {
	c := &r.callers[i]
	now := time.Since(r.start)
	for len(b) > 0 {
		n := copy(c.in[c.got:len(c.out)], b)
		b = b[n:]
		if c.got += n; c.got < len(c.out) {
			return nil
		}
		c.got = 0
		k := binary.LittleEndian.Uint64(c.in)
		if k != r.next[i] || k >= r.sent || !bytes.Equal(c.in[8:len(c.out)], c.out[8:]) {
			return fmt.Errorf("%w: message %d of connection %d differs", ErrCorrupt, r.next[i], i)
		}
		r.next[i] += uint64(len(r.callers))
		r.arrived(k, now)
	}
	return nil
}
