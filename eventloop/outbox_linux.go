package eventloop

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// outboxControl has room for what a datagram of ours is sent with: source, traffic class, segment size.
const outboxControl = 96

// Departure is a datagram to be sent, or several at once (UDP_SEGMENT). Errno is its result after Send: all of it was sent, or none.
type Departure struct {
	To      *Sockaddr // nil = the socket is connected
	From    [16]byte  // the address to send from, IPv4 mapped into IPv6; zero = the socket's, or the kernel's choice
	FD      int32
	Segment int32 // bytes of each datagram, the last one may be shorter; 0 = one datagram
	Class   uint8 // the IP header's traffic class; 0 = the socket's
	Six     bool  // IPv6 carries it
	Errno   unix.Errno
}

// Outbox gathers datagrams and sends them with few system calls. A datagram consists of the parts that were added since its Add, none for an
// empty one. What is added is not copied. An Outbox belongs to one loop; in steady state it allocates nothing.
type Outbox struct {
	departures []Departure
	messages   []message
	vectors    []unix.Iovec
	starts     []int32 // of each departure: its first vector
	controls   [][outboxControl]byte
	nothing    unix.Iovec
}

// NewOutbox returns an Outbox with room for so many datagrams and parts; it grows when there are more.
func NewOutbox(datagrams, parts int) *Outbox {
	return &Outbox{
		departures: make([]Departure, 0, datagrams), messages: make([]message, datagrams), starts: make([]int32, 0, datagrams),
		vectors: make([]unix.Iovec, 0, parts), controls: make([][outboxControl]byte, datagrams),
	}
}

// Add begins a datagram.
func (o *Outbox) Add(d Departure) {
	o.departures = append(o.departures, d)
	o.starts = append(o.starts, int32(len(o.vectors)))
}

// Part adds bytes to the datagram that was added last.
func (o *Outbox) Part(b []byte) {
	if len(b) == 0 {
		return
	}
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	o.vectors = append(o.vectors, v)
}

// Len returns how many datagrams there are.
func (o *Outbox) Len() int { return len(o.departures) }

// At returns datagram i, in the order of Add.
func (o *Outbox) At(i int) *Departure { return &o.departures[i] }

// Size returns the bytes of datagram i.
func (o *Outbox) Size(i int) (n int) {
	for _, v := range o.vectorsOf(i) {
		n += int(v.Len)
	}
	return n
}

// Bytes returns the bytes of datagram i, which has one part, or none and is empty.
func (o *Outbox) Bytes(i int) []byte {
	v := o.vectorsOf(i)
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice(v[0].Base, v[0].Len)
}

func (o *Outbox) vectorsOf(i int) []unix.Iovec {
	if i+1 < len(o.starts) {
		return o.vectors[o.starts[i]:o.starts[i+1]]
	}
	return o.vectors[o.starts[i]:]
}

// Reset empties the Outbox, and lets go of what was in it.
func (o *Outbox) Reset() {
	clear(o.departures)
	clear(o.vectors)
	clear(o.messages[:min(len(o.messages), len(o.departures))]) // their headers point to addresses, and to vectors as they were before they grew
	o.departures, o.starts, o.vectors = o.departures[:0], o.starts[:0], o.vectors[:0]
}

// seal makes the kernel's headers of what was gathered.
func (o *Outbox) seal() {
	for len(o.messages) < len(o.departures) {
		o.messages = append(o.messages, message{})
		o.controls = append(o.controls, [outboxControl]byte{})
	}
	for i := range o.departures {
		d, h := &o.departures[i], &o.messages[i].header
		*h = unix.Msghdr{}
		if d.To != nil {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&d.To.raw)), d.To.size
		}
		h.Iov = &o.nothing // none at all would be as good to the kernel, but not to QEMU
		h.SetIovlen(1)
		if v := o.vectorsOf(i); len(v) > 0 {
			h.Iov = &v[0]
			h.SetIovlen(len(v))
		}
		if n := d.control(&o.controls[i]); n > 0 {
			h.Control = &o.controls[i][0]
			h.SetControllen(n)
		}
	}
}

