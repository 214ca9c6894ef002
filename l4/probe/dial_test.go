package probe

import (
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket that the kernel has connected to itself isn't an endpoint.
func TestEndpointIsNotItself(t *testing.T) {
	c := mustNew(t, Options{}).(*tcpCheck)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	free := bound(t, fd)
	_ = unix.Close(fd)
	c.dialer.net.LocalAddr = net.TCPAddrFromAddrPort(free)
	want(t, run(t, c, free), "connection refused")
	// And where it shows: the same socket without the guard does connect.
	conn, err := c.dialer.net.DialContext(t.Context(), "tcp", free.String())
	if err != nil {
		t.Fatalf("this kernel connects no socket to itself: %v", err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func TestSource(t *testing.T) {
	from := netip.MustParseAddr("127.0.0.9")
	seen := make(chan netip.Addr, 1)
	tcp := serve(t, func(c net.Conn) {
		seen <- addrOf(c.RemoteAddr()).Addr()
		_, _ = io.Copy(c, c)
	})
	want(t, run(t, mustNew(t, Options{Source: from, Send: "x", Expect: "x"}), tcp), "")
	if got := <-seen; got != from {
		t.Errorf("tcp from %v", got)
	}
	udp := listenUDP(t)
	go func() {
		_, peer, _ := udp.ReadFromUDPAddrPort(make([]byte, 1))
		seen <- peer.Addr()
		_, _ = udp.WriteToUDPAddrPort([]byte("x"), peer)
	}()
	want(t, run(t, mustNew(t, Options{Type: UDP, Source: from, Expect: "x"}), addrOf(udp.LocalAddr())), "")
	if got := <-seen; got != from {
		t.Errorf("udp from %v", got)
	}
	six := netip.IPv6Loopback()
	if ln, err := net.Listen("tcp", "[::1]:0"); err == nil {
		want(t, run(t, mustNew(t, Options{Source: six}), addrOf(ln.Addr())), "")
		_ = ln.Close()
	}
	elsewhere := netip.MustParseAddr("203.0.113.1") // nobody's here (RFC 5737)
	for _, typ := range []Type{TCP, UDP} {
		want(t, run(t, mustNew(t, Options{Type: typ, Source: elsewhere}), tcp), "could not check: no address or port to connect from")
		want(t, run(t, mustNew(t, Options{Type: typ, Source: six}), tcp), "could not check: the source address is of another family than the endpoint's")
	}
}
