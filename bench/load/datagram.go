package load

import (
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxDatagram = 65507 // bytes of payload over IPv4
	udpBatch    = 64    // the most datagrams one system call of the backend moves

	// Loss on loopback is a full socket buffer: these hold more than any
	// generator has under way.
	udpBuffer = 16 << 20
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes of the datagram
}

// datagrams is storage for recvmmsg and sendmmsg, allocated once.
type datagrams struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	bufs  [][]byte
	names []rawAddr           // of the peers; nil on connected sockets
	ctls  [][controlSize]byte // what the kernel says beside the data; nil if it isn't asked
	used  int                 // messages the last receive wrote to
}

// controlSize is room for one control message of four bytes: UDP_GRO.
const controlSize = 24

func newDatagrams(n, size int, named, control bool) *datagrams {
	d := &datagrams{msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), bufs: make([][]byte, n), used: n}
	// A stride that isn't a power of two keeps the beginnings of the buffers
	// apart in the cache.
	stride := (size+63)/64*64 + 192
	all := make([]byte, n*stride)
	if named {
		d.names = make([]rawAddr, n)
	}
	if control {
		d.ctls = make([][controlSize]byte, n)
	}
	for i := range d.msgs {
		d.bufs[i] = all[i*stride : i*stride+size : i*stride+size]
		d.iovs[i].Base = &d.bufs[i][0]
		d.iovs[i].SetLen(size)
		h := &d.msgs[i].hdr
		h.Iov = &d.iovs[i]
		h.SetIovlen(1)
		if named {
			h.Name = (*byte)(unsafe.Pointer(&d.names[i]))
			h.Namelen = uint32(unsafe.Sizeof(rawAddr{}))
		}
		if control {
			h.Control = &d.ctls[i][0]
		}
	}
	return d
}

// receive takes what is there, at most as many as d has room for.
func (d *datagrams) receive(fd int) (int, syscall.Errno) {
	for i := range d.used {
		h := &d.msgs[i].hdr
		if d.names != nil {
			h.Namelen = uint32(unsafe.Sizeof(rawAddr{}))
		}
		if d.ctls != nil {
			h.SetControllen(controlSize)
		}
	}
	d.used = 0
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.msgs[0])), uintptr(len(d.msgs)), unix.MSG_DONTWAIT, 0, 0)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		d.used = int(n)
		return d.used, 0
	}
}

// payload is the i-th datagram of the last receive.
func (d *datagrams) payload(i int) []byte { return d.bufs[i][:d.msgs[i].n] }

// segment is the size of the datagrams the kernel has joined into the i-th one
// (UDP_GRO, Linux 5.0), or the length of that one.
func (d *datagrams) segment(i int) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&d.ctls[i]))
	if d.msgs[i].hdr.Controllen >= unix.SizeofCmsghdr+4 && h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO {
		return int(*(*int32)(unsafe.Pointer(&d.ctls[i][unix.SizeofCmsghdr])))
	}
	return int(d.msgs[i].n)
}

// setLen says how much of the i-th buffer goes out.
func (d *datagrams) setLen(i, n int) { d.iovs[i].SetLen(n) }

// send sends the first n messages. A full buffer is waited for; one that can't
// be sent otherwise is skipped, and whoever waits for it will say that it is lost.
func (d *datagrams) send(fd, n int) syscall.Errno {
	for at := 0; at < n; {
		sent, _, e := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.msgs[at])), uintptr(n-at), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == 0:
			at += int(sent)
		case e == syscall.EINTR:
		case e == syscall.EAGAIN || e == syscall.ENOBUFS:
			waitWritable(fd)
		case e == syscall.ECONNREFUSED && d.names == nil:
			return e
		default:
			at++
		}
	}
	return 0
}

// sendOne sends one message, as send does.
func sendOne(fd int, h *unix.Msghdr) syscall.Errno {
	for {
		_, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT)
		switch e {
		case syscall.EINTR:
		case syscall.EAGAIN, syscall.ENOBUFS:
			waitWritable(fd)
		default:
			return e
		}
	}
}

