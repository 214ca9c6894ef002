package eventloop

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListenOnePortForAll(t *testing.T) {
	fds, err := Listen(ListenOptions{Addr: loopback}, 3)
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
		t.Errorf("listening on %s", first)
	}
	for _, fd := range fds {
		if at, err := ListeningOn(fd); err != nil || at != first {
			t.Errorf("listening on %s, %v; want %s", at, err, first)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
			t.Error("a listening socket blocks")
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Error("a listening socket would be inherited by another program")
		}
	}
	// Any number of connections is shared out; none is lost.
	const clients = 30
	for range clients {
		closeAtEnd(t, connectTo(t, first))
	}
	accepted := 0
	for _, fd := range fds {
		var peer Sockaddr
		for {
			server, e := Accept(fd, &peer)
			if e == unix.EAGAIN {
				break
			} else if e != 0 {
				t.Fatal(e)
			}
			accepted++
			closeAtEnd(t, server)
		}
	}
	if accepted != clients {
		t.Errorf("accepted %d of %d connections", accepted, clients)
	}
	// The port is taken for others, free to whoever shares it.
	more, err := Listen(ListenOptions{Addr: first}, 1)
	if err != nil {
		t.Errorf("one more socket on %s: %v", first, err)
	}
	closeAtEnd(t, more...)
}

func TestListenAddresses(t *testing.T) {
	tests := []struct {
		name   string
		o      ListenOptions
		at     string // the address it says it has
		v4, v6 bool   // who may connect
	}{
		{name: "IPv4", o: ListenOptions{Addr: loopback}, at: "127.0.0.1", v4: true},
		{name: "IPv4 wildcard", o: ListenOptions{Addr: netip.MustParseAddrPort("0.0.0.0:0")}, at: "0.0.0.0", v4: true},
		{name: "IPv4, V6Only", o: ListenOptions{Addr: loopback, V6Only: true}, at: "127.0.0.1", v4: true},
		{name: "IPv4-mapped", o: ListenOptions{Addr: netip.MustParseAddrPort("[::ffff:127.0.0.1]:0")}, at: "127.0.0.1", v4: true},
		{name: "IPv6", o: ListenOptions{Addr: netip.MustParseAddrPort("[::1]:0")}, at: "::1", v6: true},
		{name: "dual-stack", o: ListenOptions{Addr: netip.MustParseAddrPort("[::]:0")}, at: "::", v4: true, v6: true},
		{name: "IPv6 alone", o: ListenOptions{Addr: netip.MustParseAddrPort("[::]:0"), V6Only: true}, at: "::", v6: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ln, at := listenOn(t, tt.o)
			defer closeFD(ln)
			if at.Addr().String() != tt.at {
				t.Errorf("listening on %s, want %s", at, tt.at)
			}
			for ip, want := range map[string]bool{"127.0.0.1": tt.v4, "::1": tt.v6} {
				addr := NewSockaddr(netip.AddrPortFrom(netip.MustParseAddr(ip), at.Port()))
				fd, e := Connect(&addr)
				if e == 0 {
					awaits(t, fd, unix.POLLOUT|unix.POLLERR)
					e = SocketError(fd)
					closeFD(fd)
				}
				if (e == 0) != want {
					t.Errorf("connecting to %s: %v, want success: %v", ip, e, want)
				}
			}
		})
	}
}

