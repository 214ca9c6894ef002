package eventloop

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// connectedDatagrams opens a UDP socket as flows have it and connects it; it ends with the test.
func connectedDatagrams(t testing.TB, to *Sockaddr) int {
	t.Helper()
	fd, e := NewDatagramSocket(to.Is6(), DatagramOptions{})
	if e != 0 {
		t.Fatal(e)
	}
	t.Cleanup(func() { closeFD(fd) })
	if e := ConnectDatagrams(fd, to); e != 0 {
		t.Fatal(e)
	}
	return fd
}

func TestListenDatagramsOnePortForAll(t *testing.T) {
	fds, err := ListenDatagrams(DatagramOptions{Addr: loopback}, 3)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, fds...)
	if len(fds) != 3 {
		t.Fatalf("%d sockets, want 3", len(fds))
	}
	first, err := ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	if first.Port() == 0 || first.Addr() != loopback.Addr() {
		t.Errorf("bound to %s", first)
	}
	for _, fd := range fds {
		if at, err := ListeningOn(fd); err != nil || at != first {
			t.Errorf("bound to %s, %v; want %s", at, err, first)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
			t.Error("a socket blocks")
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Error("a socket would be inherited by another program")
		}
	}
	// What clients send is shared out; nothing is lost, nothing doubled.
	const clients = 30
	for range clients {
		otherAt(t, "127.0.0.1").send(first, []byte("x"))
	}
	in, came := NewInbox(clients+1), map[netip.AddrPort]int{}
	all := []unix.PollFd{{Fd: int32(fds[0]), Events: unix.POLLIN}, {Fd: int32(fds[1]), Events: unix.POLLIN}, {Fd: int32(fds[2]), Events: unix.POLLIN}}
	for len(came) < clients {
		if n, err := unix.Poll(all, int(patienceOfTests.Milliseconds())); n == 0 {
			t.Fatalf("%d of %d clients were heard, %v", len(came), clients, err)
		}
		in.Reset()
		for _, fd := range fds {
			_, _, _ = in.Receive(fd, in.Room())
		}
		for i := range in.Len() {
			came[in.At(i).From.AddrPort()]++
		}
	}
	for from, n := range came {
		if n != 1 {
			t.Errorf("%d datagrams from %s, want 1", n, from)
		}
	}
	// The port is taken for others, free to whoever shares it.
	more, err := ListenDatagrams(DatagramOptions{Addr: first}, 1)
	if err != nil {
		t.Errorf("one more socket on %s: %v", first, err)
	}
	closeAtEnd(t, more...)
}

func TestListenDatagramsAddresses(t *testing.T) {
	tests := []struct {
		name, listen, at string // the address it says it has
		v6only           bool
		v4, v6           bool // who is heard
	}{
		{name: "IPv4", listen: "127.0.0.1", at: "127.0.0.1", v4: true},
		{name: "IPv4 wildcard", listen: "0.0.0.0", at: "0.0.0.0", v4: true},
		{name: "IPv4, V6Only", listen: "127.0.0.1", at: "127.0.0.1", v6only: true, v4: true},
		{name: "IPv4-mapped", listen: "::ffff:127.0.0.1", at: "127.0.0.1", v4: true},
		{name: "IPv6", listen: "::1", at: "::1", v6: true},
		{name: "dual-stack", listen: "::", at: "::", v4: true, v6: true},
		{name: "IPv6 alone", listen: "::", at: "::", v6only: true, v6: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fd, at := datagramSocket(t, DatagramOptions{Addr: netip.AddrPortFrom(netip.MustParseAddr(tt.listen), 0), V6Only: tt.v6only})
			if at.Addr().String() != tt.at {
				t.Errorf("bound to %s, want %s", at, tt.at)
			}
			in := NewInbox(1)
			for ip, want := range map[string]bool{"127.0.0.1": tt.v4, "::1": tt.v6} {
				addr := NewSockaddr(netip.AddrPortFrom(netip.MustParseAddr(ip), at.Port()))
				client, e := NewDatagramSocket(addr.Is6(), DatagramOptions{})
				if e == 0 {
					defer closeFD(client)
					e = ConnectDatagrams(client, &addr)
				}
				if e != 0 {
					if addr.Is6() && !want {
						continue // no IPv6 here
					}
					t.Fatal(e)
				}
				if _, e := Write(client, []byte(ip)); e != 0 {
					t.Fatal(e)
				}
				if !want {
					awaits(t, client, unix.POLLERR)
					continue
				}
				in.Reset()
				if a := in.At(receive(t, in, fd, 1)); string(a.Payload) != ip {
					t.Errorf("got %q", a.Payload)
				}
			}
			if _, _, e := in.Receive(fd, 1); in.Room() == 1 && e != unix.EAGAIN {
				t.Errorf("more came: %v", e)
			}
		})
	}
}

