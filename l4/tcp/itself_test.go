package tcp

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4"
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

func TestIsItsOwnPeer(t *testing.T) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, port := connectedToItself(t, family)
		if !isItsOwnPeer(fd, port) {
			t.Errorf("family %d: not seen", family)
		}
		if isItsOwnPeer(fd, port+1) {
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
		if isItsOwnPeer(int(fd), uint16(port)) {
			t.Error("another address with the same port is taken for the socket's own")
		}
	})
	if isItsOwnPeer(-1, uint16(port)) {
		t.Error("no socket at all")
	}
}

// nearPort connects to a port of 127.0.0.1 where nobody listens until the kernel's search for the connection's own port, which goes on
// from where it last stood for the same destination, comes close to that very port.
func nearPort(t *testing.T, port int) {
	t.Helper()
	for range 100_000 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
		sa, err := unix.Getsockname(fd)
		_ = unix.Close(fd)
		if err != nil {
			t.Fatal(err)
		}
		if own := int(portIn(sa)); own < port && own > port-20 {
			return
		}
	}
	t.Skip("this kernel chooses ports in another way")
}

// A client never gets to talk to itself through an endpoint that isn't there, however often the kernel would connect weir to weir.
func TestEndpointIsNotItself(t *testing.T) {
	port := 40000 // one that the kernel may choose; nobody must listen there
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			break
		}
		_ = c.Close()
		port += 2
	}
	r := newRig(t, rigOptions{}, fmt.Sprintf("127.0.0.1:%d", port))
	const rounds, each = 12, 12
	for range rounds {
		nearPort(t, port)
		for range each {
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				continue // the reset came so soon
			}
			if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			_, cut := c.Write([]byte("is it me?")) // the reset is told once: here or there
			if n, err := readToEnd(c); n != 0 || err == nil && cut == nil {
				t.Fatalf("%d bytes and %v came back from where nobody listens", n, err)
			}
			_ = c.Close()
		}
	}
	r.eventually("all ended", func() bool { return r.shared.Active() == 0 })
	refused := r.closed(l4.ConnectRefused)
	if refused+r.closed(l4.DownstreamGone) == 0 || r.cluster.Endpoints[0].Loops[0].Sessions.Load() != 0 {
		t.Fatalf("counted%s", r.reasons())
	}
}
