package control_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/lb/health"
)

// deaf listens on a port where connections don't come about, once it has filled its queue: the kernel drops further SYNs (listen(2), backlog 0).
func deaf(t *testing.T) (at string) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), 0) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	for range 16 {
		c, err := net.DialTimeout("tcp4", ln.Addr().String(), 100*time.Millisecond)
		if os.IsTimeout(err) {
			return ln.Addr().String()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("the queue is never full")
	return ""
}

// wellAt listens where checks of an endpoint go to: its port, on another address of this host.
func wellAt(t *testing.T, endpoint string) net.Listener {
	t.Helper()
	_, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.2", port))
	if err != nil {
		t.Skip(err) // somebody else has that port there
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// A session that is being connected when the configuration changes knows what the checks find out after that: its next attempt goes to no endpoint that
// is down.
func TestRetryAfterChangeKnowsHealth(t *testing.T) {
	a, b, c := deaf(t), serveName(t, "b"), serveName(t, "c")
	_ = wellAt(t, a)
	checked := wellAt(t, b.at)
	_ = wellAt(t, c.at)
	text := func(more string) string {
		return fmt.Sprintf(`
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
[clusters.out]
policy = "first"
endpoints = [%q, %q, %q]
connect_timeout = "1s"
connect_attempts = 3
%s
[clusters.out.health]
address = "127.0.0.2"
interval = "20ms"
fast_interval = "10ms"
on_down = "close"
`, a, b.at, c.at, more)
	}
	r := start(t, parse(t, "%s", text("")))
	r.eventually("all are up", func() bool {
		return r.state("out", a) == health.Up && r.state("out", b.at) == health.Up && r.state("out", c.at) == health.Up
	})
	client := dial(t, r.at("in"))
	r.eventually("the first is tried", func() bool {
		tried := uint64(0)
		for i := range r.View().Loops {
			tried += r.View().Clusters[0].Endpoints[0].Loops[i].Attempts.Load()
		}
		return tried > 0
	})
	r.apply(parse(t, "%s", text("slow_start = '1ms'")))
	_ = checked.Close()
	r.eventually("the second is down", func() bool { return r.state("out", b.at) == health.Down })
	name := make([]byte, 1)
	if _, err := io.ReadFull(client, name); err != nil || string(name) != "c" {
		t.Errorf("%q answers, %v; the second endpoint was down before the first had failed", name, err)
	}
}