func TestListenDatagramsFails(t *testing.T) {
	taken := otherAt(t, "127.0.0.1").at // by a socket that does not share its port
	tests := []struct {
		name string
		addr netip.AddrPort
		want string // in the error's text
	}{
		{"a taken port", taken, taken.String()},
		{"an address of others", netip.MustParseAddrPort("192.0.2.1:0"), "192.0.2.1"},
		{"no address", netip.AddrPort{}, "listen on"},
	}
	openFDs(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := openFDs(t)
			fds, err := ListenDatagrams(DatagramOptions{Addr: tt.addr}, 2)
			if err == nil || fds != nil {
				closeAtEnd(t, fds...)
				t.Fatalf("ListenDatagrams gives %v, %v; want an error", fds, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %q, want %q in it", err, tt.want)
			}
			if n := openFDs(t) - before; n != 0 {
				t.Errorf("%d descriptors left open", n)
			}
		})
	}
}

func TestListenDatagramsFailsHalfway(t *testing.T) {
	openFDs(t)
	DatagramFeatures() // which has a descriptor for a moment
	before := openFDs(t)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	next := openFD(t)
	closeFD(next)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next) + 2, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	fds, err := ListenDatagrams(DatagramOptions{Addr: loopback}, 64)
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); back != nil {
		t.Fatal(back)
	}
	if err == nil || fds != nil {
		t.Errorf("ListenDatagrams gives %d sockets, %v; want an error", len(fds), err)
	}
	if n := openFDs(t) - before; n != 0 {
		t.Errorf("%d descriptors left open", n)
	}
}

// The options are what a socket has when it is opened, and when they change while it is open.
func TestDatagramOptions(t *testing.T) {
	plain := DatagramOptions{Addr: loopback}
	for _, six := range []bool{false, true} {
		if six {
			plain.Addr = netip.MustParseAddrPort("[::1]:0")
		}
		other := plain
		other.DontFragment, other.NoOffload, other.Receive, other.Send = true, true, 100_000, 50_000
		for _, o := range []DatagramOptions{plain, other} {
			fd, _ := datagramSocket(t, o)
			wantDatagramOptions(t, fd, six, o)
			for _, change := range []DatagramOptions{other, plain, other} {
				SetDatagramOptions(fd, six, change)
				wantDatagramOptions(t, fd, six, change)
			}
		}
		fd, e := NewDatagramSocket(six, other)
		if e != 0 {
			t.Fatal(e)
		}
		wantDatagramOptions(t, fd, six, other)
		closeFD(fd)
	}
}

func wantDatagramOptions(t *testing.T, fd int, six bool, o DatagramOptions) {
	t.Helper()
	discover := unix.IP_PMTUDISC_WANT
	if o.DontFragment {
		discover = unix.IP_PMTUDISC_DO
	}
	if got := option(t, fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); got != discover {
		t.Errorf("%+v: IP_MTU_DISCOVER is %d", o, got)
	}
	if six {
		if got := option(t, fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER); got != discover {
			t.Errorf("%+v: IPV6_MTU_DISCOVER is %d", o, got)
		}
	}
	if DatagramFeatures().Coalesce {
		if got := option(t, fd, unix.IPPROTO_UDP, unix.UDP_GRO); got != truth(!o.NoOffload) {
			t.Errorf("%+v: UDP_GRO is %d", o, got)
		}
	}
	receive, send, err := DatagramBuffers(fd)
	if err != nil || o.Receive > 0 && receive != o.Receive || o.Send > 0 && send != o.Send {
		t.Errorf("%+v: buffers of %d and %d, %v", o, receive, send, err)
	}
}

// What the kernel gave is told, be it more or less than what was asked for.
func TestDatagramBuffers(t *testing.T) {
	fd, _ := datagramSocket(t, DatagramOptions{Addr: loopback, Receive: 1, Send: 1 << 30})
	receive, send, err := DatagramBuffers(fd)
	if err != nil || receive <= 1 || receive != option(t, fd, unix.SOL_SOCKET, unix.SO_RCVBUF)/2 || send != option(t, fd, unix.SOL_SOCKET, unix.SO_SNDBUF)/2 {
		t.Errorf("%d, %d, %v", receive, send, err)
	}
	if _, _, err := DatagramBuffers(noFD(0)); err == nil || !strings.Contains(err.Error(), "SO_RCVBUF") {
		t.Errorf("of no socket: %v", err)
	}
}

