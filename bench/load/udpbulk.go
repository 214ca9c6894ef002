package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// UDPBulk moves datagrams of one size from the backend to the client, as QUIC
// does: the backend sends super-datagrams of so many segments (UDP_SEGMENT,
// Linux 4.18), the client takes them whole where the path leaves them so
// (UDP_GRO, Linux 5.0) and acknowledges each batch with one small datagram, and
// a window of batches is under way. The client checks every datagram: its size,
// number and contents.
//
// The default window is what the default socket buffer of Linux (212,992 bytes,
// of which a datagram of 1,200 takes about 2,300) holds in single datagrams: a
// path that splits what it gets, and leaves its buffers as they come, loses
// nothing with two batches of 40, and does with four.
//
// What is lost is not sent again. An acknowledgement names the highest number
// that came, so that the window moves over what is lost; when nothing comes for
// Timeout the client asks for the next window.
type UDPBulk struct {
	Addr     string  // udpbulk service, IPv4:PORT
	Flows    int     // sockets; 0 = 1
	Size     int     // bytes per datagram, 32 to 65,507; 0 = 1,200
	Segments int     // datagrams sent and acknowledged at once, at most 64, and 65,507 bytes; 0 = 40
	Window   int     // batches under way on each flow, at most 64; 0 = 2
	Bytes    int64   // in all, rounded up to whole datagrams; 0 = 1 GiB
	Reorder  float64 // share of datagrams that may be overtaken, 0 to 1
	Tolerance
	Gate Gate
}

// download is one socket of UDPBulk.
type download struct {
	fd       int
	request  request
	received uint64
	since    int64 // tick at which something came
	came     sequence
	done     bool
}

// udpBulkRun is the state of a run.
type udpBulkRun struct {
	UDPBulk
	poll  *poller
	flows []download
	in    *datagrams
	data  pattern
	frame [requestSize]byte
	count int64 // datagrams received
	left  int   // flows that have not ended
	tally tally
	clock ticker
}

func (u UDPBulk) defaults() UDPBulk {
	if u.Flows == 0 {
		u.Flows = 1
	}
	if u.Size == 0 {
		u.Size = 1200
	}
	if u.Segments == 0 {
		u.Segments = 40
	}
	if u.Window == 0 {
		u.Window = 2
	}
	if u.Bytes == 0 {
		u.Bytes = 1 << 30
	}
	return u
}

// Run moves the bytes; Units of the result are the bytes that came. It fails
// with ErrLost, ErrReordered, ErrCorrupt, ErrStalled or the error of a socket.
func (u UDPBulk) Run() (Result, error) {
	u = u.defaults()
	shape := request{size: uint32(u.Size), segments: uint32(u.Segments), window: uint32(u.Window)}
	if u.Flows < 0 || u.Bytes < 0 || u.Size < 0 || u.Segments < 0 || u.Window < 0 || !shape.valid() {
		return Result{}, fmt.Errorf("udpbulk: flows %d, size %d, segments %d, window %d, bytes %d: want positive numbers, a size of 32 or more, at most %d segments and %d bytes at once, and a window of at most %d",
			u.Flows, u.Size, u.Segments, u.Window, u.Bytes, maxSegments, maxDatagram, maxBatches)
	}
	if err := u.check(u.Reorder); err != nil {
		return Result{}, fmt.Errorf("udpbulk: %w", err)
	}
	total := (u.Bytes + int64(u.Size) - 1) / int64(u.Size)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := &udpBulkRun{UDPBulk: u, data: newPattern(), in: newDatagrams(16, maxDatagram+1, false, true), left: u.Flows, tally: u.tally(total, u.Reorder)}
	var err error
	if r.poll, err = newPoller(); err != nil {
		return Result{}, fmt.Errorf("udpbulk: %w", err)
	}
	defer r.close()
	if err := r.dial(shape); err != nil {
		return Result{}, fmt.Errorf("udpbulk: %w", err)
	}
	if err := u.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("udpbulk: %w", err)
	}
	m := startMeter()
	err = r.loop()
	res := m.result("udpbulk", r.count*int64(u.Size))
	res.Lost, res.Reordered = r.tally.lost, r.tally.overtaken
	if err != nil {
		return res, fmt.Errorf("udpbulk: after %d of %d datagrams: %w", r.count, total, err)
	}
	u.Gate.done(res)
	return res, nil
}

func (r *udpBulkRun) close() {
	for i := range r.flows {
		closeFD(r.flows[i].fd)
	}
	r.poll.close()
}

