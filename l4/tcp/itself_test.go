package tcp

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4"
)

func portIn(sa unix.Sockaddr) uint16 {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	return 0
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
