package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn makes connections for one request each: connect, 64 bytes, the answer,
// the end of the stream, close.
//
// The backend closes first and the client after it has seen the FIN. So a
// TIME_WAIT never holds an ephemeral port of the client or of the proxy, runs
// can follow each other without end, and no contender is made to handle aborts:
// closing with SO_LINGER 0 would avoid TIME_WAIT too, but measures a contender's
// error path, and may cut an answer that is still under way.
type Conn struct {
	Addr    string        // once service, IPv4:PORT
	Conns   int           // at a time; 0 = 64
	Total   int64         // in all; 0 = 10,000
	Sources int           // source addresses 127.0.0.2 and up, in turn, at most 250; 0 = the kernel's choice
	Stall   time.Duration // the longest time without progress; 0 = 10 s
	Gate    Gate
}

// visit is one slot of Conn.
type visit struct {
	fd        int
	connected bool
	sent, got int
	out       [onceSize]byte
}

// connRun is the state of a run.
type connRun struct {
	Conn
	poll   *poller
	addr   rawAddr
	visits []visit
	in     [onceSize + 1]byte
	issued int64
	done   int64
	resets int64
}

// Run makes the connections. A reset after a whole answer is counted in
// Result.Resets; one before it, or any other error, fails the run.
func (c Conn) Run() (Result, error) {
	if c.Conns == 0 {
		c.Conns = 64
	}
	if c.Total == 0 {
		c.Total = 10_000
	}
	if c.Conns < 0 || c.Total < 0 || c.Sources < 0 || c.Sources > 250 {
		return Result{}, fmt.Errorf("conn: conns %d, total %d, sources %d: want positive numbers and at most 250 sources", c.Conns, c.Total, c.Sources)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	addr, err := parseAddr(c.Addr)
	if err != nil {
		return Result{}, fmt.Errorf("conn: %w", err)
	}
	p, err := newPoller()
	if err != nil {
		return Result{}, fmt.Errorf("conn: %w", err)
	}
	r := connRun{Conn: c, poll: p, addr: addr, visits: make([]visit, c.Conns)}
	defer r.close()
	data := newPattern()
	for i := range r.visits {
		r.visits[i].fd = -1
		copy(r.visits[i].out[:], data[i%period:])
	}
	if err := c.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("conn: %w", err)
	}
	m := startMeter()
	err = r.loop()
	res := m.result("conn", r.done)
	res.Resets = r.resets
	if err != nil {
		return res, fmt.Errorf("conn: after %d connections: %w", r.done, err)
	}
	c.Gate.done(res)
	return res, nil
}

func (r *connRun) close() {
	for i := range r.visits {
		if r.visits[i].fd >= 0 {
			closeFD(r.visits[i].fd)
		}
	}
	r.poll.close()
}

func (r *connRun) loop() error {
	for i := range r.visits {
		if err := r.open(i); err != nil {
			return err
		}
	}
	dog := newWatchdog(r.Stall)
	for r.done < r.Total {
		events := r.poll.wait()
		if events == nil && dog.stalled(r.done) {
			return ErrStalled
		}
		for _, ev := range events {
			i := int(ev.Fd)
			v := &r.visits[i]
			if v.fd < 0 {
				continue
			}
			closed, err := r.step(v, ev.Events)
			if err != nil {
				return err
			}
			if closed {
				r.done++
				closeFD(v.fd)
				v.fd = -1
				if err := r.open(i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// open begins the next connection in slot i, if there is one to begin.
func (r *connRun) open(i int) error {
	if r.issued == r.Total {
		return nil
	}
	r.issued++
	v := &r.visits[i]
	fd, e := socketFD()
	if e != 0 {
		return fmt.Errorf("socket: %w", e)
	}
	v.fd, v.connected, v.sent, v.got = fd, false, 0, 0
	binary.LittleEndian.PutUint64(v.out[:], uint64(r.issued))
	if r.Sources > 0 {
		// IP_BIND_ADDRESS_NO_PORT (Linux 4.2) leaves the port to connect,
		// which knows the destination and so has 28,000 for each source.
		setIntFD(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		src := makeAddr([4]byte{127, 0, 0, byte(2 + r.issued%int64(r.Sources))}, 0)
		if e := bindFD(fd, &src); e != 0 {
			return fmt.Errorf("bind: %w", e)
		}
	}
	if e := connectFD(fd, &r.addr); e != 0 && e != syscall.EINPROGRESS {
		return fmt.Errorf("connect: %w", e)
	}
	return r.poll.control(unix.EPOLL_CTL_ADD, fd, int32(i), edgeAll)
}

// step serves an edge and reports whether the connection is over.
func (r *connRun) step(v *visit, events uint32) (bool, error) {
	if v.sent < onceSize && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		n, e := writeFD(v.fd, v.out[v.sent:])
		if e != 0 && e != syscall.EAGAIN {
			return false, fmt.Errorf("connect or write: %w", e)
		}
		v.sent += n
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
		return false, nil
	}
	for {
		n, e := readFD(v.fd, r.in[:])
		switch {
		case e == syscall.EAGAIN:
			return false, nil
		case e == syscall.ECONNRESET && v.got == onceSize:
			r.resets++
			return true, nil
		case e != 0:
			return false, fmt.Errorf("read: %w", e)
		case n == 0 && v.got < onceSize:
			return false, fmt.Errorf("%w: end of stream after %d of %d bytes", ErrCorrupt, v.got, onceSize)
		case n == 0:
			return true, nil
		case v.got+n > onceSize || !bytes.Equal(r.in[:n], v.out[v.got:v.got+n]):
			return false, fmt.Errorf("%w: the answer differs", ErrCorrupt)
		}
		v.got += n
		if v.got == onceSize && events&unix.EPOLLRDHUP == 0 {
			return false, nil // the end comes as an edge of its own
		}
	}
}
