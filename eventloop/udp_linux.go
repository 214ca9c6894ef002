package eventloop

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DatagramOptions describe a UDP socket.
type DatagramOptions struct {
	Addr         netip.AddrPort // to bind; port 0 = any free one, see ListenDatagrams
	V6Only       bool           // an IPv6 wildcard takes IPv4 too unless this is set
	Receive      int            // bytes of buffer (SO_RCVBUF); 0 = the kernel's
	Send         int            // bytes of buffer (SO_SNDBUF); 0 = the kernel's
	DontFragment bool           // IP_PMTUDISC_DO: what is too big for the path is refused instead of being sent in fragments
	NoOffload    bool           // each datagram is received by itself, also where the kernel has UDP_GRO
}

// Features are what this kernel can do with datagrams.
type Features struct {
	Segment  bool // UDP_SEGMENT, of 4.18: one system call and one way through the stack for many datagrams of one size
	Coalesce bool // UDP_GRO, of 5.0: what was sent or arrived so is received so
}

// DatagramFeatures finds out, once, what the kernel can do.
var DatagramFeatures = sync.OnceValue(func() (f Features) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return f
	}
	defer func() { _ = unix.Close(fd) }()
	f.Segment = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 0) == nil
	f.Coalesce = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	return f
})

// ListenDatagrams opens n UDP sockets that are bound to one address with SO_REUSEPORT, one for each loop; with port 0 all get the same free port,
// which ListeningOn tells. What arrives tells its traffic class, the losses of the socket, where it was sent to if the address is a wildcard,
// and is coalesced where the kernel can. On an error none stays open.
func ListenDatagrams(o DatagramOptions, n int) (fds []int, err error) {
	if !o.Addr.IsValid() {
		return nil, errors.New("listen on no address")
	}
	o.Addr = netip.AddrPortFrom(o.Addr.Addr().Unmap(), o.Addr.Port())
	for range n {
		fd, err := bindDatagrams(o)
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			return nil, fmt.Errorf("listen on %s: %w", o.Addr, err)
		}
		fds = append(fds, fd)
		if o.Addr.Port() == 0 {
			at, _ := ListeningOn(fd)
			o.Addr = netip.AddrPortFrom(o.Addr.Addr(), at.Port())
		}
	}
	return fds, nil
}

func bindDatagrams(o DatagramOptions) (_ int, err error) {
	addr := NewSockaddr(o.Addr)
	six := addr.Is6()
	fd, e := newDatagramSocket(six)
	if e != 0 {
		return -1, fmt.Errorf("socket: %w", e)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	share := func() error {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("SO_REUSEPORT: %w", err)
		}
		return nil
	}
	// A socket that is ready to share may be given a port that another process of this user shares already. One that isn't gets a free one.
	free := o.Addr.Port() == 0
	if !free {
		if err := share(); err != nil {
			return -1, err
		}
	}
	if six {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, truth(o.V6Only)); err != nil {
			return -1, fmt.Errorf("IPV6_V6ONLY: %w", err)
		}
	}
	if o.Addr.Addr().IsUnspecified() {
		if six {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
		if err != nil {
			return -1, fmt.Errorf("IP_PKTINFO: %w", err)
		}
	}
	SetDatagramOptions(fd, six, o)
	if _, _, e := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&addr.raw)), uintptr(addr.size)); e != 0 {
		return -1, fmt.Errorf("bind: %w", e)
	}
	if free {
		if err := share(); err != nil {
			return -1, err
		}
	}
	return fd, nil
}

func newDatagramSocket(six bool) (int, unix.Errno) {
	family := unix.AF_INET
	if six {
		family = unix.AF_INET6
	}
	r, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	return int(r), 0
}

// SetDatagramOptions gives a socket all of the options that may change while it is open. What the kernel doesn't have is done without; the sizes of
// buffers it cuts silently (net.core.rmem_max, wmem_max), and DatagramBuffers tells what it gave. A privileged process gets what it asks for.
func SetDatagramOptions(fd int, six bool, o DatagramOptions) {
	if DatagramFeatures().Coalesce {
		setInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, int32(truth(!o.NoOffload)))
	}
	setInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	setInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1) // an IPv6 socket's, too, for the IPv4 that it takes
	discover := int32(unix.IP_PMTUDISC_WANT)
	if o.DontFragment {
		discover = unix.IP_PMTUDISC_DO
	}
	setInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover)
	if six {
		setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
		setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover)
	}
	if o.Receive > 0 && setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, int32(o.Receive)) != 0 {
		setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, int32(o.Receive))
	}
	if o.Send > 0 && setInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, int32(o.Send)) != 0 {
		setInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, int32(o.Send))
	}
}

// DatagramBuffers returns the sizes of a socket's buffers (bytes) as they are asked for: the kernel counts and tells twice as much.
func DatagramBuffers(fd int) (receive, send int, err error) {
	if receive, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
		return 0, 0, fmt.Errorf("SO_RCVBUF: %w", err)
	}
	if send, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
		return 0, 0, fmt.Errorf("SO_SNDBUF: %w", err)
	}
	return receive / 2, send / 2, nil
}

// NewDatagramSocket opens a UDP socket that ConnectDatagrams is for.
func NewDatagramSocket(six bool, o DatagramOptions) (int, unix.Errno) {
	fd, e := newDatagramSocket(six)
	if e == 0 {
		SetDatagramOptions(fd, six, o)
	}
	return fd, e
}

// ConnectDatagrams connects a socket that isn't connected, from a free port that the kernel draws. EAGAIN and EADDRNOTAVAIL mean that there
// is none.
func ConnectDatagrams(fd int, addr *Sockaddr) unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&addr.raw)), uintptr(addr.size))
	return e
}

// DiscardDatagrams throws away what a socket has received, and the error that it may have. It returns how many datagrams, or coalesced ones, it was.
func DiscardDatagrams(fd int) (n int) {
	var b [1]byte
	for range drainMost {
		switch _, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_DONTWAIT, 0, 0); e {
		case 0:
			n++
		case unix.EAGAIN:
			return n
		}
	}
	return n
}

// drainMost is more datagrams than a socket's buffer holds: each takes at least 256 bytes of it.
const drainMost = 1 << 18

// DisconnectDatagrams takes peer and port from a connected socket, which then receives nothing any more (connect(2), AF_UNSPEC). It costs a tenth
// of closing the socket and opening another.
func DisconnectDatagrams(fd int) unix.Errno {
	none := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(none))
	return e
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
