package eventloop

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxDatagram is more than any datagram, or any number of them that the kernel has coalesced, can have (bytes).
const MaxDatagram = 1 << 16

// inboxStride is the distance of two buffers of an Inbox. A power of two would put the beginnings of all of them, which are what is looked at,
// into the same few sets of the processor's caches.
const inboxStride = MaxDatagram + 192

// message is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type message struct {
	header unix.Msghdr
	size   uint32
	_      [4]byte
}

// inboxControl has room for what a socket of ours is told with a datagram: destination, traffic class, segment size, overflows.
const inboxControl = 144

// Inbox holds datagrams that were received and wait to be sent on: a fixed number of places, each with a buffer that any datagram fits in.
// Places are filled from 0 on and are free again, all at once, after Reset. An Inbox belongs to one loop.
type Inbox struct {
	messages []message
	vectors  []unix.Iovec
	names    []Sockaddr
	controls [][inboxControl]byte
	arrivals []Arrival
	used     int
}

// Arrival is what the kernel says of a datagram, or of several that it has coalesced (UDP_GRO).
type Arrival struct {
	Payload  []byte // of all of them, one behind another; valid until Reset
	Segment  int    // bytes of each datagram, the last one may be shorter; 0 = one datagram
	From     *Sockaddr
	Local    [16]byte // the address it was sent to, IPv4 mapped into IPv6; zero where the socket isn't asked to tell (see DatagramOptions)
	Overflow uint32   // datagrams that the socket has lost so far for want of buffer, as far as it said so with this one
	Class    uint8    // the IP header's traffic class (TOS): DSCP and ECN bits
}

// Datagrams returns how many datagrams arrived together.
func (a *Arrival) Datagrams() int {
	if a.Segment == 0 {
		return 1
	}
	return (len(a.Payload) + a.Segment - 1) / a.Segment
}

// NewInbox returns an empty Inbox of so many places, 64 KiB each. Memory that no datagram was written to costs nothing.
func NewInbox(places int) *Inbox {
	in := &Inbox{
		messages: make([]message, places), vectors: make([]unix.Iovec, places), names: make([]Sockaddr, places),
		controls: make([][inboxControl]byte, places), arrivals: make([]Arrival, places),
	}
	memory := make([]byte, places*inboxStride)
	for i := range places {
		buffer := memory[i*inboxStride:][:MaxDatagram:MaxDatagram]
		in.vectors[i] = unix.Iovec{Base: &buffer[0]}
		in.vectors[i].SetLen(len(buffer))
		h := &in.messages[i].header
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&in.names[i].raw)), &in.vectors[i], &in.controls[i][0]
		h.SetIovlen(1)
		in.arrivals[i].From = &in.names[i]
	}
	in.used = places
	in.Reset()
	return in
}

// Room returns how many places are free.
func (in *Inbox) Room() int { return len(in.messages) - in.used }

// Len returns how many places are filled.
func (in *Inbox) Len() int { return in.used }

// At returns what is in a filled place.
func (in *Inbox) At(place int) *Arrival { return &in.arrivals[place] }

// Reset empties all places.
func (in *Inbox) Reset() {
	for i := range in.messages[:in.used] {
		h := &in.messages[i].header
		h.Namelen = uint32(unsafe.Sizeof(in.names[i].raw))
		h.SetControllen(inboxControl)
		h.Flags = 0
	}
	in.used = 0
}

// Receive reads what a socket has, into at most limit places, and returns the first of them and how many were filled: fewer than limit, which
// is at most Room, mean on Linux that the socket is empty. Who stands in for Linux may end sooner (QEMU does at a signal), so that this is nothing to rely
// on with an edge-triggered socket. The error, EAGAIN or one that ICMP has left on the socket, comes with no datagram.
func (in *Inbox) Receive(fd, limit int) (first, n int, e unix.Errno) {
	first = in.used
	limit = min(limit, in.Room())
	if limit <= 0 {
		return first, 0, 0
	}
	r, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.messages[first])), uintptr(limit), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return first, 0, e
	}
	n = int(r)
	in.used += n
	for i := first; i < in.used; i++ {
		in.read(i)
	}
	return first, n, 0
}

// read takes apart what came into a place. The kernel writes well-formed control messages, and nothing but the kernel writes here.
func (in *Inbox) read(i int) {
	m, a := &in.messages[i], &in.arrivals[i]
	a.Payload = unsafe.Slice(in.vectors[i].Base, m.size)
	a.Segment, a.Local, a.Overflow, a.Class = 0, [16]byte{}, 0, 0
	in.names[i].size = m.header.Namelen
	control := in.controls[i][:m.header.Controllen]
	for len(control) >= unix.SizeofCmsghdr {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		size := int(c.Len)
		if size < unix.SizeofCmsghdr || size > len(control) {
			return
		}
		a.note(c.Level, c.Type, control[unix.SizeofCmsghdr:size])
		control = control[min(len(control), (size+7)&^7):]
	}
}

// note takes one control message.
func (a *Arrival) note(level, kind int32, b []byte) {
	switch {
	case level == unix.IPPROTO_UDP && kind == unix.UDP_GRO && len(b) >= 4:
		if size := int(binary.NativeEndian.Uint32(b)); size < len(a.Payload) {
			a.Segment = size
		}
	case level == unix.IPPROTO_IP && kind == unix.IP_TOS && len(b) >= 1:
		a.Class = b[0]
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_TCLASS && len(b) >= 4:
		a.Class = uint8(binary.NativeEndian.Uint32(b))
	case level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(b) >= 4:
		a.Overflow = binary.NativeEndian.Uint32(b)
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(b) >= 8:
		// struct in_pktinfo: the interface, and the address that an answer should come from.
		a.Local = netip.AddrFrom4([4]byte(b[4:8])).As16()
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(b) >= 16:
		a.Local = [16]byte(b)
	}
}

// Bytes returns the address and the port as they are compared and hashed: IPv4 mapped into IPv6, with the interface of a link-local address.
func (s *Sockaddr) Bytes() (address [16]byte, port uint16, zone uint32) {
	port = portOf(&s.raw)
	if s.raw.Family == unix.AF_INET {
		address[10], address[11] = 0xff, 0xff
		copy(address[12:], (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw)).Addr[:])
		return address, port, 0
	}
	return s.raw.Addr, port, s.raw.Scope_id
}

// Same reports whether two addresses are the same, interfaces aside.
func (s *Sockaddr) Same(o *Sockaddr) bool {
	if s.raw.Family != o.raw.Family || s.raw.Port != o.raw.Port {
		return false
	}
	if s.raw.Family == unix.AF_INET {
		return (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw)).Addr == (*unix.RawSockaddrInet4)(unsafe.Pointer(&o.raw)).Addr
	}
	return s.raw.Addr == o.raw.Addr
}

// Is6 reports whether the address is of the IPv6 family; an IPv4-mapped one is, when it came to an IPv6 socket.
func (s *Sockaddr) Is6() bool { return s.raw.Family == unix.AF_INET6 }

// Over4 reports whether IPv4 carries what is sent to the address.
func (s *Sockaddr) Over4() bool {
	return s.raw.Family == unix.AF_INET || [12]byte(s.raw.Addr[:12]) == [12]byte{10: 0xff, 11: 0xff}
}
