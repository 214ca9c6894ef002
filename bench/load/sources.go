package load

import (
	"fmt"
	"os"
	"syscall"
)

// sources are local addresses and ports that none of this process's sockets has
// had. Ports that the kernel chooses come again soon: after some thousand flows a
// good part of the next are, to a path that keeps them for a while, flows it has
// already. Each process has an address of its own in 127.0.0.0/8, so what ran just
// before is no trouble either.
type sources struct{ taken uint64 }

const (
	firstPort   = 10_000
	sourcePorts = 55_000 // of an address
	sourceAddrs = 3      // of a process
)

// next is another one; the first comes again after sourcePorts times sourceAddrs.
func (s *sources) next() rawAddr {
	n := s.taken % (sourcePorts * sourceAddrs)
	s.taken++
	pid := os.Getpid() // of at most 22 bits, proc(5)
	return makeAddr([4]byte{127, byte(64*(1+n/sourcePorts)) + byte(pid>>16)&63, byte(pid >> 8), byte(pid)}, uint16(firstPort+n%sourcePorts))
}

// connect opens a socket that sends to a from the next source that is free.
func (s *sources) connect(a *rawAddr) (int, error) {
	fd, e := udpSocket()
	if e != 0 {
		return -1, fmt.Errorf("socket: %w", e)
	}
	e = syscall.EADDRINUSE
	for tries := 0; e == syscall.EADDRINUSE && tries < 1000; tries++ {
		from := s.next()
		e = bindFD(fd, &from)
	}
	if e == 0 {
		e = connectFD(fd, a)
	}
	if e != 0 {
		closeFD(fd)
		return -1, fmt.Errorf("a socket with a new port: %w", e)
	}
	return fd, nil
}
