package load

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a client of the udpbulk service sends is always a whole request, so that
// the backend can begin with any of them. Little-endian:
//
//	0   8  kind
//	8   8  nonce: names the flow
//	16  4  size: bytes of a datagram
//	20  4  segments: datagrams of a batch
//	24  4  window: batches
//	32  8  count: datagrams in all
//	40  8  acked: one more than the highest number that came
//
// A datagram of the answer has its number (8 bytes), the nonce (8), and its part
// of the pattern. One of no more than these 16 bytes, with endMark for a number,
// says that all has been sent.
type request struct {
	nonce, count, acked    uint64
	size, segments, window uint32
}

const (
	requestSize = 48
	dataHead    = 16
	maxSegments = 64 // UDP_MAX_SEGMENTS of Linux before 6.9
	maxBatches  = 64
	maxUploads  = 1024 // flows the backend remembers

	endMark uint64 = 1<<64 - 1
)

const (
	kindHello byte = iota // comes back as it is
	kindAck               // acked moves the window
	kindNudge             // what is under way is lost: go on, or say that it was all
	kindBye               // forget the flow
)

func (q *request) valid() bool {
	return q.size >= 2*dataHead && q.segments > 0 && q.segments <= maxSegments && uint64(q.size)*uint64(q.segments) <= maxDatagram &&
		q.window > 0 && q.window <= maxBatches
}

func (q *request) encode(b *[requestSize]byte, kind byte) []byte {
	*b = [requestSize]byte{0: kind}
	binary.LittleEndian.PutUint64(b[8:], q.nonce)
	binary.LittleEndian.PutUint32(b[16:], q.size)
	binary.LittleEndian.PutUint32(b[20:], q.segments)
	binary.LittleEndian.PutUint32(b[24:], q.window)
	binary.LittleEndian.PutUint64(b[32:], q.count)
	binary.LittleEndian.PutUint64(b[40:], q.acked)
	return b[:]
}

func decodeRequest(b []byte) (q request, kind byte, ok bool) {
	if len(b) != requestSize {
		return q, 0, false
	}
	q = request{
		nonce: binary.LittleEndian.Uint64(b[8:]), count: binary.LittleEndian.Uint64(b[32:]), acked: binary.LittleEndian.Uint64(b[40:]),
		size: binary.LittleEndian.Uint32(b[16:]), segments: binary.LittleEndian.Uint32(b[20:]), window: binary.LittleEndian.Uint32(b[24:]),
	}
	return q, b[0], q.valid()
}

// upload is one flow of the backend's udpbulk service.
type upload struct {
	request
	to   rawAddr
	next uint64 // datagrams sent, or given up
}

// udpServices is what the backend keeps for its UDP sockets.
type udpServices struct {
	in      *datagrams
	answers *datagrams
	tail    dnsAnswer
	uploads map[uint64]*upload
	heads   [maxSegments][dataHead]byte
	parts   [2 * maxSegments]unix.Iovec
	super   unix.Msghdr
	control [controlSize]byte
}

func newUDPServices() (udpServices, error) {
	tail, err := newDNSAnswer()
	if err != nil {
		return udpServices{}, fmt.Errorf("dns answer: %w", err)
	}
	return udpServices{
		in:      newDatagrams(udpBatch, maxDatagram, true, false),
		answers: newDatagrams(udpBatch, dnsSize, true, false),
		tail:    tail,
		uploads: map[uint64]*upload{},
	}, nil
}

// udpEcho returns what came to whom it came from.
func (b *Backend) udpEcho(fd int) {
	in := b.udp.in
	n, e := in.receive(fd)
	if e != 0 {
		return // level-triggered: the event comes again
	}
	for i := range n {
		in.setLen(i, int(in.msgs[i].n))
	}
	in.send(fd, n)
	for i := range n {
		in.setLen(i, maxDatagram)
	}
}

// udpName returns what came, and behind it the port that it came from.
func (b *Backend) udpName(fd int) {
	in := b.udp.in
	n, e := in.receive(fd)
	if e != 0 {
		return
	}
	for i := range n {
		size := min(int(in.msgs[i].n), maxDatagram-portSize)
		binary.BigEndian.PutUint16(in.bufs[i][size:], in.names[i].port())
		in.setLen(i, size+portSize)
	}
	in.send(fd, n)
	for i := range n {
		in.setLen(i, maxDatagram)
	}
}

// portSize is the bytes that the udpname service adds.
const portSize = 2

// udpBulk serves what the clients of the udpbulk service say.
func (b *Backend) udpBulk(fd int) {
	in := b.udp.in
	n, e := in.receive(fd)
	if e != 0 {
		return
	}
	for i := range n {
		q, kind, ok := decodeRequest(in.payload(i))
		if !ok {
			continue
		}
		switch kind {
		case kindHello:
			h := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&in.names[i])), Namelen: uint32(unsafe.Sizeof(rawAddr{})), Iov: &in.iovs[i]}
			in.setLen(i, requestSize)
			h.SetIovlen(1)
			sendOne(fd, &h)
			in.setLen(i, maxDatagram)
		case kindBye:
			delete(b.udp.uploads, q.nonce)
		case kindAck, kindNudge:
			b.advance(fd, q, in.names[i], kind)
		}
	}
}

// advance sends what the window of a flow has room for.
func (b *Backend) advance(fd int, q request, to rawAddr, kind byte) {
	u := b.udp.uploads[q.nonce]
	if u == nil {
		if len(b.udp.uploads) >= maxUploads {
			clear(b.udp.uploads) // left behind by clients that failed
		}
		u = &upload{request: q}
		b.udp.uploads[q.nonce] = u
	}
	u.to = to // as a path may move the flow
	u.acked = min(max(u.acked, q.acked), u.next)
	if kind == kindNudge {
		u.acked = u.next
		if u.next == u.count {
			b.sendSuper(fd, u, endMark, 1, 0)
			return
		}
	}
	for u.next < u.count {
		n := min(uint64(u.segments), u.count-u.next)
		if u.next+n-u.acked > uint64(u.segments)*uint64(u.window) {
			return
		}
		if !b.sendSuper(fd, u, u.next, int(n), uint64(u.size-dataHead)) {
			delete(b.udp.uploads, u.nonce)
			return
		}
		u.next += n
	}
}

// sendSuper sends n datagrams, the first with the number from, in one system
// call: gathered from their heads and the pattern, so that nothing is copied
// here.
func (b *Backend) sendSuper(fd int, u *upload, from uint64, n int, body uint64) bool {
	s := &b.udp
	parts := 0
	for i := range uint64(n) {
		head := &s.heads[i]
		binary.LittleEndian.PutUint64(head[:], from+i)
		binary.LittleEndian.PutUint64(head[8:], u.nonce)
		s.parts[parts].Base = &head[0]
		s.parts[parts].SetLen(dataHead)
		parts++
		if body > 0 {
			s.parts[parts].Base = &b.pattern.chunk((from+i)*body, body)[0]
			s.parts[parts].SetLen(int(body))
			parts++
		}
	}
	s.super = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&u.to)), Namelen: uint32(unsafe.Sizeof(rawAddr{})), Iov: &s.parts[0]}
	s.super.SetIovlen(parts)
	if n > 1 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&s.control))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(s.control[unix.SizeofCmsghdr:], uint16(u.size))
		s.super.Control = &s.control[0]
		s.super.SetControllen(unix.CmsgSpace(2))
	}
	return sendOne(fd, &s.super) == 0
}