// A socket that is lent to one flow after another: each has a port of its own, and nothing of the one before.
func TestConnectAndDisconnect(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			first, second := otherAt(t, ip), otherAt(t, ip)
			toFirst, toSecond := NewSockaddr(first.at), NewSockaddr(second.at)
			fd := connectedDatagrams(t, &toFirst)
			in := NewInbox(8)
			ports := map[uint16]bool{}
			const rounds = 20
			for range rounds {
				own, err := ListeningOn(fd)
				if err != nil {
					t.Fatal(err)
				}
				ports[own.Port()] = true
				if _, e := Write(fd, []byte("hello")); e != 0 {
					t.Fatal(e)
				}
				if b, from, _ := first.next(); string(b) != "hello" || from != own {
					t.Errorf("%q from %s, want it from %s", b, from, own)
				}
				second.send(own, []byte("from a stranger"))
				first.send(own, []byte("read"), []byte("left"), nil, []byte("too"))
				if a := in.At(receive(t, in, fd, 1)); string(a.Payload) != "read" || a.From.AddrPort() != first.at {
					t.Errorf("%q from %s", a.Payload, a.From.AddrPort())
				}
				first.shut()
				if _, e := Write(fd, []byte("to nobody")); e != 0 {
					t.Fatal(e)
				}
				awaits(t, fd, unix.POLLERR)

				if e := DisconnectDatagrams(fd); e != 0 {
					t.Fatal(e)
				}
				if at, err := ListeningOn(fd); err != nil || at.Port() != 0 {
					t.Errorf("disconnected, it has %s, %v", at, err)
				}
				first.reopen()
				first.send(own, []byte("late")) // nobody's any more
				DiscardDatagrams(fd)
				if e := ConnectDatagrams(fd, &toSecond); e != 0 {
					t.Fatal(e)
				}
				in.Reset()
				if _, n, e := in.Receive(fd, 8); n != 0 || e != unix.EAGAIN {
					t.Errorf("%d datagrams or the error of the flow before: %v", n, e)
				}
				first, second, toFirst, toSecond = second, first, toSecond, toFirst
				for _, o := range []*other{first, second} {
					_ = SocketError(o.fd) // of what they sent to no port
				}
			}
			if len(ports) < rounds/2 {
				t.Errorf("%d different ports in %d rounds", len(ports), rounds)
			}
		})
	}
}

// Without a free port there is no connection.
func TestConnectWithoutPort(t *testing.T) {
	const localPortRange = 51 // IP_LOCAL_PORT_RANGE, of 6.3
	to := NewSockaddr(otherAt(t, "127.0.0.1").at)
	taken := otherAt(t, "0.0.0.0").at.Port()
	fd, e := NewDatagramSocket(false, DatagramOptions{})
	if e != 0 {
		t.Fatal(e)
	}
	defer closeFD(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, localPortRange, int(taken)<<16|int(taken)); err != nil {
		t.Skip("IP_LOCAL_PORT_RANGE: ", err)
	}
	if e := ConnectDatagrams(fd, &to); e != unix.EAGAIN {
		t.Errorf("%v, want EAGAIN", e)
	}
}

func TestDatagramsWithoutSocket(t *testing.T) {
	to := NewSockaddr(netip.MustParseAddrPort("127.0.0.1:9"))
	if e := ConnectDatagrams(noFD(0), &to); e != unix.EBADF {
		t.Errorf("ConnectDatagrams: %v", e)
	}
	if e := DisconnectDatagrams(noFD(0)); e != unix.EBADF {
		t.Errorf("DisconnectDatagrams: %v", e)
	}
}

// A flow's socket that the kernel gave the very port of its endpoint hears itself.
func TestDatagramsConnectedToItself(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			self := otherAt(t, ip)
			own := NewSockaddr(self.at)
			if e := ConnectDatagrams(self.fd, &own); e != 0 {
				t.Fatal(e)
			}
			if !ConnectedToItself(self.fd, self.at.Port()) {
				t.Error("not seen")
			}
			if ConnectedToItself(self.fd, self.at.Port()+1) {
				t.Error("seen at another port")
			}
			if e := DisconnectDatagrams(self.fd); e != 0 {
				t.Fatal(e)
			}
			if ConnectedToItself(self.fd, self.at.Port()) {
				t.Error("seen when it was disconnected")
			}
			fd := connectedDatagrams(t, &own)
			if ConnectedToItself(fd, self.at.Port()) {
				t.Error("a socket with a port of its own is taken for it")
			}
		})
	}
	// The same port on both sides, but not the same address.
	a := otherAt(t, "127.0.0.1")
	to := NewSockaddr(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), a.at.Port()))
	if e := ConnectDatagrams(a.fd, &to); e != 0 {
		t.Fatal(e)
	}
	if ConnectedToItself(a.fd, a.at.Port()) {
		t.Error("another address with the same port is taken for the socket's own")
	}
}
