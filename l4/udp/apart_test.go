package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/l4"
	"weir/l4/flow"
	"weir/lb"
)

// apart marks the process that a test starts for itself, with limits that others could not live with.
const apart = "WEIR_TEST_APART"

// runApart runs a test in a process of its own, started with these attributes; false if that isn't permitted.
func runApart(t *testing.T, attributes *syscall.SysProcAttr, fn func(t *testing.T)) bool {
	t.Helper()
	if os.Getenv(apart) == t.Name() {
		fn(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), apart+"="+t.Name())
	cmd.SysProcAttr = attributes
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		return false
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return true
}

// inNetwork runs a test with a loopback of its own, of this MTU.
func inNetwork(t *testing.T, mtu int, fn func(t *testing.T)) {
	t.Helper()
	if !ownNetwork(t, mtu, fn) {
		t.Skip("needs root: a network namespace of its own")
	}
}

// quietly runs a test whose endpoints answer late in a network of its own, where it may. A port that an answer goes to may be somebody else's by
// then: one of another package's tests, which run at the same time.
func quietly(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	if !ownNetwork(t, 65536, fn) {
		fn(t)
	}
}

func ownNetwork(t *testing.T, mtu int, fn func(t *testing.T)) bool {
	t.Helper()
	return runApart(t, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, func(t *testing.T) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		request := struct {
			name  [unix.IFNAMSIZ]byte
			value int32
			_     [20]byte
		}{name: [unix.IFNAMSIZ]byte{'l', 'o'}}
		for _, r := range []struct {
			what  uintptr
			value int
		}{{unix.SIOCSIFMTU, mtu}, {unix.SIOCSIFFLAGS, unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOOPBACK}} {
			request.value = int32(r.value)
			if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), r.what, uintptr(unsafe.Pointer(&request))); e != 0 {
				t.Fatal(e)
			}
		}
		fn(t)
	})
}

// A process without descriptors: new flows are shed and counted, those that there are go on, and when descriptors are free again the next ones begin.
func TestFewDescriptors(t *testing.T) {
	runApart(t, nil, func(t *testing.T) {
		b := serve(t, echo)
		r := newRig(t, rigOptions{max: 1 << 20}, b.at)
		in, next := newEnd(t), newEnd(t)
		in.ask(r.addr, "in", "in")
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
		const lost = 5
		for range lost {
			next.send(r.addr, []byte("me too"))
		}
		r.wantDropped(l4.DropNoDescriptors, lost)
		in.ask(r.addr, "still in", "still in")
		if n := r.shared.Active(); n != 1 {
			t.Errorf("%d flows", n)
		}
		for _, fd := range hogs {
			_ = unix.Close(fd)
		}
		next.ask(r.addr, "now", "now")
		r.wantDropped(l4.DropNoDescriptors, lost)
		r.finish()
	})
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

// When all local ports are taken new flows are shed and counted; those that there are go on, and a port that is free again is used again.
func TestFewPorts(t *testing.T) {
	inNetwork(t, 65536, func(t *testing.T) {
		const ports = 8
		b := serve(t, echo, "127.0.0.1:7")
		r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{}}}, b.at)
		var clients []*end
		for i := range ports + 4 {
			clients = append(clients, newEnd(t, fmt.Sprintf("127.0.0.1:%d", 20000+i)))
		}
		fewPorts(t, 40000, ports)
		for _, c := range clients[:ports] {
			c.ask(r.addr, "in", "in")
		}
		for range 3 {
			for _, c := range clients[ports:] {
				c.send(r.addr, []byte("no"))
			}
		}
		r.wantDropped(l4.DropNoPorts, 3*4)
		for _, c := range clients[:ports] {
			c.ask(r.addr, "still in", "still in")
		}
		if n := r.shared.Active(); n != ports {
			t.Errorf("%d flows", n)
		}
		r.do(0, func(p *Proxy) { p.end(p.ofClient(t, clients[0].at, r.addr), l4.IdleTimeout) })
		clients[ports].ask(r.addr, "now", "now")
		r.wantDropped(l4.DropNoPorts, 3*4)
		r.finish()
	})
}

// A flow that has to move while no port is free stays where it is, is tried again with each datagram, and moves as soon as there is one.
func TestMoveWithoutPorts(t *testing.T) {
	inNetwork(t, 65536, func(t *testing.T) {
		old, other := serve(t, named("old"), "127.0.0.1:7"), serve(t, named("other"), "127.0.0.1:9")
		r := newRig(t, rigOptions{policy: lb.First}, old.at, other.at)
		c, hog := newEnd(t, "127.0.0.1:20000"), newEnd(t, "127.0.0.1:20001")
		fewPorts(t, 40000, 2)
		c.ask(r.addr, "1", "old:1")
		hog.ask(r.addr, "1", "old:1")
		e := r.cluster.Endpoints[0]
		r.leave(0, "maint")
		r.doAll(func(_ int, p *Proxy) { p.DrainEndpoint(e, time.Hour) })
		for range 3 {
			c.ask(r.addr, "2", "old:2")
		}
		r.do(0, func(p *Proxy) { p.end(p.ofClient(t, hog.at, r.addr), l4.IdleTimeout) })
		c.ask(r.addr, "3", "other:3")
		if e.Balance.Active() != 0 || r.cluster.Endpoints[1].Balance.Active() != 1 {
			t.Error("the flow has one place, at its endpoint")
		}
		r.wantNoDrops()
		r.endDrains()
		r.finish()
	})
}

// Nobody is at an endpoint's port, and the kernel may draw that very port for weir's own end: a client is never answered with its own words.
func TestNeverItself(t *testing.T) {
	inNetwork(t, 65536, func(t *testing.T) {
		const flows = 30
		at := netip.MustParseAddrPort("127.0.0.1:40001")
		r := newRig(t, rigOptions{settings: Settings{Rules: flow.Rules{}}}, at)
		var clients []*end
		for i := range flows {
			clients = append(clients, newEnd(t, fmt.Sprintf("127.0.0.1:%d", 20000+i)))
		}
		fewPorts(t, 40000, 4)
		for i, c := range clients {
			c.send(r.addr, []byte("is anybody there?"))
			r.eventually("it was taken in", func() bool { got, _ := r.moved(l4.ToUpstream); return got == uint64(i+1) })
			r.settle()
			c.wantNothing()
			r.doAll(func(_ int, p *Proxy) { p.DrainListener(r.listener, 0) })
		}
		if _, down := r.moved(l4.ToDownstream); down != 0 {
			t.Errorf("%d answers of nobody", down)
		}
		r.finish()
	})
}

// fewPorts leaves the kernel so many ports to draw from. In a network of its own.
func fewPorts(t testing.TB, first, n int) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", fmt.Appendf(nil, "%d %d\n", first, first+n-1), 0); err != nil {
		t.Fatal(err)
	}
}
