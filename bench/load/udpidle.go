package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"
)

// UDPIdle opens flows, makes one round trip on each, and holds them while the
// memory of what is between is looked at. Then it makes another round trip on
// each: a flow that was held still comes from the same port there. One that was
// forgotten meanwhile would be made anew without a word, and would seem to need
// no memory.
type UDPIdle struct {
	Addr    string        // udpname service, IPv4:PORT
	Conns   int           // flows; 0 = 1,000
	Timeout time.Duration // a datagram not answered for so long is lost; 0 = 1 s
	Gate    Gate          // Ready tells that all are open; they close when Go ends
}

// idleSize is the bytes of UDPIdle's datagrams.
const idleSize = 64

// idleFlow is one socket of UDPIdle.
type idleFlow struct {
	fd   int
	port uint16 // that the backend sees
}

// idleRun is the state of a run.
type idleRun struct {
	UDPIdle
	flows   []idleFlow
	out, in []byte
}

// Run opens the flows and holds them until Gate.Go has a line or ends. It fails
// with ErrLost, ErrCorrupt, ErrForgotten or the error of a socket.
func (d UDPIdle) Run() (Result, error) {
	if d.Conns == 0 {
		d.Conns = 1000
	}
	d.Timeout = Tolerance{Timeout: d.Timeout}.timeout()
	if d.Conns < 0 {
		return Result{}, fmt.Errorf("udpidle: conns %d: want a positive number", d.Conns)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &idleRun{UDPIdle: d, flows: make([]idleFlow, 0, d.Conns), in: make([]byte, idleSize+portSize+1)}
	r.out = bytes.Clone(newPattern().chunk(0, idleSize))
	defer r.close()
	m := startMeter()
	err := r.open()
	res := m.result("udpidle", int64(len(r.flows)))
	if err != nil {
		return res, fmt.Errorf("udpidle: %w", err)
	}
	if err := d.Gate.hold(); err != nil {
		return res, fmt.Errorf("udpidle: %w", err)
	}
	if err := r.visit(); err != nil {
		return res, fmt.Errorf("udpidle: %w", err)
	}
	d.Gate.done(res)
	return res, nil
}

func (r *idleRun) close() {
	for i := range r.flows {
		closeFD(r.flows[i].fd)
	}
}

// open makes the flows and their first round trips, several at a time.
func (r *idleRun) open() error {
	addr, err := parseAddr(r.Addr)
	if err != nil {
		return err
	}
	for first := 0; first < r.Conns; first = len(r.flows) {
		for range min(dialAtOnce, r.Conns-first) {
			fd, err := connectUDP(&addr)
			if err != nil {
				return fmt.Errorf("flow %d of %d: %w", len(r.flows)+1, r.Conns, err)
			}
			r.flows = append(r.flows, idleFlow{fd: fd})
		}
		if err := r.exchange(first, len(r.flows)); err != nil {
			return err
		}
	}
	return nil
}

// visit makes a second round trip on each flow, which must be the same still.
func (r *idleRun) visit() error {
	for first := 0; first < len(r.flows); first += dialAtOnce {
		if err := r.exchange(first, min(first+dialAtOnce, len(r.flows))); err != nil {
			return err
		}
	}
	return nil
}

// exchange makes a round trip on the flows from first to below end. The first
// one of a flow tells its port, a later one must come from there again.
func (r *idleRun) exchange(first, end int) error {
	for i := first; i < end; i++ {
		f := &r.flows[i]
		if e := writeDatagram(f.fd, r.stamped(i, f.port)); e != 0 {
			return fmt.Errorf("flow %d of %d: write: %w", i+1, r.Conns, e)
		}
	}
	for i := first; i < end; i++ {
		if err := r.hear(i); err != nil {
			return fmt.Errorf("flow %d of %d: %w", i+1, r.Conns, err)
		}
	}
	return nil
}

// stamped is the datagram of flow i, which the port it is known to have makes
// another one than the first.
func (r *idleRun) stamped(i int, port uint16) []byte {
	binary.LittleEndian.PutUint64(r.out, uint64(i)<<16|uint64(port))
	return r.out
}

func (r *idleRun) hear(i int) error {
	f := &r.flows[i]
	n, err := hearUDP(f.fd, r.in, r.Timeout)
	if err != nil {
		return err
	}
	if n != idleSize+portSize || !bytes.Equal(r.in[:idleSize], r.stamped(i, f.port)) {
		return fmt.Errorf("%w: an answer of %d bytes differs, want %d", ErrCorrupt, n, idleSize+portSize)
	}
	port := binary.BigEndian.Uint16(r.in[idleSize:])
	if f.port != 0 && port != f.port {
		return fmt.Errorf("%w: it came from port %d, and then from %d", ErrForgotten, f.port, port)
	}
	f.port = port
	return nil
}
