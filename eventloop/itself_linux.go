package eventloop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// privilegedPorts is where ports begin that the kernel may choose for a connection's own end (ip_local_port_range in ip(7)).
const privilegedPorts = 1024

// ConnectedToItself reports whether a socket that was to be connected to that port of an endpoint is connected to itself. When nobody listens
// on a port of this machine, the kernel may choose that very port for the connection's own end, and the two SYNs, which are one, meet
// (RFC 9293, section 3.5, simultaneous open). The client would be served its own bytes, and the endpoint, when it comes back, would find
// its port in use. It costs a system call, and a second one when the ports are the same.
func ConnectedToItself(fd int, port uint16) bool {
	if port < privilegedPorts {
		return false
	}
	var own, peer unix.RawSockaddrInet6
	if !address(unix.SYS_GETSOCKNAME, fd, &own) || portOf(&own) != port {
		return false
	}
	if !address(unix.SYS_GETPEERNAME, fd, &peer) || portOf(&peer) != port || own.Family != peer.Family {
		return false
	}
	if own.Family == unix.AF_INET {
		return (*unix.RawSockaddrInet4)(unsafe.Pointer(&own)).Addr == (*unix.RawSockaddrInet4)(unsafe.Pointer(&peer)).Addr
	}
	return own.Addr == peer.Addr && own.Scope_id == peer.Scope_id
}

// address asks for one of a socket's two addresses; unix.Getsockname would allocate for each.
func address(call uintptr, fd int, to *unix.RawSockaddrInet6) bool {
	size := uint32(unsafe.Sizeof(*to))
	_, _, e := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(&size)))
	return e == 0
}

// portOf returns the port, which both families keep in the same place and in the network's order.
func portOf(a *unix.RawSockaddrInet6) uint16 {
	b := *(*[2]byte)(unsafe.Pointer(&a.Port))
	return uint16(b[0])<<8 | uint16(b[1])
}
