package eventloop

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// connectedToItself returns a socket whose two ends are the same.
func connectedToItself(t *testing.T, family int) (fd int, port uint16) {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	var own unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if family == unix.AF_INET6 {
		own = &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	}
	if err := unix.Bind(fd, own); err != nil {
		t.Skip(err) // no IPv6 here
	}
	own, err = unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, own); err != nil {
		t.Fatal(err)
	}
	return fd, portIn(own)
}

func portIn(sa unix.Sockaddr) uint16 {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	return 0
}

func TestConnectedToItself(t *testing.T) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, port := connectedToItself(t, family)
		if !ConnectedToItself(fd, port) {
			t.Errorf("family %d: not seen", family)
		}
		if ConnectedToItself(fd, port+1) {
			t.Errorf("family %d: seen at another port", family)
		}
	}
	// The same port on both sides, but not the same address.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	port := ln.Addr().(*net.TCPAddr).Port
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: port}}
	c, err := d.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if ConnectedToItself(int(fd), uint16(port)) {
			t.Error("another address with the same port is taken for the socket's own")
		}
	})
	if ConnectedToItself(-1, uint16(port)) {
		t.Error("no socket at all")
	}
}
