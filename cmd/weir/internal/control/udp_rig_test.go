package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/cmd/weir/internal/echotest"
	"weir/l4"
)

// serveUDP answers every datagram with the greeting and what it said, from a free port of 127.0.0.1, until the test ends. It returns the address.
func serveUDP(t testing.TB, greeting string) string {
	t.Helper()
	return serveUDPAt(t, "127.0.0.1:0", greeting)
}

func serveUDPAt(t testing.TB, at, greeting string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				continue // ICMP: a client has gone
			}
			_, _ = c.WriteTo(append([]byte(greeting), b[:n]...), from)
		}
	}()
	return c.LocalAddr().String()
}

// serveBoth serves TCP and UDP at one address, with the same greeting.
func serveBoth(t testing.TB, greeting string) string {
	t.Helper()
	for range 20 {
		at := echotest.Serve(t, greeting)
		if c, err := net.ListenPacket("udp", at); err == nil {
			_ = c.Close()
			return serveUDPAt(t, at, greeting)
		}
	}
	t.Fatal("no port is free for both")
	return ""
}

// bothPort returns a port of 127.0.0.1 that nobody has, neither for TCP nor for UDP.
func bothPort(t testing.TB) int {
	t.Helper()
	for range 20 {
		port := freePort(t)
		if c, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = c.Close()
			return port
		}
	}
	t.Fatal("no port is free for both")
	return 0
}

// udpClient is one client's socket. It is connected, so that it takes answers from nowhere but where it writes to.
type udpClient struct{ net.Conn }

func dialUDP(t testing.TB, addr string) udpClient {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return udpClient{c}
}

// ask sends a datagram and returns the one that comes back.
func (c udpClient) ask(text string) (string, error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(text)); err != nil {
		return "", err
	}
	b := make([]byte, 2048)
	n, err := c.Read(b)
	return string(b[:n]), err
}

// answered fails the test unless the answer is want.
func (c udpClient) answered(t testing.TB, text, want string) {
	t.Helper()
	if got, err := c.ask(text); err != nil || got != want {
		t.Fatalf("%s: %q came back, %v; want %q", c.RemoteAddr(), got, err, want)
	}
}

// nobody reports whether no socket is bound to addr: the kernel says so with an ICMP message.
func nobody(t testing.TB, addr string) bool {
	t.Helper()
	c := dialUDP(t, addr)
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(nil); err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // over loopback the message is there when the write returns
	_, err := c.Read(make([]byte, 1))
	_ = c.Close()
	return errors.Is(err, syscall.ECONNREFUSED)
}

// dropped returns what a listener has dropped for a reason.
func dropped(l *l4.Listener, why l4.Drop) (n uint64) {
	for i := range l.Loops {
		n += l.Loops[i].Dropped[why].Load()
	}
	return n
}

// noDrops fails the test if a listener has dropped anything.
func noDrops(t testing.TB, l *l4.Listener) {
	t.Helper()
	for why := range l4.NumDrops {
		if n := dropped(l, why); n > 0 {
			t.Errorf("listener %s dropped %d datagrams: %s", l.Name, n, why)
		}
	}
}

// udpLoad has clients send numbered datagrams, some at once, until it is stopped. Every one has to come back, in order; each client goes on from
// another port after a while.
type udpLoad struct {
	t    testing.TB
	addr string
	quit context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	done int
	errs []error
}

const (
	udpLoadAtOnce = 8
	udpLoadRounds = 20 // from one port
)

func newUDPLoad(t testing.TB, addr string, clients int) *udpLoad {
	l := &udpLoad{t: t, addr: addr}
	l.quit, l.stop = context.WithCancel(context.Background())
	for range clients {
		l.wg.Go(func() {
			for l.quit.Err() == nil && l.flow() {
			}
		})
	}
	return l
}

// flow sends from one port and reports whether all came back.
func (l *udpLoad) flow() bool {
	c, err := net.Dial("udp", l.addr)
	if err != nil {
		return l.note(0, err)
	}
	defer func() { _ = c.Close() }()
	for round := 0; round < udpLoadRounds && l.quit.Err() == nil; round++ {
		if err := l.round(c, round); err != nil {
			return l.note(0, fmt.Errorf("%s, round %d: %w", c.LocalAddr(), round, err))
		}
		l.note(udpLoadAtOnce, nil)
	}
	return true
}

func (l *udpLoad) round(c net.Conn, round int) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	for i := range udpLoadAtOnce {
		if _, err := fmt.Fprintf(c, "%d.%d", round, i); err != nil {
			return err
		}
	}
	b := make([]byte, 64)
	for i := range udpLoadAtOnce {
		n, err := c.Read(b)
		if err != nil {
			return fmt.Errorf("datagram %d: %w", i, err)
		}
		if want := fmt.Sprintf("%d.%d", round, i); string(b[:n]) != want {
			return fmt.Errorf("%q came back, want %q", b[:n], want)
		}
	}
	return nil
}

func (l *udpLoad) note(n int, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done += n
	if err != nil {
		l.errs = append(l.errs, err)
	}
	return err == nil
}

// more waits for n more datagrams.
func (l *udpLoad) more(n int) {
	l.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.done
	}
	from := count()
	eventually(l.t, "more datagrams", func() bool { return count() >= from+n })
}

func (l *udpLoad) end() {
	l.t.Helper()
	l.stop()
	l.wg.Wait()
	if len(l.errs) > 0 {
		l.t.Errorf("%d clients lost something after %d datagrams had come back, the first: %v", len(l.errs), l.done, l.errs[0])
	}
}
