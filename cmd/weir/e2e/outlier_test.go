package e2e

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

const pingRedis, pongRedis = "PING\r\n", "+PONG\r\n"

// fickle is a server that resets every connection at once, until it is told to be good and answer as redis-server does.
type fickle struct {
	addr  string
	good  atomic.Bool
	reset atomic.Int64 // connections
}

func newFickle(t *testing.T) *fickle {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	f := &fickle{addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go f.serve(c.(*net.TCPConn))
		}
	}()
	return f
}

func (f *fickle) serve(c *net.TCPConn) {
	defer func() { _ = c.Close() }()
	if !f.good.Load() {
		f.reset.Add(1)
		_ = c.SetLinger(0)
		return
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, make([]byte, len(pingRedis))); err == nil {
		_, _ = io.WriteString(c, pongRedis)
	}
}

// ping makes a connection for one question to a redis-server.
func ping(at string) error {
	c, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, pingRedis); err != nil {
		return err
	}
	b := make([]byte, len(pongRedis))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != pongRedis {
		return fmt.Errorf("answer %q", b)
	}
	return nil
}

// pings wants that so many connections are served.
func (p *proxy) pings(n int) {
	p.t.Helper()
	for i := range n {
		if err := ping(p.at()); err != nil {
			p.t.Errorf("connection %d of %d: %v", i, n, err)
		}
	}
}

// ejected waits, while it makes connections, until an endpoint of "out" was ejected so often, and is. It returns how many connections failed.
func (p *proxy) ejected(addr string, ejections int) (failed int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s is ejected, %d times so far", addr, ejections), func() bool {
		if ping(p.at()) != nil {
			failed++
		}
		o := p.condition("out", addr).Outlier
		return o != nil && o.Ejected && o.Ejections >= ejections && o.Why == "consecutive_failures" && !p.condition("out", addr).InUse
	})
	p.says(fmt.Sprintf(`msg="endpoint ejected" cluster=out endpoint=%s why=consecutive_failures failures_in_a_row=\d+ for=\S+ ejections=%d`, addr, ejections))
	return failed
}

// Two of four endpoints fail real traffic: one resets, which clients see until it's out, and one refuses, which they never see.
func TestOutlier(t *testing.T) {
	one, other, resets, refuses := redisServer(t), redisServer(t), newFickle(t), freePort(t)
	w := weir(t, simple(one.addr, other.addr, resets.addr, refuses)+`
outlier = { consecutive_failures = 3, ejection = "10m", max_ejected = 0.5 }
`)
	failed := w.ejected(refuses, 1) + w.ejected(resets.addr, 1)
	if most := int(resets.reset.Load()); failed > most {
		t.Errorf("%d connections failed, but %d were reset", failed, most)
	}
	if c := w.cluster("out"); c.Retries < 3 || c.InUse != 2 || c.Panic {
		t.Errorf("%d attempts after the first, %d endpoints in use, panic %v", c.Retries, c.InUse, c.Panic)
	}
	n := w.shares(func() {
		w.pings(100)
		checkBenchmark(t, run(t, redisBenchmark(t, w.at(), "set", "-k", "0", "-c", "4", "-n", "200")), "set")
	})
	if n[0] < 100 || n[1] < 100 || n[2] != 0 || n[3] != 0 {
		t.Errorf("connections %v, want none with those that are ejected", n)
	}
	w.settled("downstream_closed", "downstream_reset", "upstream_refused")
}

// An ejection ends, and the next one is longer; who has mended its ways is back among the others.
func TestOutlierReturns(t *testing.T) {
	one, f := redisServer(t), newFickle(t)
	w := weir(t, simple(one.addr, f.addr)+`
outlier = { consecutive_failures = 3, ejection = "200ms" }
`)
	w.ejected(f.addr, 1)
	w.says(`msg="endpoint returns" cluster=out endpoint=\S+ why="its time is over"`)
	w.ejected(f.addr, 2)
	w.says(`msg="endpoint ejected" .* for=(?:3\d\d|400)ms ejections=2`)
	f.good.Store(true)
	eventually(t, "it returns for good", func() bool { return w.condition("out", f.addr).InUse })
	if n := w.shares(func() { w.pings(40) }); n[0] < 15 || n[1] < 15 {
		t.Errorf("connections %v, want half with each", n)
	}
	if o := w.condition("out", f.addr).Outlier; o.Ejected || o.Ejections < 2 {
		t.Errorf("it is %+v", o)
	}
}

// Where checks pass that see less than clients do, an ejection ends with them.
func TestOutlierChecked(t *testing.T) {
	one, f := redisServer(t), newFickle(t)
	w := weir(t, checked("[clusters.out.outlier]\nejection = \"10m\"", one.addr, f.addr))
	w.up("out", one.addr)
	w.up("out", f.addr)
	eventually(t, "it is ejected, and returns", func() bool {
		_ = ping(w.at())
		o := w.condition("out", f.addr).Outlier
		return o != nil && o.Ejections > 0 && !o.Ejected
	})
	w.says(`msg="endpoint ejected" cluster=out endpoint=` + f.addr)
	w.says(`msg="endpoint returns" cluster=out endpoint=` + f.addr + ` why="checks pass"`)
}

// Three of five refuse, of which two may be ejected: the third stays, and clients are served all the same.
func TestMostEjected(t *testing.T) {
	one, other := redisServer(t), redisServer(t)
	bad := ports(t, 3)
	w := weir(t, simple(append(bad, one.addr, other.addr)...)+`
connect_attempts = 4
outlier = { consecutive_failures = 3, ejection = "10m", max_ejected = 0.4 }
`)
	ejected := func() (n int) {
		for _, addr := range bad {
			if o := w.condition("out", addr).Outlier; o != nil && o.Ejected {
				n++
			}
		}
		return n
	}
	eventually(t, "two are ejected", func() bool {
		w.pings(1)
		return ejected() == 2
	})
	w.pings(100)
	if n, c := ejected(), w.cluster("out"); n != 2 || c.InUse != 3 {
		t.Errorf("%d are ejected and %d in use, want 2 and 3", n, c.InUse)
	}
}