// control writes the control messages of a datagram and returns their size.
func (d *Departure) control(b *[outboxControl]byte) int {
	n := 0
	put := func(level, kind int32, size int) []byte {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&b[n]))
		c.Level, c.Type = level, kind
		c.SetLen(unix.CmsgLen(size))
		data := b[n+unix.CmsgLen(0):][:size]
		n += unix.CmsgSpace(size)
		return data
	}
	if d.Segment > 0 {
		binary.NativeEndian.PutUint16(put(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2), uint16(d.Segment))
	}
	if d.Class != 0 && d.Six {
		binary.NativeEndian.PutUint32(put(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 4), uint32(d.Class))
	} else if d.Class != 0 {
		binary.NativeEndian.PutUint32(put(unix.IPPROTO_IP, unix.IP_TOS, 4), uint32(d.Class))
	}
	if d.To == nil || d.From == ([16]byte{}) {
		return n
	}
	if d.To.Is6() { // also for IPv4 through an IPv6 socket: struct in6_pktinfo
		info := put(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		clear(info[copy(info, d.From[:]):])
	} else { // struct in_pktinfo: the interface, the source
		info := put(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		clear(info)
		copy(info[4:8], d.From[12:])
	}
	return n
}

// Send sends all that was gathered: with one system call where the kernel lets this process have io_uring(7) and there are several
// sockets, else with one for each row of datagrams of one socket. Each Departure has its result then.
//
// Neighbours of one socket with the same To keep their order: when one of them fails, those behind it are held back, with ECANCELED. What lies
// apart may overtake: the kernel goes on with the second of a row when it has begun with every row. A socket that is
// connected reports an ICMP error that came before, once, instead of sending: what failed with one is worth another try.
func (l *Loop) Send(o *Outbox) {
	o.seal()
	from := 0
	if l.ring != nil && o.severalSockets() {
		for from < len(o.departures) {
			n := l.ring.sendAll(o, from, min(len(o.departures)-from, int(l.ring.entries)))
			if n == 0 {
				break
			}
			l.stats.joint.Add(uint64(n))
			from = o.cancel(from + n)
		}
	}
	for from < len(o.departures) {
		from = o.sendRow(from)
	}
}

func (o *Outbox) severalSockets() bool {
	for i := 1; i < len(o.departures); i++ {
		if o.departures[i].FD != o.departures[0].FD {
			return true
		}
	}
	return false
}

// ordered reports whether datagram i has to wait for the one before it.
func (o *Outbox) ordered(i int) bool {
	a, b := &o.departures[i-1], &o.departures[i]
	return a.FD == b.FD && a.To == b.To
}

// cancel holds back the datagrams from number i on that would overtake one that failed, and returns the first that wouldn't.
func (o *Outbox) cancel(i int) int {
	for ; i < len(o.departures) && o.departures[i-1].Errno != 0 && o.ordered(i); i++ {
		o.departures[i].Errno = unix.ECANCELED
	}
	return i
}

// sendRow sends at least one datagram from number i on, with those behind it of the same socket, and returns the first that it left. sendmmsg(2) ends at
// the first one that fails.
func (o *Outbox) sendRow(i int) int {
	d := &o.departures[i]
	to := i + 1
	for to < len(o.departures) && o.departures[to].FD == d.FD {
		to++
	}
	if to-i == 1 {
		_, _, d.Errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(d.FD), uintptr(unsafe.Pointer(&o.messages[i].header)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return to
	}
	n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(d.FD), uintptr(unsafe.Pointer(&o.messages[i])), uintptr(to-i), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		d.Errno = e
		return o.cancel(i + 1)
	}
	for j := range o.departures[i:][:n] {
		o.departures[i+j].Errno = 0
	}
	return i + int(n)
}