// writeDatagram writes b to a connected socket, as send does.
func writeDatagram(fd int, b []byte) syscall.Errno {
	for {
		_, e := writeFD(fd, b)
		if e != syscall.EAGAIN && e != syscall.ENOBUFS {
			return e
		}
		waitWritable(fd)
	}
}

// waitWritable waits a moment for room. On loopback a datagram leaves the
// sender's buffer as it is sent, so this is rare.
func waitWritable(fd int) {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	ts := unix.NsecToTimespec(int64(time.Millisecond))
	syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
}

func udpSocket() (int, syscall.Errno) {
	fd, _, e := syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	return int(fd), e
}

// widen asks for large socket buffers: beyond net.core.rmem_max with privilege,
// up to it without.
func widen(fd int) {
	if setIntFD(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer) != 0 {
		setIntFD(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, udpBuffer)
	}
	if setIntFD(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, udpBuffer) != 0 {
		setIntFD(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, udpBuffer)
	}
}

// listenUDP opens a socket for datagrams and returns its descriptor and address.
func listenUDP(addr string) (int, string, error) {
	a, err := parseAddr(addr)
	if err != nil {
		return -1, "", err
	}
	fd, e := udpSocket()
	if e != 0 {
		return -1, "", fmt.Errorf("socket: %w", e)
	}
	widen(fd)
	if e := bindFD(fd, &a); e != 0 {
		closeFD(fd)
		return -1, "", fmt.Errorf("bind to %s: %w", addr, e)
	}
	bound, err := boundAddr(fd)
	if err != nil {
		closeFD(fd)
		return -1, "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	return fd, bound, nil
}

// connectUDP opens a socket that sends to a and hears nobody else.
func connectUDP(a *rawAddr) (int, error) {
	fd, e := udpSocket()
	if e != 0 {
		return -1, fmt.Errorf("socket: %w", e)
	}
	if e := connectFD(fd, a); e != 0 {
		closeFD(fd)
		return -1, fmt.Errorf("connect: %w", e)
	}
	return fd, nil
}

// dialUDP is connectUDP with large buffers and one datagram there and back, so
// that the whole path exists before the clock starts. It is the slow path.
func dialUDP(addr string, first, want []byte, timeout time.Duration) (int, error) {
	a, err := parseAddr(addr)
	if err != nil {
		return -1, err
	}
	fd, err := connectUDP(&a)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", addr, err)
	}
	widen(fd)
	if err := exchangeUDP(fd, first, want, timeout); err != nil {
		closeFD(fd)
		return -1, fmt.Errorf("%s: first answer: %w", addr, err)
	}
	return fd, nil
}

func exchangeUDP(fd int, first, want []byte, timeout time.Duration) error {
	if e := writeDatagram(fd, first); e != 0 {
		return e
	}
	got := make([]byte, len(want)+1)
	n, err := hearUDP(fd, got, timeout)
	if err != nil {
		return err
	}
	if string(got[:n]) != string(want) {
		return fmt.Errorf("%w: %d bytes, want %d", ErrCorrupt, n, len(want))
	}
	return nil
}

// hearUDP waits for one datagram. It is for the slow path.
func hearUDP(fd int, into []byte, timeout time.Duration) (int, error) {
	end := time.Now().Add(timeout)
	for {
		// An ordinary system call: a raw one that blocks would hold up the Go
		// scheduler, and with it whoever is to answer in the same process.
		left := time.Until(end)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(left.Milliseconds(), 0))+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("poll: %w", err)
		}
		if n > 0 {
			break
		}
		if left <= 0 {
			return 0, fmt.Errorf("%w: nothing came for %s", ErrLost, timeout)
		}
	}
	n, e := readFD(fd, into)
	if e != 0 {
		return 0, e
	}
	return n, nil
}
