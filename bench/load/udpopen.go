package load

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// UDPOpen is [Open] over UDP: datagrams go out on a schedule, whether or not the
// answers to earlier ones are back, and latency counts from the time a datagram
// was meant to go. A lost one counts as one that took until it was given up: a
// path can't improve its latencies by dropping what would be late.
type UDPOpen struct {
	Addr     string        // udpecho service, IPv4:PORT
	Conns    int           // flows, used in turn; 0 = 64
	Size     int           // bytes per datagram, 16 to 65,507; 0 = 64
	Rate     float64       // datagrams per second; 0 = 1,000
	Duration time.Duration // of the schedule; 0 = 2 s
	Total    int64         // datagrams in all; 0 = Rate times Duration, otherwise Duration isn't looked at
	Reorder  float64       // share of datagrams that may be overtaken, 0 to 1
	Tolerance
	Gate Gate
}

// openFlow is one socket of UDPOpen.
type openFlow struct {
	outstanding
	fd int
}

// udpOpenRun is the state of a run. Datagram k goes out on flow k mod Conns, with
// the number k / Conns there.
type udpOpenRun struct {
	UDPOpen
	schedule
	poll  *poller
	flows []openFlow
	in    *datagrams
	out   []byte
	data  pattern
	tally tally
	clock ticker
}

// openBatch is the most datagrams that one system call of UDPOpen reads.
const openBatch = 16

// Run keeps the schedule and waits until each datagram is answered or lost; Units
// of the result are those that were answered. It fails with ErrLost, ErrReordered,
// ErrCorrupt, ErrStalled, ErrOverload or the error of a socket.
func (u UDPOpen) Run() (Result, error) {
	o, err := Open{Conns: u.Conns, Size: u.Size, Rate: u.Rate, Duration: u.Duration, Total: u.Total}.defaults()
	if err == nil && (o.Size < numberedHead || o.Size > maxDatagram) {
		err = fmt.Errorf("size %d: want %d to %d", o.Size, numberedHead, maxDatagram)
	}
	if err == nil {
		err = u.check(u.Reorder)
	}
	if err != nil {
		return Result{}, fmt.Errorf("udpopen: %w", err)
	}
	u.Conns, u.Size, u.Total = o.Conns, o.Size, o.Total
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := sharpTimers(); err != nil {
		return Result{}, fmt.Errorf("udpopen: %w", err)
	}
	r := &udpOpenRun{
		UDPOpen: u, schedule: newSchedule(o.Rate, o.Total), data: newPattern(), tally: u.tally(u.Total, u.Reorder),
		in: newDatagrams(openBatch, u.Size+1, false, false), out: make([]byte, u.Size),
	}
	if r.poll, err = newPoller(); err != nil {
		return Result{}, fmt.Errorf("udpopen: %w", err)
	}
	defer r.close()
	if err := r.dial(); err != nil {
		return Result{}, fmt.Errorf("udpopen: %w", err)
	}
	if err := u.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("udpopen: %w", err)
	}
	m := startMeter()
	r.start = m.wall
	err = r.loop()
	res := m.result("udpopen", int64(r.done))
	res.Lost, res.Reordered = r.tally.lost, r.tally.overtaken
	r.report(&res)
	if err != nil {
		return res, fmt.Errorf("udpopen: after %d of %d datagrams: %w", r.done, r.total, err)
	}
	u.Gate.done(res)
	return res, nil
}

func (r *udpOpenRun) close() {
	for i := range r.flows {
		closeFD(r.flows[i].fd)
	}
	r.poll.close()
}

func (r *udpOpenRun) dial() error {
	for i := range r.Conns {
		fd, err := dialFlow(r.Addr, r.data, i, r.Size, r.timeout())
		if err != nil {
			return fmt.Errorf("flow %d of %d: %w", i+1, r.Conns, err)
		}
		r.flows = append(r.flows, openFlow{fd: fd})
		if err := r.poll.watchReads(fd, int32(i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *udpOpenRun) loop() error {
	r.clock = newTicker(r.timeout())
	dog := newWatchdog(r.Stall)
	for r.done+uint64(r.tally.lost) < r.total {
		wait, err := r.sendDue(r.send)
		if err != nil {
			return err
		}
		events := r.poll.waitFor(wait)
		if r.clock.tick(events == nil) {
			if err := r.late(); err != nil {
				return err
			}
		}
		if events == nil && dog.stalled(int64(r.done+r.sent)) {
			return ErrStalled
		}
		for i := range events {
			if err := r.step(int(events[i].Fd)); err != nil {
				return err
			}
		}
	}
	for i := range r.flows { // what nobody waits for
		if err := r.step(i); err != nil {
			return err
		}
	}
	return nil
}

// send is what the schedule calls when datagram k is due.
func (r *udpOpenRun) send(k uint64) error {
	i := int(k % uint64(len(r.flows)))
	f := &r.flows[i]
	if f.room() == 0 {
		return ErrOverload
	}
	r.data.number(r.out, i, f.send(r.clock.now))
	if e := writeDatagram(f.fd, r.out); e != 0 {
		return fmt.Errorf("write: %w", e)
	}
	return nil
}

// step reads what came for flow i.
func (r *udpOpenRun) step(i int) error {
	for {
		n, e := r.in.receive(r.flows[i].fd)
		if e == syscall.EAGAIN {
			return nil
		}
		if e != 0 {
			return fmt.Errorf("read: %w", e)
		}
		now := time.Since(r.start)
		for j := range n {
			if err := r.answer(i, r.in.payload(j), now); err != nil {
				return fmt.Errorf("flow %d: %w", i, err)
			}
		}
		if n < len(r.in.msgs) {
			return nil // it was all: what comes later is another edge
		}
	}
}

func (r *udpOpenRun) answer(i int, b []byte, now time.Duration) error {
	f := &r.flows[i]
	if len(b) != r.Size {
		return fmt.Errorf("%w: a datagram of %d bytes, want %d", ErrCorrupt, len(b), r.Size)
	}
	k, ok := r.data.numbered(b, i)
	if !ok || k >= f.sent {
		return fmt.Errorf("%w: datagram %d differs", ErrCorrupt, k)
	}
	fresh, late, err := f.take(k, r.clock.now)
	if err != nil || !fresh {
		return err
	}
	r.arrived(r.number(i, k), now)
	if late {
		return r.tally.overtake()
	}
	return nil
}

// number is that of datagram k of flow i in the schedule.
func (r *udpOpenRun) number(i int, k uint64) uint64 { return k*uint64(len(r.flows)) + uint64(i) }

// late counts what a flow waits for as lost when it waited too long.
func (r *udpOpenRun) late() error {
	now := time.Since(r.start)
	for i := range r.flows {
		f := &r.flows[i]
		if !f.overdue(&r.clock) {
			continue
		}
		from, to := f.giveUp(r.clock.now)
		for k := from; k < to; k++ {
			record(r.latency, now-r.intended(r.number(i, k)))
		}
		if err := r.tally.lose(int64(to - from)); err != nil {
			return err
		}
	}
	return nil
}
