package eventloop

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadAndWrite(t *testing.T) {
	a, b := tcpPair(t)
	closeAtEnd(t, a)
	buf := make([]byte, 16)
	if n, e := Read(a, buf); n != 0 || e != unix.EAGAIN {
		t.Errorf("read of nothing: %d, %v; want EAGAIN", n, e)
	}
	write(t, b, "hello")
	awaits(t, a, unix.POLLIN)
	read(t, a, "hello")

	// A full socket takes what fits, then none.
	block := bytes.Repeat([]byte("0123456789"), 100<<10)
	total := 0
	for {
		n, e := Write(a, block)
		if total += n; e == unix.EAGAIN {
			break
		} else if e != 0 || n == 0 {
			t.Fatalf("write: %d, %v", n, e)
		}
	}
	if total == 0 {
		t.Error("nothing could be written")
	}

	if e := ShutdownWrite(b); e != 0 {
		t.Fatal(e)
	}
	awaits(t, a, unix.POLLRDHUP)
	if n, e := Read(a, buf); n != 0 || e != 0 {
		t.Errorf("read at the end of the stream: %d, %v; want 0 and no error", n, e)
	}
	if n, e := Write(b, []byte("x")); n != 0 || e != unix.EPIPE {
		t.Errorf("write after the FIN: %d, %v; want EPIPE", n, e)
	}
	// The other direction is open: what a wrote still arrives.
	got := 0
	for got < total {
		awaits(t, b, unix.POLLIN)
		n, e := Read(b, block)
		if e != 0 && e != unix.EAGAIN || e == 0 && n == 0 {
			t.Fatalf("after %d of %d bytes: %v", got, total, e)
		}
		got += n
	}
	closeFD(b)
}

func TestBadDescriptor(t *testing.T) {
	var peer Sockaddr
	if _, e := Read(noFD(0), make([]byte, 1)); e != unix.EBADF {
		t.Errorf("Read: %v", e)
	}
	if _, e := Write(noFD(0), make([]byte, 1)); e != unix.EBADF {
		t.Errorf("Write: %v", e)
	}
	if _, e := Splice(noFD(0), noFD(1), 1); e != unix.EBADF {
		t.Errorf("Splice: %v", e)
	}
	if e := ShutdownWrite(noFD(0)); e != unix.EBADF {
		t.Errorf("ShutdownWrite: %v", e)
	}
	if e := SocketError(noFD(0)); e != unix.EBADF {
		t.Errorf("SocketError: %v", e)
	}
	if fd, e := Accept(noFD(0), &peer); e != unix.EBADF || fd != -1 {
		t.Errorf("Accept: %d, %v", fd, e)
	}
}

func TestAbort(t *testing.T) {
	a, b := tcpPair(t)
	write(t, a, "received before")
	awaits(t, b, unix.POLLIN)
	SetAbort(a)
	closeFD(a)
	awaits(t, b, unix.POLLERR)
	read(t, b, "received before")
	if _, e := Read(b, make([]byte, 16)); e != unix.ECONNRESET {
		t.Errorf("the peer of an abort reads %v, want ECONNRESET", e)
	}
	closeFD(b)
}

func TestConnectAndAccept(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(at, func(t *testing.T) {
			ln, addr := listenOn(t, ListenOptions{Addr: netip.MustParseAddrPort(at)})
			client := connectTo(t, addr)
			server, peer := acceptFrom(t, ln)
			closeAtEnd(t, ln, client, server)
			if own, err := ListeningOn(client); err != nil || own != peer {
				t.Errorf("Accept tells of %v, the client is %v, %v", peer, own, err)
			}
			for _, fd := range []int{client, server} {
				if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
					t.Error("a socket blocks")
				}
				if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
					t.Error("a socket would be inherited by another program")
				}
			}
			var none Sockaddr
			if fd, e := Accept(ln, &none); fd != -1 || e != unix.EAGAIN {
				t.Errorf("Accept of nothing: %d, %v", fd, e)
			}
		})
	}
}

