package tcp

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4"
)

func keepalive(t testing.TB, fd int) int {
	t.Helper()
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
	if err != nil {
		t.Error(err)
	}
	idle, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
	if err != nil {
		t.Error(err)
	}
	return on * idle
}

// Limits of the listener and of the process are exact over all loops: under a crowd the endpoint never sees more at once, those
// above wait in the kernel's queue, and all are served.
func TestMaxConnections(t *testing.T) {
	const limit, crowd, rounds = 5, 60, 3
	for _, of := range []string{"listener", "process"} {
		t.Run(of, func(t *testing.T) {
			var now, most atomic.Int64
			b := serve(t, func(c *net.TCPConn) {
				n := now.Add(1)
				for {
					old := most.Load()
					if n <= old || most.CompareAndSwap(old, n) {
						break
					}
				}
				var b [4]byte
				k, _ := c.Read(b[:])
				now.Add(-1) // before the client can know, and its place be free
				_, _ = c.Write(b[:k])
			})
			o := rigOptions{loops: 2}
			if of == "listener" {
				o.settings.MaxConnections = limit
			} else {
				o.max = limit
			}
			r := newRig(t, o, b.addr)
			var wg sync.WaitGroup
			for range crowd {
				wg.Go(func() {
					for range rounds {
						c, err := net.Dial("tcp", r.addr)
						if err != nil {
							t.Error(err)
							return
						}
						_ = c.SetDeadline(time.Now().Add(30 * time.Second))
						_, _ = c.Write([]byte("ping"))
						var b [4]byte
						if n, err := c.Read(b[:]); err != nil || string(b[:n]) != "ping" {
							t.Errorf("read %q and %v", b[:n], err)
						}
						_ = c.Close()
					}
				})
			}
			wg.Wait()
			if most.Load() > limit {
				t.Errorf("%d at once, limit %d", most.Load(), limit)
			}
			var pauses uint64
			for i := range r.listener.Loops {
				pauses += r.listener.Loops[i].PausesLimit.Load()
			}
			if pauses == 0 {
				t.Error("no pause was counted")
			}
			r.eventually("all ended", func() bool { return r.shared.Active() == 0 })
		})
	}
}

// At the process's limit the longest idle session gives way, one that is busy or young does not.
func TestDisplaced(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{max: 3}, b.addr)
	talk := func(c *net.TCPConn) {
		t.Helper()
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
	}
	var clients []*net.TCPConn
	for range 3 {
		c := r.dial()
		talk(c)
		clients = append(clients, c)
	}
	next := r.dial() // waits in the queue
	r.eventually("accepting has paused", func() bool { return r.listener.Loops[0].PausesLimit.Load() > 0 })
	if n := r.closed(l4.Displaced); n != 0 {
		t.Fatalf("%d young sessions were displaced", n)
	}
	if err := r.loops[0].Do(func() {
		for i := range uint32(3) {
			s := r.proxies[0].sessions.At(i)
			s.active -= int64(displaceAfter) * int64(3-i) // the first is the longest idle
		}
	}); err != nil {
		t.Fatal(err)
	}
	talk(next)
	mustEOF(t, clients[0])
	talk(clients[1])
	talk(clients[2])
	if n := r.closed(l4.Displaced); n != 1 {
		t.Fatalf("%d displaced", n)
	}
}
