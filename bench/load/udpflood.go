package load

import (
	"fmt"
	"runtime"
	"syscall"
)

// UDPFlood keeps a window of datagrams under way on each flow. A datagram
// carries its flow and its number; contents, order and that none comes twice
// are verified. Both ends move many datagrams with one system call.
type UDPFlood struct {
	Addr    string  // udpecho service, IPv4:PORT
	Flows   int     // sockets; 0 = 8
	Window  int     // datagrams under way on each, at most 1,024; 0 = 32
	Size    int     // bytes per datagram, 16 to 65,507; 0 = 64
	Total   int64   // round trips in all; 0 = 100,000
	Reorder float64 // share of datagrams that may be overtaken, 0 to 1
	Tolerance
	Gate Gate
}

// flow is one socket of UDPFlood.
type flow struct {
	outstanding
	fd    int
	share uint64 // datagrams it has to send
}

// floodRun is the state of a run.
type floodRun struct {
	UDPFlood
	poll  *poller
	flows []flow
	in    *datagrams
	out   *datagrams
	data  pattern
	done  int64
	tally tally
	clock ticker
}

func (u UDPFlood) defaults() UDPFlood {
	if u.Flows == 0 {
		u.Flows = 8
	}
	if u.Window == 0 {
		u.Window = 32
	}
	if u.Size == 0 {
		u.Size = 64
	}
	if u.Total == 0 {
		u.Total = 100_000
	}
	return u
}

// Run does the round trips; Units of the result are those that were done. It
// fails with ErrLost, ErrReordered, ErrCorrupt, ErrStalled or the error of a
// socket.
func (u UDPFlood) Run() (Result, error) {
	u = u.defaults()
	if u.Flows < 0 || u.Window < 0 || u.Window > 1024 || u.Size < numberedHead || u.Size > maxDatagram || u.Total < 0 {
		return Result{}, fmt.Errorf("udpflood: flows %d, window %d, size %d, total %d: want positive numbers, a window of at most 1024 and a size of %d to %d",
			u.Flows, u.Window, u.Size, u.Total, numberedHead, maxDatagram)
	}
	if err := u.check(u.Reorder); err != nil {
		return Result{}, fmt.Errorf("udpflood: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &floodRun{
		UDPFlood: u, data: newPattern(), tally: u.tally(u.Total, u.Reorder),
		in: newDatagrams(u.Window, u.Size+1, false, false), out: newDatagrams(u.Window, u.Size, false, false),
	}
	var err error
	if r.poll, err = newPoller(); err != nil {
		return Result{}, fmt.Errorf("udpflood: %w", err)
	}
	defer r.close()
	if err := r.dial(); err != nil {
		return Result{}, fmt.Errorf("udpflood: %w", err)
	}
	if err := u.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("udpflood: %w", err)
	}
	m := startMeter()
	err = r.loop()
	res := m.result("udpflood", r.done)
	res.Lost, res.Reordered = r.tally.lost, r.tally.overtaken
	if err != nil {
		return res, fmt.Errorf("udpflood: after %d of %d: %w", r.done, r.Total, err)
	}
	u.Gate.done(res)
	return res, nil
}

func (r *floodRun) close() {
	for i := range r.flows {
		closeFD(r.flows[i].fd)
	}
	r.poll.close()
}

func (r *floodRun) dial() error {
	for i := range r.Flows {
		fd, err := dialFlow(r.Addr, r.data, i, r.Size, r.timeout())
		if err != nil {
			return fmt.Errorf("flow %d of %d: %w", i+1, r.Flows, err)
		}
		r.flows = append(r.flows, flow{fd: fd, share: uint64(portion(r.Total, i, r.Flows))})
		if err := r.poll.watchReads(fd, int32(i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *floodRun) loop() error {
	r.clock = newTicker(r.timeout())
	for i := range r.flows {
		if err := r.refill(i); err != nil {
			return err
		}
	}
	if err := r.serve(r.poll, &r.clock, r); err != nil {
		return err
	}
	for i := range r.flows { // what nobody waits for
		if err := r.step(i); err != nil {
			return err
		}
	}
	return nil
}

func (r *floodRun) over() bool      { return r.done+r.tally.lost >= r.Total }
func (r *floodRun) progress() int64 { return r.done }

// refill fills the window of flow i.
func (r *floodRun) refill(i int) error {
	f := &r.flows[i]
	room := uint64(r.Window) - (f.sent - f.answered - f.lost)
	n := int(min(room, f.share-f.sent, f.room()))
	if n == 0 {
		return nil
	}
	for j := range n {
		r.data.number(r.out.bufs[j], i, f.send(r.clock.now))
	}
	if e := r.out.send(f.fd, n); e != 0 {
		return fmt.Errorf("write: %w", e)
	}
	return nil
}

// step reads what came for flow i and sends as many again.
func (r *floodRun) step(i int) error {
	f := &r.flows[i]
	for {
		n, e := r.in.receive(f.fd)
		if e == syscall.EAGAIN {
			return nil
		}
		if e != 0 {
			return fmt.Errorf("read: %w", e)
		}
		for j := range n {
			if err := r.answer(i, r.in.payload(j)); err != nil {
				return fmt.Errorf("flow %d: %w", i, err)
			}
		}
		if err := r.refill(i); err != nil {
			return err
		}
		if n < len(r.in.msgs) {
			return nil // it was all: what comes later is another edge
		}
	}
}

func (r *floodRun) answer(i int, b []byte) error {
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
	r.done++
	if late {
		return r.tally.overtake()
	}
	return nil
}

// late counts what a flow waits for as lost when it waited too long.
func (r *floodRun) late() error {
	for i := range r.flows {
		f := &r.flows[i]
		if !f.overdue(&r.clock) {
			continue
		}
		from, to := f.giveUp(r.clock.now)
		if err := r.tally.lose(int64(to - from)); err != nil {
			return err
		}
		if err := r.refill(i); err != nil {
			return err
		}
	}
	return nil
}
