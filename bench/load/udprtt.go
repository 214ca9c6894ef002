package load

import (
	"fmt"
	"runtime"
)

// UDPRTT is a closed loop over UDP: every socket sends a datagram, waits until
// the same one is back, and sends the next, until Total round trips are done.
// With Reuse = 1 each comes from an address and port that none came from before,
// and a proxy sees nothing but new flows.
type UDPRTT struct {
	Addr  string // udpecho service, IPv4:PORT
	Conns int    // sockets, one datagram under way on each; 0 = 64
	Reuse int    // datagrams after which a socket gives way to one with another port; 0 = never
	Size  int    // bytes per datagram, 8 to 65,507; 0 = 64
	Total int64  // round trips in all; 0 = 100,000
	Tolerance
	Gate Gate
}

func (u UDPRTT) defaults() UDPRTT {
	if u.Conns == 0 {
		u.Conns = 64
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
// fails with ErrLost, ErrCorrupt, ErrStalled or the error of a socket.
func (u UDPRTT) Run() (Result, error) {
	u = u.defaults()
	if u.Conns < 0 || u.Reuse < 0 || u.Size < 8 || u.Size > maxDatagram || u.Total < 0 {
		return Result{}, fmt.Errorf("udprtt: conns %d, reuse %d, size %d, total %d: want positive numbers and a size of 8 to %d",
			u.Conns, u.Reuse, u.Size, u.Total, maxDatagram)
	}
	data := newPattern()
	askers := make([]asker, u.Conns)
	for i := range askers {
		out := append([]byte(nil), data.chunk(uint64(i), uint64(u.Size))...)
		askers[i] = asker{fd: -1, out: out, want: out, stamp: uint64(i+1) << 32}
	}
	return ask("udprtt", u.Addr, u.Gate, askRun{
		Tolerance: u.Tolerance, askers: askers, width: 8, reuse: u.Reuse, in: make([]byte, u.Size+1), total: u.Total,
	})
}

// ask is a run of questions and answers.
func ask(work, addr string, gate Gate, r askRun) (res Result, err error) {
	if err := r.check(0); err != nil {
		return Result{}, fmt.Errorf("%s: %w", work, err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if r.addr, err = parseAddr(addr); err != nil {
		return Result{}, fmt.Errorf("%s: %w", work, err)
	}
	if r.poll, err = newPoller(); err != nil {
		return Result{}, fmt.Errorf("%s: %w", work, err)
	}
	defer r.close()
	if err := r.prepare(addr); err != nil {
		return Result{}, fmt.Errorf("%s: %w", work, err)
	}
	r.tally = r.Tolerance.tally(r.total, 0)
	if err := gate.pass(); err != nil {
		return Result{}, fmt.Errorf("%s: %w", work, err)
	}
	m := startMeter()
	err = r.loop()
	res = m.result(work, r.done)
	res.Lost = r.tally.lost
	if err != nil {
		return res, fmt.Errorf("%s: after %d of %d: %w", work, r.done, r.total, err)
	}
	gate.done(res)
	return res, nil
}
