package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIdleMemory holds a promise: 8,000 idle sessions cost at most 512 bytes of weir's own memory each.
func TestIdleMemory(t *testing.T) {
	const few, many, most = 1000, 8000, 512
	if len(raceFlag) > 0 {
		t.Skip("the race detector has memory of its own for every variable")
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur < 18_000 { // Go has raised it to the hard limit
		missing(t, "RLIMIT_NOFILE is %d: both ends of %d sessions need 18000", files.Cur, many)
	}
	h := newHolder(t)
	w := weir(t, simple(h.addr.String()))
	front := netip.MustParseAddrPort(w.at())
	pss := func(sessions int) int { // /stats has to wait: it takes memory, which is not the sessions'
		t.Helper()
		for len(h.fds) < 2*sessions {
			h.add(front)
		}
		return pssOf(t, w.cmd.Process.Pid)
	}
	atFew, atMany := pss(few), pss(many)
	if got := w.stats().Process.Connections.Active; got != many {
		t.Fatalf("%d sessions, want %d", got, many)
	}
	each := (atMany - atFew) / (many - few)
	t.Logf("Pss %d KiB with %d idle sessions, %d KiB with %d: %d bytes each", atFew>>10, few, atMany>>10, many, each)
	if each > most {
		t.Errorf("an idle session costs %d bytes, which is more than %d", each, most)
	}
	h.close()
	w.settled("downstream_closed")
}

// TestIdleMemoryUDP holds the same promise for flows.
func TestIdleMemoryUDP(t *testing.T) {
	const few, many, most = 1000, 8000, 512
	if len(raceFlag) > 0 {
		t.Skip("the race detector has memory of its own for every variable")
	}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if files.Cur < 9_000 {
		missing(t, "RLIMIT_NOFILE is %d: one end of %d flows needs 9000", files.Cur, many)
	}
	server := listenUDP(t)
	w := weir(t, datagrams("udp = { max_flows = 10000 }", server.LocalAddr().String()))
	front := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(w.at()))
	var clients []*net.UDPConn
	defer func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}()
	pss := func(flows int) int {
		t.Helper()
		for len(clients) < flows {
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, front) // weir's flows take as many ports of 127.0.0.1
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
			roundTrip(t, c, server)
		}
		return pssOf(t, w.cmd.Process.Pid)
	}
	atFew, atMany := pss(few), pss(many)
	if got := w.lossless().Connections.Active; got != many {
		t.Fatalf("%d flows, want %d", got, many)
	}
	each := (atMany - atFew) / (many - few)
	t.Logf("Pss %d KiB with %d idle flows, %d KiB with %d: %d bytes each", atFew>>10, few, atMany>>10, many, each)
	if each > most {
		t.Errorf("an idle flow costs %d bytes, which is more than %d", each, most)
	}
}

// roundTrip sends 64 bytes from a client to a server, and others back.
func roundTrip(t *testing.T, client, server *net.UDPConn) {
	t.Helper()
	b := make([]byte, 100)
	deadline := time.Now().Add(patience)
	_, _ = client.SetDeadline(deadline), server.SetDeadline(deadline)
	if _, err := client.Write(b[:64]); err != nil {
		t.Fatal(err)
	}
	n, from, err := server.ReadFromUDPAddrPort(b)
	if err != nil || n != 64 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if _, err := server.WriteToUDPAddrPort(b[:n], from); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(b); err != nil || n != 64 {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

// pssOf is the memory of a process, in bytes; what it shares counts by its share.
func pssOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^Pss: +(\d+) kB$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("smaps_rollup without Pss:\n%s", text)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// holder holds both ends of sessions, as bare descriptors.
type holder struct {
	t        *testing.T
	addr     netip.AddrPort // where it listens
	listener int
	fds      []int // client, server, client, server, ...
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	h := &holder{t: t, listener: streamSocket(t)}
	t.Cleanup(func() {
		h.close()
		_ = unix.Close(h.listener)
	})
	if err := unix.Bind(h.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(h.listener, 128); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(h.listener)
	if err != nil {
		t.Fatal(err)
	}
	in4 := at.(*unix.SockaddrInet4)
	h.addr = netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port))
	return h
}

func streamSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// wait waits until a descriptor is readable or writable.
func (h *holder) wait(fd int, events int16) {
	h.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 1000)
		if n > 0 {
			return
		}
		if err != nil && err != unix.EINTR {
			h.t.Fatalf("poll: %v", err)
		}
	}
	h.t.Fatalf("a connection is not ready within %s", patience)
}

// add makes one session more, with one round trip.
func (h *holder) add(front netip.AddrPort) {
	h.t.Helper()
	client := streamSocket(h.t)
	h.fds = append(h.fds, client)
	err := unix.Connect(client, &unix.SockaddrInet4{Addr: front.Addr().As4(), Port: int(front.Port())})
	if err != nil && err != unix.EINPROGRESS {
		h.t.Fatalf("connect: %v", err)
	}
	h.wait(client, unix.POLLOUT)
	h.wait(h.listener, unix.POLLIN)
	server, _, err := unix.Accept4(h.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		h.t.Fatalf("accept4: %v", err)
	}
	h.fds = append(h.fds, server)
	h.pass(client, server)
	h.pass(server, client)
}

// pass sends 64 bytes one way.
func (h *holder) pass(from, to int) {
	h.t.Helper()
	b := make([]byte, 64)
	if n, err := unix.Write(from, b); n != len(b) {
		h.t.Fatalf("write: %d bytes, %v", n, err)
	}
	for n := 0; n < len(b); {
		h.wait(to, unix.POLLIN)
		k, err := unix.Read(to, b[n:])
		if err != nil || k == 0 {
			h.t.Fatalf("read: %d bytes, %v", k, err)
		}
		n += k
	}
}

// close ends all sessions, each by its client.
func (h *holder) close() {
	for _, fd := range h.fds {
		_ = unix.Close(fd)
	}
	h.fds = nil
}
