package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxWait bounds a raw wait, in milliseconds: the Go scheduler can't take
	// the processor from a thread inside a raw system call, so a longer one
	// would hold up a collection for as long.
	maxWait = 50

	edgeAll = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff
)

// poller is one epoll instance. Its tokens are the caller's 32-bit numbers.
type poller struct {
	fd     int
	events [512]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { closeFD(p.fd) }

// control adds (EPOLL_CTL_ADD) or changes (EPOLL_CTL_MOD) the interest in fd.
func (p *poller) control(op, fd int, token int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: token}
	_, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return fmt.Errorf("epoll_ctl: %w", e)
	}
	return nil
}

// watchReads adds fd, for an edge whenever something comes.
func (p *poller) watchReads(fd int, token int32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, token, unix.EPOLLIN|unix.EPOLLET&0xffffffff)
}

// wait returns the events of at most maxWait; none after a timeout or a signal.
func (p *poller) wait() []unix.EpollEvent {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), maxWait, 0, 0)
	return p.waited(n, e)
}

// waitFor is wait with a bound in nanoseconds, for a schedule of sends.
func (p *poller) waitFor(d time.Duration) []unix.EpollEvent {
	return p.waited(p.pwait2(min(max(d, 0), maxWait*time.Millisecond)))
}

func (p *poller) pwait2(d time.Duration) (uintptr, syscall.Errno) {
	ts := unix.NsecToTimespec(int64(d))
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return n, e
}

func (p *poller) waited(n uintptr, e syscall.Errno) []unix.EpollEvent {
	if e != 0 || n == 0 {
		runtime.Gosched()
		return nil
	}
	return p.events[:n]
}

// readFD reads once into b: n > 0, or 0 at the end of the stream, or an errno.
func readFD(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
}

// writeFD writes b once and returns how much was taken, or an errno.
func writeFD(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return 0, e
		}
		return int(n), 0
	}
}

func closeFD(fd int) { syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// acceptFD takes one connection, non-blocking, from a listener.
func acceptFD(fd int) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), e
}

func setIntFD(fd, level, opt, value int) syscall.Errno {
	v := int32(value)
	_, _, e := syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(opt), uintptr(unsafe.Pointer(&v)), 4, 0)
	return e
}

// rawAddr is an IPv4 sockaddr ready for raw system calls.
type rawAddr syscall.RawSockaddrInet4

func parseAddr(addr string) (rawAddr, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().Is4() {
		return rawAddr{}, fmt.Errorf("address %q: want IPv4:PORT", addr)
	}
	return makeAddr(ap.Addr().As4(), ap.Port()), nil
}

func makeAddr(ip [4]byte, port uint16) rawAddr {
	a := rawAddr{Family: syscall.AF_INET, Addr: ip}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&a.Port))[:], port)
	return a
}

func (a *rawAddr) port() uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&a.Port))[:])
}

func socketFD() (int, syscall.Errno) {
	fd, _, e := syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	return int(fd), e
}

func connectFD(fd int, a *rawAddr) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a))
	return e
}

func bindFD(fd int, a *rawAddr) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a))
	return e
}

// dial connects with a deadline and exchanges one first message, so that the
// whole path exists, through a proxy too, before the clock starts. It is the
// slow path: blocking, with timeouts. The descriptor comes back non-blocking.
func dial(addr string, first, want []byte, timeout time.Duration) (int, error) {
	fd, err := knock(addr, first, timeout)
	if err != nil {
		return -1, err
	}
	if err := answered(addr, fd, want); err != nil {
		closeFD(fd)
		return -1, err
	}
	return fd, nil
}

// knock is the first half of dial: it connects and sends, and leaves the answer
// for answered, so that many can be under way.
func knock(addr string, first []byte, timeout time.Duration) (int, error) {
	a, err := parseAddr(addr)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := connectAndSend(fd, &a, first, timeout); err != nil {
		closeFD(fd)
		return -1, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return fd, nil
}

func connectAndSend(fd int, a *rawAddr, first []byte, timeout time.Duration) error {
	tv := unix.NsecToTimeval(timeout.Nanoseconds())
	for _, opt := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, opt, &tv); err != nil {
			return fmt.Errorf("socket timeout: %w", err)
		}
	}
	if e := setIntFD(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); e != 0 {
		return fmt.Errorf("TCP_NODELAY: %w", e)
	}
	// Ordinary system calls here: a raw one that blocks would hold up the Go
	// scheduler, and with it whoever is to answer in the same process.
	to := &unix.SockaddrInet4{Port: int(a.port()), Addr: a.Addr}
	err := unix.Connect(fd, to)
	for err == unix.EINTR {
		err = unix.Connect(fd, to) // waits on: the first call has begun it
	}
	if err != nil && err != unix.EISCONN {
		return err
	}
	if _, err := unix.Write(fd, first); err != nil {
		return fmt.Errorf("first message: %w", err)
	}
	return nil
}

// answered is the second half of dial. The caller closes fd after an error.
func answered(addr string, fd int, want []byte) error {
	if err := receive(fd, want); err != nil {
		return fmt.Errorf("connect to %s: first answer: %w", addr, err)
	}
	return unix.SetNonblock(fd, true)
}

func receive(fd int, want []byte) error {
	got := make([]byte, len(want))
	for have := 0; have < len(got); {
		n, err := unix.Read(fd, got[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return ErrStalled
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("%w: end of stream after %d of %d bytes", ErrCorrupt, have, len(want))
		}
		have += n
	}
	if string(got) != string(want) {
		return ErrCorrupt
	}
	return nil
}

// listen opens a listener and returns its descriptor and address.
func listen(addr string) (int, string, error) {
	a, err := parseAddr(addr)
	if err != nil {
		return -1, "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("socket: %w", err)
	}
	bound, err := bindAndListen(fd, &a)
	if err != nil {
		closeFD(fd)
		return -1, "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	return fd, bound, nil
}

func bindAndListen(fd int, a *rawAddr) (string, error) {
	setIntFD(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if e := bindFD(fd, a); e != 0 {
		return "", e
	}
	if err := unix.Listen(fd, 4096); err != nil {
		return "", err
	}
	return boundAddr(fd)
}

func boundAddr(fd int) (string, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	in4, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return "", errors.New("not an IPv4 socket")
	}
	return net.JoinHostPort(netip.AddrFrom4(in4.Addr).String(), fmt.Sprint(in4.Port)), nil
}
