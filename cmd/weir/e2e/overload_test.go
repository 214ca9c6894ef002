package e2e

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOverload has weir run short of descriptors: it ends sessions that rest, the oldest first, and leaves those alone that work.
func TestOverload(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	p := &proxy{file: t.TempDir() + "/weir.toml"}
	p.write(t, simple(ln.Addr().String()))
	p.program = launch(t, command(t, "sh", "-c", `ulimit -n 256 && exec "$0" run -c "$1"`, weirBinary, p.file), os.Kill)
	p.admin = p.says(`msg="admin listening" address=(\S+)`)
	p.says(`msg="weir runs"`)
	at := p.at()

	// One session works all the time, the others rest.
	busy := dialEcho(t, at)
	stop, worked := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				worked <- nil
				return
			case <-tick.C:
				if err := echoOnce(busy); err != nil {
					worked <- err
					return
				}
			}
		}
	}()
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	eventually(t, "weir sheds", func() bool {
		if !strings.Contains(p.out.String(), "msg=overload stage=shed") {
			idle = append(idle, dialEcho(t, at))
		}
		return p.stats().listener(t, "in").Closed["overloaded"] > 0
	})
	if len(idle) < 80 {
		t.Errorf("only %d sessions fit", len(idle))
	}
	p.says(`msg="overload eases" stage=(?:shorten|calm) was=shed`)
	ended := p.stats().listener(t, "in").Closed["overloaded"]
	if ended > len(idle)/2 {
		t.Errorf("%d of %d sessions were ended, for want of a few", ended, len(idle))
	}
	close(stop)
	if err := <-worked; err != nil {
		t.Errorf("the session that worked: %v", err)
	}
	// The oldest went: the newest is still there.
	if err := echoOnce(idle[len(idle)-1]); err != nil {
		t.Errorf("the newest session: %v", err)
	}
	_ = idle[0].SetDeadline(time.Now().Add(patience))
	if n, err := idle[0].Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the oldest session goes on: %d, %v", n, err)
	}
	_ = busy.Close()
	for _, c := range idle {
		_ = c.Close()
	}
	p.settled("overloaded", "downstream_closed", "downstream_reset")
	p.signal(syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// dialEcho opens a session that has worked once.
func dialEcho(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := echoOnce(c); err != nil {
		t.Fatal(err)
	}
	return c
}

// echoOnce sends a byte and wants it back.
func echoOnce(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	b := []byte{'x'}
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(c, b)
	return err
}
