package tcp

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"weir/l4"
)

// fewDescriptors marks the process that TestFewDescriptors starts, whose other tests could not live with its limit.
const fewDescriptors = "WEIR_TEST_FEW_DESCRIPTORS"

// A process without descriptors: accepting pauses and is counted, the loop rests, who is in stays in, and when descriptors are free again
// those in the queue come in. Its max_connections is far more than fits.
func TestFewDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) != "" {
		runOutOfDescriptors(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFewDescriptors$", "-test.v", "-test.timeout=40s")
	cmd.Env = append(os.Environ(), fewDescriptors+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// openFiles returns the process's descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names) - 1 // the directory's own
}

func echoAndClose(c *net.TCPConn) {
	echo(c)
	_ = c.Close()
}

func runOutOfDescriptors(t *testing.T) {
	b := newBackend(t) // accepts only while there are descriptors: it is in this process too
	r := newRig(t, rigOptions{max: 1 << 20, settings: Settings{MaxConnections: 1 << 20}}, b.addr)
	counters := &r.listener.Loops[0]
	var in []*net.TCPConn
	for range 3 {
		c, server := r.pair(b)
		go echoAndClose(server)
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		in = append(in, c)
	}
	var idle int64
	r.do(0, func(p *Proxy) { // pipes that nobody uses, whose descriptors are to be had
		pipe, err := p.loop.LeasePipe()
		if err != nil {
			t.Error(err)
		}
		p.loop.ReturnPipe(pipe)
		idle = p.loop.Stats().Pipes
	})
	if idle != 1 {
		t.Fatalf("%d pipes", idle)
	}

	// The client's end is there before the descriptors go: weir's and the endpoint's can't be.
	var next [2]int
	for i := range next {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		next[i] = fd
	}
	at, err := net.ResolveTCPAddr("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	var all unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &all); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: uint64(openFiles(t) + 8), Max: all.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var hogs []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		hogs = append(hogs, fd)
	}
	connect := func(fd int) {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: at.Port}); err != nil {
			t.Fatal(err)
		}
	}

	// The idle pipe's two descriptors are enough for a client and its connection to the endpoint.
	connect(next[0])
	r.eventually("the idle pipe made room", func() bool { return r.shared.Active() == 4 && r.loops[0].Stats().Pipes == 0 })
	connect(next[1])
	r.eventually("accepting pauses again and again", func() bool { return counters.PausesFiles.Load() >= 3 })
	paused, turns := counters.PausesFiles.Load(), r.loops[0].Stats().Batches
	r.eventually("ten pauses more", func() bool { return counters.PausesFiles.Load() >= paused+10 })
	if n := r.loops[0].Stats().Batches - turns; n > 200 {
		t.Fatalf("the loop turned %d times in ten pauses", n)
	}
	for _, c := range in {
		mustWrite(t, c, "still in")
		mustRead(t, c, "still in")
	}

	for _, fd := range hogs {
		_ = unix.Close(fd)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &all); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range len(next) + 1 {
			go echoAndClose(b.accept())
		}
	}()
	r.eventually("who waited is in", func() bool { return r.shared.Active() == 5 })
	after := counters.PausesFiles.Load()
	r.hello()
	if n := counters.PausesFiles.Load(); n != after {
		t.Fatalf("%d more pauses with descriptors to be had", n-after)
	}
	for _, fd := range next {
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
		if _, err := unix.Write(fd, []byte("me too")); err != nil {
			t.Fatal(err)
		}
		var got [6]byte
		if n, err := unix.Read(fd, got[:]); err != nil || string(got[:n]) != "me too" {
			t.Fatalf("read %q and %v", got[:n], err)
		}
		_ = unix.Close(fd)
	}
	for _, c := range in {
		_ = c.CloseWrite()
		mustEOF(t, c)
	}
	r.wantClosed(l4.DownstreamClosed, 6)
	if n := counters.AcceptErrors.Load(); n != 0 {
		t.Fatalf("%d accept errors", n)
	}
}
