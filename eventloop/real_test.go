package eventloop

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patienceOfTests bounds every wait for something that has to come.
const patienceOfTests = 10 * time.Second

// rig turns a loop over the kernel's epoll on the test's own goroutine, and notes what it delivers.
type rig struct {
	*Loop
	t     *testing.T
	h     HandlerID
	beat  HandlerID
	seen  map[uint32]Events // all bits so far, by arg
	calls map[uint32]int
	then  func(tok Token, arg uint32, ev Events) // called after an event was noted
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Destroy)
	r := &rig{Loop: l, t: t, seen: map[uint32]Events{}, calls: map[uint32]int{}}
	r.h = l.Handle(r)
	r.beat = l.HandleTimers(onExpired(func(uint32) {}))
	return r
}

func (r *rig) Ready(tok Token, arg uint32, ev Events) {
	r.seen[arg] |= ev
	r.calls[arg]++
	if r.then != nil {
		r.then(tok, arg, ev)
	}
}

// turn turns the loop once, within a few milliseconds.
func (r *rig) turn() {
	r.t.Helper()
	id := r.StartTimer(r.ReadClock()+int64(time.Millisecond), r.beat, 0)
	if err := r.turnOnce(); err != nil {
		r.t.Fatal(err)
	}
	r.StopTimer(id)
}

// until turns the loop until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patienceOfTests); !holds(); r.turn() {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// sees turns the loop until these bits were delivered for arg.
func (r *rig) sees(arg uint32, want Events) {
	r.t.Helper()
	r.until(fmt.Sprintf("events %#x for %d", want, arg), func() bool { return r.seen[arg]&want == want })
}

// quiet turns the loop until a socket registered later has reported, by when whatever was there for others has come too, and
// then checks that arg was not called.
func (r *rig) quiet(arg uint32) {
	r.t.Helper()
	const marker = 1 << 31
	calls := r.calls[arg]
	delete(r.seen, marker)
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		r.t.Fatal(err)
	}
	tok := register(r.t, r.Loop, fd, r.h, marker)
	r.sees(marker, Readable)
	r.turn()
	r.Close(tok)
	r.turn()
	if n := r.calls[arg] - calls; n != 0 {
		r.t.Errorf("%d was called %d times with nothing new, the last with %#x", arg, n, r.seen[arg])
	}
}

func (r *rig) register(fd int, arg uint32, interest Events) Token {
	r.t.Helper()
	tok, err := r.Register(fd, r.h, arg, interest)
	if err != nil {
		r.t.Fatal(err)
	}
	return tok
}

// stream is the interest of a connection, as architecture.md has it.
const stream = Readable | Writable | PeerClosed | Urgent

func newSocketPair() (ours, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fds[0], fds[1], err
}

func socketPair(t *testing.T) (ours, theirs int) {
	t.Helper()
	ours, theirs, err := newSocketPair()
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// listenOn opens one listening socket, which the caller closes.
func listenOn(t *testing.T, o ListenOptions) (fd int, at netip.AddrPort) {
	t.Helper()
	fds, err := Listen(o, 1)
	if err != nil {
		t.Fatal(err)
	}
	if at, err = ListeningOn(fds[0]); err != nil {
		t.Fatal(err)
	}
	return fds[0], at
}

// connectTo connects and waits until that is done.
func connectTo(t *testing.T, at netip.AddrPort) int {
	t.Helper()
	addr := NewSockaddr(at)
	fd, e := Connect(&addr)
	if e != 0 {
		t.Fatalf("connect to %s: %v", at, e)
	}
	awaits(t, fd, unix.POLLOUT)
	if e := SocketError(fd); e != 0 {
		t.Fatalf("connect to %s: %v", at, e)
	}
	return fd
}

// acceptFrom accepts a connection that is coming.
func acceptFrom(t *testing.T, listener int) (int, netip.AddrPort) {
	t.Helper()
	awaits(t, listener, unix.POLLIN)
	var peer Sockaddr
	fd, e := Accept(listener, &peer)
	if e != 0 {
		t.Fatalf("accept: %v", e)
	}
	return fd, peer.AddrPort()
}

// tcpPair returns both ends of a connection, which the caller closes.
func tcpPair(t *testing.T) (client, server int) {
	t.Helper()
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	defer closeFD(ln)
	client = connectTo(t, at)
	server, _ = acceptFrom(t, ln)
	return client, server
}

// awaits waits until the descriptor has one of these poll(2) events.
func awaits(t *testing.T, fd int, events int16) {
	t.Helper()
	for end := time.Now().Add(patienceOfTests); time.Now().Before(end); {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 100)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatalf("descriptor %d never had events %#x", fd, events)
}

// closeAtEnd closes descriptors at the test's end.
func closeAtEnd(t *testing.T, fds ...int) {
	fds = slices.Clone(fds)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
}

// within fails the test if the channel isn't closed, or sent to, in time.
func within[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patienceOfTests):
		t.Fatalf("waited in vain for %s", what)
	}
}

// running returns a loop that runs on a goroutine of its own until the test's end.
func running(t *testing.T, o Options) *Loop {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	t.Cleanup(func() {
		l.Stop()
		within(t, "Run to return", l.Stopped())
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		l.Destroy()
	})
	return l
}

// fileOf makes an os.File of a descriptor, which belongs to it from now on.
func fileOf(fd int) *os.File { return os.NewFile(uintptr(fd), "descriptor") }

// openFDs counts the process's descriptors.
func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
