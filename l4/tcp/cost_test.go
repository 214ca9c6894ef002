package tcp

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/access"
)

// rawEnds are the ends of sessions as bare blocking sockets, so that nothing but the code under test can allocate.
type rawEnds struct {
	t      testing.TB
	target unix.SockaddrInet4
	listen int
}

func newRawEnds(t testing.TB) (*rawEnds, string) {
	t.Helper()
	fds, err := eventloop.Listen(eventloop.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]) })
	if err := unix.SetNonblock(fds[0], false); err != nil {
		t.Fatal(err)
	}
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	return &rawEnds{t: t, listen: fds[0]}, at.String()
}

func (e *rawEnds) aim(addr string) {
	ap := netip.MustParseAddrPort(addr)
	e.target = unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
}

// session opens a session and returns both ends.
func (e *rawEnds) session() (client, server int) {
	client = e.connect()
	return client, e.accept()
}

// connect opens a client.
func (e *rawEnds) connect() int {
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	// Room for all that a test writes before it reads.
	if err := unix.SetsockoptInt(client, unix.SOL_SOCKET, unix.SO_RCVBUF, 2<<20); err != nil {
		e.t.Fatal(err)
	}
	if err := unix.Connect(client, &e.target); err != nil {
		e.t.Fatal(err)
	}
	return client
}

// accept returns the endpoint's side of a session.
func (e *rawEnds) accept() int {
	for {
		// Not eventloop.Accept: a raw call that blocks would keep the only processor that AllocsPerRun leaves. Not unix.Accept: it allocates.
		fd, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(e.listen), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			e.t.Fatal(errno)
		}
		return int(fd)
	}
}

func (e *rawEnds) pass(from, to int, b []byte) {
	if _, err := unix.Write(from, b); err != nil {
		e.t.Fatal(err)
	}
	for got := 0; got < len(b); {
		n, err := unix.Read(to, b[got:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			e.t.Fatal(n, err)
		}
		got += n
	}
}

// A message and a whole session allocate nothing in steady state.
func TestNoAllocations(t *testing.T) {
	ends, addr := newRawEnds(t)
	r := newRig(t, rigOptions{settings: Settings{IdleTimeout: 3600e9, HalfCloseTimeout: 300e9, Keepalive: 75e9}}, addr)
	ends.aim(r.addr)
	b := make([]byte, 64)
	client, server := ends.session()
	message := func() {
		ends.pass(client, server, b)
		ends.pass(server, client, b)
	}
	message()
	if n := testing.AllocsPerRun(100, message); n != 0 {
		t.Errorf("a round trip allocates %v times", n)
	}
	bulk := make([]byte, 1<<20)
	stream := func() { // promoted, spliced, held back and demoted
		for range 4 {
			ends.pass(server, client, bulk[:200<<10])
		}
		message()
	}
	stream()
	if n := testing.AllocsPerRun(10, stream); n != 0 {
		t.Errorf("a stream of 800 KiB allocates %v times", n)
	}
	session := func() {
		c, s := ends.session()
		ends.pass(c, s, b)
		ends.pass(s, c, b)
		_ = unix.Close(c)
		_, _ = unix.Read(s, b)
		_ = unix.Close(s)
	}
	for range 300 { // slabs, lists and the closing list grow to what they will need
		session()
	}
	if n := testing.AllocsPerRun(100, session); n != 0 {
		t.Errorf("a session allocates %v times", n)
	}
	if sum := r.bytes(); sum[1][1] == 0 {
		t.Error("nothing was spliced")
	}
}

// A session that waits for its place allocates nothing of its own in steady state: what there is is the node of the mailbox that brings its turn. Nor does
// counting its source allocate.
func TestNoAllocationsWaiting(t *testing.T) {
	ends, addr := newRawEnds(t)
	o := rigOptions{loops: 1, limits: l4.Limits{MaxConnections: 1, MaxPending: 10, PendingTimeout: time.Hour}}
	o.settings.Access = &access.Rules{MaxPerSource: 100, Rate: access.NewRate(1e9, 1e9)}
	r := newRig(t, o, addr)
	ends.aim(r.addr)
	b := make([]byte, 64)
	places := r.cluster.Places
	client, server := ends.session()
	relay := func() { // the next waits until this one goes
		next := ends.connect()
		for places.Waiting() == 0 {
			runtime.Gosched()
		}
		eventloop.SetAbort(client)
		_ = unix.Close(client)
		_ = unix.Close(server)
		client, server = next, ends.accept()
		ends.pass(client, server, b)
		ends.pass(server, client, b)
	}
	for range 300 {
		relay()
	}
	if n := testing.AllocsPerRun(100, relay); n > mailboxAllocates {
		t.Errorf("a session that waits allocates %v times", n)
	}
	if n := r.cluster.Loops[0].Waited.Load(); n < 401 {
		t.Errorf("only %d have waited", n)
	}
	_ = unix.Close(client)
	_ = unix.Close(server)
}

// BenchmarkRoundTrip is a 64 B round trip through the proxy over one connection.
func BenchmarkRoundTrip(b *testing.B) {
	ends, addr := newRawEnds(b)
	r := newRig(b, rigOptions{}, addr)
	ends.aim(r.addr)
	client, server := ends.session()
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		ends.pass(client, server, msg)
		ends.pass(server, client, msg)
	}
}

// BenchmarkSession is a connection with one 64 B request and answer.
func BenchmarkSession(b *testing.B) {
	ends, addr := newRawEnds(b)
	r := newRig(b, rigOptions{}, addr)
	ends.aim(r.addr)
	msg := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		c, s := ends.session()
		ends.pass(c, s, msg)
		ends.pass(s, c, msg)
		eventloop.SetAbort(c)
		_ = unix.Close(c)
		_ = unix.Close(s)
	}
}
