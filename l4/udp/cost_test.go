package udp

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4/flow"
)

// rawEnds are a client and an endpoint as bare blocking sockets, so that nothing but the code under test can allocate.
type rawEnds struct {
	t              testing.TB
	client, server int
	peer           unix.RawSockaddrInet4 // what the endpoint has heard of last
	room           [1 << 16]byte
}

func newRawEnds(t testing.TB) (*rawEnds, netip.AddrPort) {
	t.Helper()
	e := &rawEnds{t: t}
	var at netip.AddrPort
	for _, fd := range []*int{&e.client, &e.server} {
		var err error
		if *fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(*fd) })
		if err := unix.Bind(*fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptTimeval(*fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(waiting / time.Second)}); err != nil {
			t.Fatal(err)
		}
		_ = unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
		if at, err = eventloop.ListeningOn(*fd); err != nil {
			t.Fatal(err)
		}
	}
	return e, at
}

// aim has the client write to an address and hear no other.
func (e *rawEnds) aim(to netip.AddrPort) {
	e.t.Helper()
	if err := unix.Connect(e.client, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *rawEnds) ask(b []byte) {
	if _, _, errno := unix.Syscall(unix.SYS_WRITE, uintptr(e.client), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))); errno != 0 {
		e.t.Fatal(errno)
	}
}

// heard is the endpoint's receipt of n bytes, answer what it sends to whom it heard last.
func (e *rawEnds) heard(n int) {
	size := uint32(unsafe.Sizeof(e.peer))
	e.received(e.server, n, uintptr(unsafe.Pointer(&e.peer)), uintptr(unsafe.Pointer(&size)))
}

func (e *rawEnds) answer(b []byte) {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(e.server), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0,
		uintptr(unsafe.Pointer(&e.peer)), unsafe.Sizeof(e.peer))
	if errno != 0 {
		e.t.Fatal(errno)
	}
}

func (e *rawEnds) answered(n int) { e.received(e.client, n, 0, 0) }

func (e *rawEnds) received(fd, n int, from, size uintptr) {
	for {
		// Not a raw call, which would keep its processor while it waits.
		got, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&e.room[0])), uintptr(len(e.room)), 0, from, size)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || int(got) != n {
			e.t.Fatal(errno, got, n)
		}
		return
	}
}

// roundTrip is one datagram there and back.
func (e *rawEnds) roundTrip(b []byte) {
	e.ask(b)
	e.heard(len(b))
	e.answer(b)
	e.answered(len(b))
}

// burst is some datagrams there and back.
func (e *rawEnds) burst(b []byte, n int) {
	for range n {
		e.ask(b)
	}
	for range n {
		e.heard(len(b))
	}
	for range n {
		e.answer(b)
	}
	for range n {
		e.answered(len(b))
	}
}

// allocsPerRun is testing.AllocsPerRun, but leaves the loop a processor of its own: with one for both each turn would wait for the scheduler.
func allocsPerRun(runs int, f func()) uint64 {
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / uint64(runs)
}

// Datagrams, bursts, and whole flows allocate nothing in steady state.
func TestNoAllocations(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		none := func(t *testing.T, what string, runs int, f func()) {
			t.Helper()
			if n := allocsPerRun(runs, f); n != 0 {
				t.Errorf("%s allocates %v times", what, n)
			}
		}
		b := make([]byte, 64)
		for _, kind := range []string{"flow", "quic", "wildcard"} {
			ends, at := newRawEnds(t)
			set := o
			set.settings.Rules = flow.Rules{Idle: time.Hour}
			if kind == "wildcard" {
				set.listen.Addr = netip.MustParseAddrPort("0.0.0.0:0")
			}
			r := newRig(t, set, at)
			if kind == "quic" {
				r.update(func(s *Settings) { s.QUIC = true })
				r.nameServers()
				copy(b, packet(false, server(0), ""))
			}
			ends.aim(netip.AddrPortFrom(at.Addr(), r.addr.Port()))
			for range 200 {
				ends.roundTrip(b)
			}
			none(t, kind+": a round trip", 200, func() { ends.roundTrip(b) })
			for range 20 {
				ends.burst(b, 100)
			}
			none(t, kind+": a burst", 20, func() { ends.burst(b, 100) })
			r.wantNoDrops()
		}

		ends, at := newRawEnds(t)
		o.settings.Rules = flow.Rules{Idle: time.Hour, Responses: 1}
		r := newRig(t, o, at)
		ends.aim(r.addr)
		for range 3000 { // slabs, lists and sockets at rest grow to what they will need
			ends.roundTrip(b)
		}
		before := r.began()
		none(t, "a whole flow", 300, func() { ends.roundTrip(b) })
		if n := r.began() - before; n < 300 {
			t.Errorf("%d flows began", n)
		}
		r.wantNoDrops()
	})
}

// An idle flow costs less than half a KiB of memory, with its part of the table, of the wheel and of the loop; the kernel's socket comes on top.
func TestFlowSize(t *testing.T) {
	const flows, most = 100_000, 512
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	table := flow.New[state](1, 0)
	rules := flow.Rules{Idle: time.Hour}
	for i := range flows {
		table.Insert(&flow.Key{Socket: uint32(i)}, &rules, 0)
	}
	each := int(heap()-before) / flows
	runtime.KeepAlive(table)
	const slot = 24 // of the loop: a registered descriptor
	all := each + int(unsafe.Sizeof(upstream{})) + slot
	t.Logf("state %d B, upstream %d B, an entry of the table with its share of the index and the wheel %d B: %d B",
		unsafe.Sizeof(state{}), unsafe.Sizeof(upstream{}), each, all)
	if all > most {
		t.Errorf("an idle flow takes %d B, want at most %d", all, most)
	}
}

func benchEnds(b *testing.B, o rigOptions) *rawEnds {
	ends, at := newRawEnds(b)
	ends.aim(newRig(b, o, at).addr)
	b.ReportAllocs()
	return ends
}

// BenchmarkRoundTrip is a 64 B round trip through the proxy in one flow.
func BenchmarkRoundTrip(b *testing.B) {
	ends := benchEnds(b, rigOptions{})
	msg := make([]byte, 64)
	for b.Loop() {
		ends.roundTrip(msg)
	}
}

// BenchmarkFlow is a flow with one 64 B question and answer.
func BenchmarkFlow(b *testing.B) {
	ends := benchEnds(b, rigOptions{settings: Settings{Rules: flow.Rules{Idle: time.Minute, Responses: 1}}})
	msg := make([]byte, 64)
	for b.Loop() {
		ends.roundTrip(msg)
	}
}

// BenchmarkBurst is 64 datagrams of 1,200 B there and back.
func BenchmarkBurst(b *testing.B) {
	ends := benchEnds(b, rigOptions{})
	msg := make([]byte, 1200)
	const n = 64
	b.SetBytes(2 * n * int64(len(msg)))
	for b.Loop() {
		ends.burst(msg, n)
	}
}
