package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is how long a check that expects no answer waits for an ICMP error: a round trip, with time to spare.
const quiet = 200 * time.Millisecond

// udpCheck sends a datagram on a socket of its own, and waits for the answer or for an ICMP error.
type udpCheck struct {
	dialer  net.Dialer
	timeout time.Duration
	send    []byte
	expect  *expectation // nil = nothing
	buffers sync.Pool    // of *[mostRead]byte: any datagram fits
}

func newUDP(o Options) (Check, error) {
	if o.TLS != nil {
		return nil, errors.New("tls: udp has none")
	}
	if len(o.Send) > mostDatagram {
		return nil, fmt.Errorf("send: longer than the %d bytes that fit into a datagram", mostDatagram)
	}
	expect, err := parseExpect(o.Expect)
	if err != nil {
		return nil, fmt.Errorf("expect: %w", err)
	}
	c := &udpCheck{timeout: o.Timeout, send: []byte(o.Send), expect: expect}
	c.dialer.Control = tellAllErrors
	if o.Source.IsValid() {
		c.dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(o.Source.Unmap(), 0))
	}
	c.buffers.New = func() any { return new([mostRead]byte) }
	return c, nil
}

// tellAllErrors has the kernel report the ICMP errors that may pass as well, such as an unreachable host (ip(7), ipv6(7)).
func tellAllErrors(network, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		if network == "udp6" {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1)
		}
	}); e != nil {
		return e
	}
	return err
}

func (c *udpCheck) Run(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel, timeout := within(ctx, c.timeout)
	defer cancel()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	conn, err := c.dialer.DialContext(ctx, "udp", at.String())
	if err != nil {
		return ended(ctx, err, answering, timeout)
	}
	defer conn.Close()
	if c.expect == nil {
		_ = conn.SetReadDeadline(time.Now().Add(quiet))
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	if _, err := conn.Write(c.send); err != nil {
		return c.reason(ctx, err, timeout)
	}
	buffer := c.buffers.Get().(*[mostRead]byte)
	defer c.buffers.Put(buffer)
	n, err := conn.Read(buffer[:])
	switch got := buffer[:n]; {
	case err != nil && c.expect == nil && errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(ctx.Err(), context.Canceled):
		return nil // nobody said no
	case err != nil:
		return c.reason(ctx, err, timeout)
	case c.expect == nil || c.expect.judge(got, true) == met:
		return nil
	default:
		return failure(fmt.Sprintf("answer %s instead of %v", quote(got), c.expect))
	}
}

func (c *udpCheck) reason(ctx context.Context, err error, timeout time.Duration) error {
	if errors.Is(err, unix.ECONNREFUSED) {
		return failure("port unreachable")
	}
	return ended(ctx, err, answering, timeout)
}