// What a connection is to have is set on the listening socket, and inherited.
func TestListenOptionsAreInherited(t *testing.T) {
	ln, at := listenOn(t, ListenOptions{
		Addr: loopback, Backlog: 7, Congestion: "reno", FastOpen: true, DeferAccept: true,
		Keepalive: 75 * time.Second, UserTimeout: 30 * time.Second,
	})
	client := connectTo(t, at)
	closeAtEnd(t, ln, client)
	if option(t, ln, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT) == 0 || option(t, ln, unix.IPPROTO_TCP, unix.TCP_FASTOPEN) == 0 {
		t.Error("TCP_DEFER_ACCEPT or TCP_FASTOPEN is not set")
	}
	write(t, client, "x") // which is what a deferred accept waits for
	server, _ := acceptFrom(t, ln)
	closeAtEnd(t, server)
	wantLiveness(t, server, 75, 25, 30_000)
	if option(t, server, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 {
		t.Error("TCP_NODELAY is off")
	}
	name, err := unix.GetsockoptString(server, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil || strings.TrimRight(name, "\x00") != "reno" {
		t.Errorf("congestion control %q, %v", name, err)
	}
	// The backlog: tcpi_sacked of a listening socket (tcp(7), TCP_INFO) is its queue's length at most.
	info, err := unix.GetsockoptTCPInfo(ln, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil || info.Sacked != 7 {
		t.Errorf("the backlog is %d, %v; want 7", info.Sacked, err)
	}
}

func TestListenDefaults(t *testing.T) {
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	client := connectTo(t, at)
	server, _ := acceptFrom(t, ln)
	closeAtEnd(t, ln, client, server)
	if option(t, server, unix.IPPROTO_TCP, unix.TCP_NODELAY) == 0 {
		t.Error("TCP_NODELAY is off")
	}
	if option(t, server, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 0 {
		t.Error("keepalive is on")
	}
}

func TestListenFails(t *testing.T) {
	// A socket that does not share its port.
	alone, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, alone)
	if err := unix.Bind(alone, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(alone, 1); err != nil {
		t.Fatal(err)
	}
	taken, err := ListeningOn(alone)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		o    ListenOptions
		want string // in the error's text
	}{
		{"a taken port", ListenOptions{Addr: taken}, taken.String()},
		{"an address of others", ListenOptions{Addr: netip.MustParseAddrPort("192.0.2.1:0")}, "192.0.2.1"},
		{"no address", ListenOptions{}, "listen on"},
		{"unknown congestion control", ListenOptions{Addr: loopback, Congestion: "no-such"}, `congestion control "no-such"`},
		{"keepalive beyond the kernel's", ListenOptions{Addr: loopback, Keepalive: 1 << 62}, "TCP_KEEPIDLE"},
	}
	openFDs(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := openFDs(t)
			fds, err := Listen(tt.o, 2)
			if err == nil || fds != nil {
				t.Fatalf("Listen gives %v, %v; want an error", fds, err)
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

func TestListenFailsHalfway(t *testing.T) {
	openFDs(t)
	before := openFDs(t)
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	next := openFD(t)
	closeFD(next)
	// Room for one or two more descriptors, not for eight.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(next) + 2, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	fds, err := Listen(ListenOptions{Addr: loopback}, 64)
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); back != nil {
		t.Fatal(back)
	}
	if err == nil || fds != nil {
		t.Errorf("Listen gives %d sockets, %v; want an error", len(fds), err)
	}
	if n := openFDs(t) - before; n != 0 {
		t.Errorf("%d descriptors left open", n)
	}
}

func TestImportRefuses(t *testing.T) {
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(udp, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	local, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(local, &unix.SockaddrUnix{Name: t.TempDir() + "/socket"}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(local, 1); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	client, server := tcpPair(t)
	closeAtEnd(t, server)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		f    *os.File
	}{
		{"a UDP socket", fileOf(udp)},
		{"a listening Unix socket", fileOf(local)},
		{"a socket that doesn't listen", fileOf(bound)},
		{"a connected socket", fileOf(client)},
		{"a file", file},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := openFDs(t)
			fd, _, err := Import(tt.f)
			if err == nil || fd != -1 {
				t.Fatalf("Import gives %d, %v; want an error", fd, err)
			}
			if n := openFDs(t) - before; n != -1 {
				t.Errorf("%d descriptors more, want one less: Import closes what it was given", n)
			}
		})
	}
	if fd, _, err := Import(nil); err == nil || fd != -1 {
		t.Errorf("Import of nothing gives %d, %v", fd, err)
	}
	if f, err := Export(noFD(0)); err == nil || f != nil {
		t.Errorf("Export of a closed descriptor gives %v, %v", f, err)
	}
}
