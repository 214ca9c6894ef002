package eventloop

import (
	"net"
	"net/netip"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below go to the kernel without telling the Go scheduler (RawSyscall): their descriptors never block, and
// entering and leaving the scheduler costs as much as a short read. The zero Errno is success.

// Read reads into b. n = 0 with no error is the end of the stream.
func Read(fd int, b []byte) (n int, e unix.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Write writes b, as much as the socket takes; a closed peer is EPIPE and raises no signal.
func Write(fd int, b []byte) (n int, e unix.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// spliceFlags: MORE is left out on purpose, it corks the tail of a stream for 200 ms.
const spliceFlags = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK

// Splice moves at most max bytes from one descriptor to another; one of them is a pipe's end.
func Splice(from, to int, max int) (n int, e unix.Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(max), spliceFlags)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// ShutdownWrite sends FIN after what is queued.
func ShutdownWrite(fd int) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return e
}

// SetAbort makes the coming close send RST instead of FIN and drop what is queued.
func SetAbort(fd int) {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0)
}

// SetNoDelay turns Nagle's algorithm off.
func SetNoDelay(fd int) { setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

func setInt(fd, level, option int, value int32) unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	return e
}

// SocketError takes the pending error (SO_ERROR) off the socket.
func SocketError(fd int) unix.Errno {
	var value int32
	size := uint32(unsafe.Sizeof(value))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return e
	}
	return unix.Errno(value)
}

// Sockaddr is a socket address in the kernel's form: made once for an endpoint, or filled by Accept.
type Sockaddr struct {
	raw  unix.RawSockaddrInet6 // large enough for IPv4 too; Family tells which
	size uint32
}

// NewSockaddr returns the kernel's form of addr, of an IPv4-mapped IPv6 address that of IPv4; a zone that names no interface counts as none.
func NewSockaddr(addr netip.AddrPort) Sockaddr {
	var s Sockaddr
	port := addr.Port()
	ip := addr.Addr().Unmap()
	if ip.Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		v4.Family = unix.AF_INET
		*(*[2]byte)(unsafe.Pointer(&v4.Port)) = [2]byte{byte(port >> 8), byte(port)}
		v4.Addr = ip.As4()
		s.size = unix.SizeofSockaddrInet4
		return s
	}
	s.raw.Family = unix.AF_INET6
	*(*[2]byte)(unsafe.Pointer(&s.raw.Port)) = [2]byte{byte(port >> 8), byte(port)}
	s.raw.Addr = ip.As16()
	s.raw.Scope_id = zoneIndex(ip.Zone())
	s.size = unix.SizeofSockaddrInet6
	return s
}

// AddrPort returns the address, without a zone; an IPv4-mapped IPv6 address as IPv4. The zero Sockaddr gives the zero AddrPort.
func (s *Sockaddr) AddrPort() netip.AddrPort {
	p := portOf(&s.raw)
	switch s.raw.Family {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw)).Addr), p)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.raw.Addr).Unmap(), p)
	}
	return netip.AddrPort{}
}

// Accept takes a connection off the listener, non-blocking and close-on-exec, and fills peer.
func Accept(fd int, peer *Sockaddr) (int, unix.Errno) {
	peer.size = uint32(unsafe.Sizeof(peer.raw))
	r, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&peer.raw)),
		uintptr(unsafe.Pointer(&peer.size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, e
	}
	return int(r), 0
}

// Connect begins a connection to addr on a new non-blocking socket. EINPROGRESS is success: the socket becomes writable
// when it is connected, and Failed with a SocketError when it can't be.
func Connect(addr *Sockaddr) (fd int, e unix.Errno) {
	r, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(addr.raw.Family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	fd = int(r)
	_, _, e = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&addr.raw)), uintptr(addr.size))
	if e != 0 && e != unix.EINPROGRESS {
		closeFD(fd)
		return -1, e
	}
	return fd, 0
}

// zoneIndex returns the interface index of an IPv6 zone, given as a name or a number; 0 when there is no such interface.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, err := strconv.ParseUint(zone, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// SetLiveness sets a connected socket's keepalive (idle time; probes follow at a third of it) and user timeout (RFC 5482); 0 leaves
// the kernel's setting.
func SetLiveness(fd int, keepalive, userTimeout time.Duration) {
	if keepalive > 0 {
		setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int32(seconds(keepalive)))
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int32(seconds(keepalive/3)))
	}
	if userTimeout > 0 {
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int32(milliseconds(userTimeout)))
	}
}
