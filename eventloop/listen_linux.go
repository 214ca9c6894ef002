package eventloop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/socket"
	"golang.org/x/sys/unix"
)

// ListenOptions describe a listening TCP socket. What the kernel lets an accepted socket inherit is set here, once, instead of
// on every connection: TCP_NODELAY (always on), keepalive, user timeout and congestion control.
type ListenOptions struct {
	Addr        netip.AddrPort // port 0 = any free one, see Listen
	V6Only      bool           // an IPv6 wildcard takes IPv4 too unless this is set
	Backlog     int            // 0 = net.core.somaxconn
	FastOpen    bool           // TCP_FASTOPEN (RFC 7413)
	DeferAccept bool           // TCP_DEFER_ACCEPT: accept when the first bytes are there, or after 1 s
	UserTimeout time.Duration  // TCP_USER_TIMEOUT (RFC 5482); 0 = the kernel's
	Keepalive   time.Duration  // TCP_KEEPIDLE and TCP_KEEPINTVL (of a third); 0 = off
	Congestion  string         // TCP_CONGESTION; "" = the kernel's
}

// Listen opens n sockets that listen on one address with SO_REUSEPORT, one for each loop; with port 0 all get the same free
// port, which ListeningOn tells. On an error none stays open.
func Listen(o ListenOptions, n int) (fds []int, err error) {
	defer func() {
		if err != nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
			fds = nil
		}
	}()
	for range n {
		fd, err := listenOne(o)
		if err != nil {
			return fds, fmt.Errorf("listen on %s: %w", o.Addr, err)
		}
		fds = append(fds, fd)
		if o.Addr.Port() == 0 {
			at, err := ListeningOn(fd)
			if err != nil {
				return fds, fmt.Errorf("listen on %s: %w", o.Addr, err)
			}
			o.Addr = netip.AddrPortFrom(o.Addr.Addr(), at.Port())
		}
	}
	return fds, nil
}

func listenOne(o ListenOptions) (int, error) {
	o.Addr = netip.AddrPortFrom(o.Addr.Addr().Unmap(), o.Addr.Port())
	network := "tcp" // an IPv6 wildcard is dual-stack
	if o.V6Only && o.Addr.Addr().Is6() {
		network = "tcp6"
	}
	opts := []socket.Option[int]{
		{SetSockOpt: socket.SetReuseAddr, Opt: 1},
		{SetSockOpt: socket.SetReuseport, Opt: 1},
		{SetSockOpt: socket.SetNoDelay, Opt: 1},
	}
	add := func(name string, level, option, value int) {
		opts = append(opts, socket.Option[int]{Opt: value, SetSockOpt: func(fd, value int) error {
			if err := unix.SetsockoptInt(fd, level, option, value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		}})
	}
	if network == "tcp" && o.Addr.Addr().Is6() {
		add("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if o.Keepalive > 0 {
		add("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		add("TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(o.Keepalive))
		add("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(o.Keepalive/3))
	}
	if o.UserTimeout > 0 {
		add("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds(o.UserTimeout))
	}
	if o.DeferAccept {
		add("TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
	}
	if o.FastOpen {
		add("TCP_FASTOPEN", unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 256)
	}
	var names []socket.Option[string]
	if o.Congestion != "" {
		names = append(names, socket.Option[string]{Opt: o.Congestion, SetSockOpt: func(fd int, name string) error {
			if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
				return fmt.Errorf("congestion control %q: %w", name, err)
			}
			return nil
		}})
	}
	fd, _, err := socket.TCPSocket(network, o.Addr.String(), true, opts, names)
	if err != nil {
		return -1, err
	}
	if o.Backlog > 0 {
		if err := unix.Listen(fd, o.Backlog); err != nil {
			_ = unix.Close(fd)
			return -1, fmt.Errorf("backlog %d: %w", o.Backlog, err)
		}
	}
	return fd, nil
}

// seconds rounds up to what the kernel's options in seconds take, at least 1.
func seconds(d time.Duration) int { return max(1, int((d-1)/time.Second+1)) }

// ListeningOn returns the address that a socket is bound to; an IPv6 wildcard stays as it is.
func ListeningOn(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, errors.New("not an IP socket")
}

// Export returns a duplicate of a listening socket, to be handed to another process. The socket goes on listening here until it is
// closed; its accept queue is shared by both.
func Export(fd int) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("export listening socket: %w", err)
	}
	return os.NewFile(uintptr(dup), "listener"), nil
}

// Import takes over a listening TCP socket that came from another process and returns its descriptor, non-blocking and
// close-on-exec, with the address it is bound to. It closes f. Anything but a listening TCP socket is an error.
func Import(f *os.File) (fd int, at netip.AddrPort, err error) {
	defer func() { _ = f.Close() }()
	fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, at, fmt.Errorf("import listening socket: %w", err)
	}
	if at, err = checkListening(fd); err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, at, fmt.Errorf("import listening socket: %w", err)
	}
	return fd, at, nil
}

func checkListening(fd int) (at netip.AddrPort, err error) {
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return at, err
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return at, err
	}
	if listening == 0 || kind != unix.SOCK_STREAM {
		return at, errors.New("not a listening stream socket")
	}
	return ListeningOn(fd)
}