func (r *udpBulkRun) dial(shape request) error {
	for i := range r.Flows {
		q := shape
		q.nonce = rand.Uint64()
		q.count = uint64(portion(r.tally.total, i, r.Flows))
		hello := q.encode(&r.frame, kindHello)
		fd, err := dialUDP(r.Addr, hello, hello, r.timeout())
		if err != nil {
			return fmt.Errorf("flow %d of %d: %w", i+1, r.Flows, err)
		}
		r.flows = append(r.flows, download{fd: fd, request: q})
		if e := setIntFD(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); e != 0 {
			return fmt.Errorf("UDP_GRO: %w", e)
		}
		if err := r.poll.watchReads(fd, int32(i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *udpBulkRun) loop() error {
	r.clock = newTicker(r.timeout())
	for i := range r.flows {
		if err := r.say(&r.flows[i], kindAck); err != nil {
			return err
		}
		if r.flows[i].request.count == 0 {
			r.flows[i].done = true
			r.left--
		}
	}
	if err := r.serve(r.poll, &r.clock, r); err != nil {
		return err
	}
	for i := range r.flows { // what nobody waits for
		if err := r.step(i); err != nil {
			return err
		}
		if err := r.say(&r.flows[i], kindBye); err != nil {
			return err
		}
	}
	return nil
}

func (r *udpBulkRun) over() bool      { return r.left == 0 }
func (r *udpBulkRun) progress() int64 { return r.count }

// say sends a message about what came so far.
func (r *udpBulkRun) say(d *download, kind byte) error {
	d.request.acked = d.came.next
	if e := writeDatagram(d.fd, d.request.encode(&r.frame, kind)); e != 0 {
		return fmt.Errorf("write: %w", e)
	}
	return nil
}

// step takes what came on flow i.
func (r *udpBulkRun) step(i int) error {
	if err := r.take(&r.flows[i]); err != nil {
		return fmt.Errorf("flow %d: %w", i, err)
	}
	return nil
}

func (r *udpBulkRun) take(d *download) error {
	for {
		n, e := r.in.receive(d.fd)
		if e == syscall.EAGAIN {
			return nil
		}
		if e != 0 {
			return fmt.Errorf("read: %w", e)
		}
		d.since = r.clock.now
		for i := range n {
			if err := r.batch(d, r.in.payload(i), r.in.segment(i)); err != nil {
				return err
			}
		}
		if n < len(r.in.msgs) {
			return nil
		}
	}
}

// batch checks one datagram, or as many as the kernel left joined, and
// acknowledges what is worth it.
func (r *udpBulkRun) batch(d *download, b []byte, segment int) error {
	if segment == dataHead && len(b) == dataHead {
		return r.theEnd(d, b)
	}
	if segment != r.Size || len(b)%r.Size != 0 {
		return fmt.Errorf("%w: %d bytes in datagrams of %d, want %d", ErrCorrupt, len(b), segment, r.Size)
	}
	for ; len(b) > 0; b = b[r.Size:] {
		if err := r.datagram(d, b[:r.Size]); err != nil {
			return err
		}
	}
	if missing := int64(d.came.next - d.received); missing > int64(r.Window*r.Segments) {
		if err := r.tally.bearable(r.tally.lost + missing - int64(r.Window*r.Segments)); err != nil {
			return err
		}
	}
	if d.came.next-d.request.acked >= uint64(r.Segments) && d.came.next < d.request.count {
		return r.say(d, kindAck)
	}
	return nil
}

func (r *udpBulkRun) datagram(d *download, b []byte) error {
	k := binary.LittleEndian.Uint64(b)
	body := b[dataHead:]
	if k >= d.request.count || binary.LittleEndian.Uint64(b[8:]) != d.request.nonce || !r.data.matches(k*uint64(len(body)), body) {
		return fmt.Errorf("%w: datagram %d differs", ErrCorrupt, k)
	}
	late, err := d.came.take(k)
	if err != nil {
		return err
	}
	if d.done {
		return nil // was counted as lost
	}
	d.received++
	r.count++
	if d.received == d.request.count {
		d.done = true
		r.left--
	}
	if late {
		return r.tally.overtake()
	}
	return nil
}

// theEnd is the backend's answer to a nudge when it has nothing more to send.
func (r *udpBulkRun) theEnd(d *download, b []byte) error {
	if binary.LittleEndian.Uint64(b) != endMark || binary.LittleEndian.Uint64(b[8:]) != d.request.nonce {
		return fmt.Errorf("%w: a datagram of %d bytes, want %d", ErrCorrupt, len(b), r.Size)
	}
	if d.done {
		return nil
	}
	d.done = true
	r.left--
	return r.tally.lose(int64(d.request.count - d.received))
}

// late asks for more where nothing came for too long. Something was lost then:
// data, an acknowledgement or the command.
func (r *udpBulkRun) late() error {
	for i := range r.flows {
		d := &r.flows[i]
		if d.done || !r.clock.expired(d.since) {
			continue
		}
		if err := r.tally.bearable(r.tally.lost + max(int64(d.came.next-d.received), 1)); err != nil {
			return err
		}
		d.since = r.clock.now
		if err := r.say(d, kindNudge); err != nil {
			return err
		}
	}
	return nil
}