func TestConnectFails(t *testing.T) {
	openFDs(t)
	before := openFDs(t)

	// A bound port on which nobody listens.
	bound, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(bound, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := ListeningOn(bound)
	if err != nil {
		t.Fatal(err)
	}
	addr := NewSockaddr(at)
	fd, e := Connect(&addr)
	if e == 0 {
		awaits(t, fd, unix.POLLERR)
		e = SocketError(fd)
		closeFD(fd)
	}
	if e != unix.ECONNREFUSED {
		t.Errorf("connect to a port nobody listens on: %v, want ECONNREFUSED", e)
	}
	closeFD(bound)

	for _, tt := range []struct {
		name string
		addr Sockaddr
		want unix.Errno
	}{
		{"no address", Sockaddr{}, unix.EAFNOSUPPORT},
		{"a multicast group", NewSockaddr(netip.MustParseAddrPort("224.0.0.1:9")), unix.ENETUNREACH},
	} {
		if fd, e := Connect(&tt.addr); fd != -1 || e != tt.want {
			t.Errorf("connect to %s: %d, %v; want %v", tt.name, fd, e, tt.want)
		}
	}
	if n := openFDs(t) - before; n != 0 {
		t.Errorf("%d descriptors left by failed connections", n)
	}
}

func TestSockaddr(t *testing.T) {
	lo, err := net.InterfaceByIndex(1)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		in, out string
		family  uint16
		zone    uint32
	}{
		{in: "192.0.2.7:65535", family: unix.AF_INET},
		{in: "0.0.0.0:0", family: unix.AF_INET},
		{in: "127.0.0.1:258", family: unix.AF_INET},
		{in: "[2001:db8::7]:443", family: unix.AF_INET6},
		{in: "[::]:1", family: unix.AF_INET6},
		{in: "[::ffff:192.0.2.7]:80", out: "192.0.2.7:80", family: unix.AF_INET},
		{in: "[fe80::1%" + lo.Name + "]:80", out: "[fe80::1]:80", family: unix.AF_INET6, zone: 1},
		{in: "[fe80::1%7]:80", out: "[fe80::1]:80", family: unix.AF_INET6, zone: 7},
		{in: "[fe80::1%no-such-interface]:80", out: "[fe80::1]:80", family: unix.AF_INET6},
		{in: "[fe80::1%99999999999]:80", out: "[fe80::1]:80", family: unix.AF_INET6},
	}
	for _, tt := range tests {
		if tt.out == "" {
			tt.out = tt.in
		}
		s := NewSockaddr(netip.MustParseAddrPort(tt.in))
		if got := s.AddrPort().String(); got != tt.out {
			t.Errorf("%s comes back as %s, want %s", tt.in, got, tt.out)
		}
		if s.raw.Family != tt.family {
			t.Errorf("%s has family %d, want %d", tt.in, s.raw.Family, tt.family)
		}
		if tt.family == unix.AF_INET6 && s.raw.Scope_id != tt.zone {
			t.Errorf("%s has scope %d, want %d", tt.in, s.raw.Scope_id, tt.zone)
		}
	}
	var zero Sockaddr
	if got := zero.AddrPort(); got.IsValid() {
		t.Errorf("the zero Sockaddr is %v", got)
	}
	// A connection to a dual-stack listener shows its IPv4 peer as such.
	mapped := Sockaddr{raw: unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddr("::ffff:192.0.2.7").As16()}}
	if got := mapped.AddrPort().Addr().String(); got != "192.0.2.7" {
		t.Errorf("a mapped peer is %s", got)
	}
}

func TestSocketOptions(t *testing.T) {
	client, server := tcpPair(t)
	closeAtEnd(t, client, server)
	if option(t, client, unix.IPPROTO_TCP, unix.TCP_NODELAY) != 0 {
		t.Fatal("a fresh socket has TCP_NODELAY")
	}
	SetNoDelay(client)
	if option(t, client, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 {
		t.Error("SetNoDelay sets nothing")
	}
	keepIdle := option(t, client, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	SetLiveness(client, 0, 0)
	if option(t, client, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 || option(t, client, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) != keepIdle {
		t.Error("SetLiveness of nothing sets something")
	}
	SetLiveness(client, 30*time.Second, 1500*time.Microsecond)
	wantLiveness(t, client, 30, 10, 2)
}

func option(t *testing.T, fd, level, name int) int {
	t.Helper()
	v, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantLiveness(t *testing.T, fd, idle, interval, userTimeout int) {
	t.Helper()
	if option(t, fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
		t.Error("keepalive is off")
	}
	for _, tt := range []struct {
		name         string
		option, want int
	}{
		{"TCP_KEEPIDLE", unix.TCP_KEEPIDLE, idle},
		{"TCP_KEEPINTVL", unix.TCP_KEEPINTVL, interval},
		{"TCP_USER_TIMEOUT", unix.TCP_USER_TIMEOUT, userTimeout},
	} {
		if got := option(t, fd, unix.IPPROTO_TCP, tt.option); got != tt.want {
			t.Errorf("%s is %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestStreamCallsAllocateNothing(t *testing.T) {
	a, b := socketPair(t)
	closeAtEnd(t, a, b)
	buf := make([]byte, 16)
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	defer closeFD(ln)
	addr := NewSockaddr(at)
	var peer Sockaddr
	if n := testing.AllocsPerRun(200, func() {
		_, _ = Write(a, buf[:4])
		_, _ = Read(b, buf)
		_ = SocketError(a)
		client, _ := Connect(&addr)
		server, _ := Accept(ln, &peer)
		_ = peer.AddrPort()
		SetAbort(client)
		closeFD(client)
		if server >= 0 {
			closeFD(server)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
