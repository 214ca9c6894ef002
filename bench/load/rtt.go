package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// RTT is a closed loop: every connection sends a message, waits until the same
// bytes are back, and sends the next, until Total round trips are done.
type RTT struct {
	Addr  string        // echo service, IPv4:PORT
	Conns int           // connections; 0 = 64
	Size  int           // bytes per message, 8 or more; 0 = 64
	Total int64         // round trips in all; 0 = 100,000
	Stall time.Duration // the longest time without progress; 0 = 10 s
	Gate  Gate
}

// caller is one connection of RTT or Open.
type caller struct {
	fd    int
	out   []byte // the message under way
	in    []byte // its answer, and one byte more to notice excess
	sent  int
	got   int
	busy  bool
	stamp uint64
}

func (r RTT) defaults() RTT {
	if r.Conns == 0 {
		r.Conns = 64
	}
	if r.Size == 0 {
		r.Size = 64
	}
	if r.Total == 0 {
		r.Total = 100_000
	}
	return r
}

// Run does the round trips. It fails with ErrCorrupt, ErrStalled or the error
// of a connection.
func (r RTT) Run() (Result, error) {
	r = r.defaults()
	if r.Conns < 0 || r.Size < 8 || r.Total < 0 {
		return Result{}, fmt.Errorf("rtt: conns %d, size %d, total %d: want positive numbers and a size of 8 or more", r.Conns, r.Size, r.Total)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	callers, p, err := dialCallers(r.Addr, nil, r.Conns, r.Size, r.Stall)
	defer closeCallers(callers, p)
	if err != nil {
		return Result{}, fmt.Errorf("rtt: %w", err)
	}
	if err := r.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("rtt: %w", err)
	}
	m := startMeter()
	done, err := r.loop(p, callers)
	res := m.result("rtt", done)
	if err != nil {
		return res, fmt.Errorf("rtt: after %d round trips: %w", done, err)
	}
	r.Gate.done(res)
	return res, nil
}

func (r RTT) loop(p *poller, callers []caller) (done int64, err error) {
	issued := int64(0)
	for i := range callers {
		if issued == r.Total {
			break
		}
		issued++
		if err := callers[i].issue(); err != nil {
			return done, err
		}
	}
	dog := newWatchdog(r.Stall)
	for done < r.Total {
		events := p.wait()
		if events == nil && dog.stalled(done) {
			return done, ErrStalled
		}
		for _, ev := range events {
			c := &callers[ev.Fd]
			finished, err := c.step()
			if err != nil {
				return done, err
			}
			if !finished {
				continue
			}
			done++
			if issued < r.Total {
				issued++
				if err := c.issue(); err != nil {
					return done, err
				}
			}
		}
	}
	return done, nil
}

// issue stamps and sends the next message.
func (c *caller) issue() error {
	c.stamp++
	binary.LittleEndian.PutUint64(c.out, c.stamp)
	c.sent, c.got, c.busy = 0, 0, true
	return c.flush()
}

func (c *caller) flush() error {
	n, e := writeFD(c.fd, c.out[c.sent:])
	if e != 0 && e != syscall.EAGAIN {
		return fmt.Errorf("write: %w", e)
	}
	c.sent += n
	return nil
}

// step serves an edge: it reports whether the answer is whole.
func (c *caller) step() (bool, error) {
	if c.busy && c.sent < len(c.out) {
		if err := c.flush(); err != nil {
			return false, err
		}
	}
	for {
		n, e := readFD(c.fd, c.in[c.got:])
		switch {
		case e == syscall.EAGAIN:
			return false, nil
		case e != 0:
			return false, fmt.Errorf("read: %w", e)
		case n == 0:
			return false, fmt.Errorf("%w: end of stream after %d of %d bytes", ErrCorrupt, c.got, len(c.out))
		}
		c.got += n
		if !c.busy || c.got > len(c.out) {
			return false, fmt.Errorf("%w: more came back than was sent", ErrCorrupt)
		}
		if c.got == len(c.out) {
			if !bytes.Equal(c.out, c.in[:c.got]) {
				return false, fmt.Errorf("%w: the answer differs", ErrCorrupt)
			}
			c.busy, c.got = false, 0
			return true, nil
		}
	}
}

// dialCallers opens n connections to the echo service, each with one round trip
// behind it, and registers them under their index. prefix goes before the first
// message, and doesn't come back.
func dialCallers(addr string, prefix []byte, n, size int, stall time.Duration) ([]caller, *poller, error) {
	p, err := newPoller()
	if err != nil {
		return nil, nil, err
	}
	callers := make([]caller, 0, n)
	data := newPattern()
	for i := range n {
		out := append([]byte(nil), data[i%period:i%period+min(size, sendChunk)]...)
		for len(out) < size {
			out = append(out, data[:min(size-len(out), period)]...)
		}
		c := caller{out: out, in: make([]byte, size+1), stamp: uint64(i) << 32}
		c.fd, err = knock(addr, slices.Concat(prefix, out[:8]), newWatchdog(stall).limit)
		if err != nil {
			return callers, p, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		callers = append(callers, c)
		if last := i+1 == n; last || (i+1)%dialAtOnce == 0 {
			if err := settle(p, addr, callers, i/dialAtOnce*dialAtOnce); err != nil {
				return callers, p, fmt.Errorf("of %d connections: %w", n, err)
			}
		}
	}
	return callers, p, nil
}

// dialAtOnce is how many connections are being made at a time: thousands, one
// after the other, would take longer than what is done over them.
const dialAtOnce = 32

// settle takes the first answers of the callers from first on, and registers them.
func settle(p *poller, addr string, callers []caller, first int) error {
	for i := first; i < len(callers); i++ {
		c := &callers[i]
		if err := answered(addr, c.fd, c.out[:8]); err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		if err := p.control(unix.EPOLL_CTL_ADD, c.fd, int32(i), edgeAll); err != nil {
			return err
		}
	}
	return nil
}

func closeCallers(callers []caller, p *poller) {
	for i := range callers {
		closeFD(callers[i].fd)
	}
	if p != nil {
		p.close()
	}
}
