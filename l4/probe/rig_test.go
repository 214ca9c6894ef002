package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const safety = 20 * time.Second // after which a test has failed

func mustNew(t testing.TB, o Options) Check {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = safety
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run runs the check and returns its text; "" = well.
func run(t testing.TB, c Check, at netip.AddrPort) string {
	t.Helper()
	if err := c.Run(t.Context(), at); err != nil {
		return err.Error()
	}
	return ""
}

func want(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func addrOf(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// serve has each connection handled, and closed when that returns.
func serve(t testing.TB, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return addrOf(ln.Addr())
}

// says writes and waits for the other end to close.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		silent(c)
	}
}

// silent reads until the other end closes.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// dribbles writes byte after byte, each in a segment of its own.
func dribbles(text string) func(net.Conn) {
	return func(c net.Conn) {
		for i := range len(text) {
			if _, err := c.Write([]byte{text[i]}); err != nil {
				return
			}
		}
		silent(c)
	}
}

// endless writes until the other end has enough.
func endless(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// resets ends the connection with a reset, once something has come.
func resets(c net.Conn) {
	_, _ = c.Read(make([]byte, 1))
	_ = c.(*net.TCPConn).SetLinger(0)
}

// nobody returns an address where nobody listens, and nobody will until the test is over.
func nobody(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return bound(t, fd)
}

// blackhole returns the address of a listener whose queue is full: connecting there takes for ever.
func blackhole(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	at := bound(t, fd)
	if err := unix.Listen(fd, 0); err != nil { // room for one
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return at
}

func bound(t testing.TB, fd int) netip.AddrPort {
	t.Helper()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in := sa.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port))
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(safety); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// leaves checks that what runs now leaves no goroutine and no descriptor behind.
func leaves(t testing.TB, nothing func()) {
	t.Helper()
	count := func() (goroutines, files int) {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(names)
	}
	nothing() // what is made once
	var g0, f0 int
	eventually(t, "it is quiet", func() bool { // the servers' ends close a little later
		g, f := count()
		quiet := g == g0 && f == f0
		g0, f0 = g, f
		return quiet
	})
	for range 5 {
		nothing()
	}
	eventually(t, fmt.Sprintf("no more than %d goroutines and %d descriptors are left", g0, f0), func() bool {
		g, f := count()
		return g <= g0 && f <= f0
	})
}

// cancelled runs the check and ends its context while it waits.
func cancelled(t testing.TB, c Check, at netip.AddrPort, waiting <-chan struct{}) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- c.Run(ctx, at) }()
	<-waiting
	cancel()
	if err := <-result; err != nil {
		return err.Error()
	}
	return ""
}
