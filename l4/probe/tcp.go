package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// tcpCheck connects, and sends and expects bytes if so told.
type tcpCheck struct {
	dialer  dialer
	timeout time.Duration
	send    []byte
	expect  *expectation // nil = nothing
}

func newTCP(o Options) (Check, error) {
	expect, err := parseExpect(o.Expect)
	if err != nil {
		return nil, fmt.Errorf("expect: %w", err)
	}
	return &tcpCheck{dialer: newDialer(&o), timeout: o.Timeout, send: []byte(o.Send), expect: expect}, nil
}

func (c *tcpCheck) Run(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel, timeout := within(ctx, c.timeout)
	defer cancel()
	if c.dialer.tls == nil && len(c.send) == 0 && c.expect == nil {
		return c.onlyConnect(ctx, at, timeout)
	}
	l, err := c.dialer.open(ctx, at, timeout)
	if err != nil {
		return err
	}
	err = c.talk(ctx, l, timeout)
	l.leave(err != nil)
	return err
}

// onlyConnect leaves with a reset: an ordinary end would have the port wait for a minute in TIME_WAIT here.
func (c *tcpCheck) onlyConnect(ctx context.Context, at netip.AddrPort, timeout time.Duration) error {
	conn, err := c.dialer.connect(ctx, at)
	if err != nil {
		return ended(ctx, err, connecting, timeout)
	}
	_ = conn.SetLinger(0)
	_ = conn.Close()
	return nil
}

func (c *tcpCheck) talk(ctx context.Context, l *link, timeout time.Duration) error {
	if len(c.send) > 0 {
		if _, err := l.Write(c.send); err != nil {
			return ended(ctx, err, answering, timeout)
		}
	}
	if c.expect == nil {
		return nil
	}
	got, v, err := c.expect.await(l)
	switch {
	case v == met:
		return nil
	case errors.Is(err, io.EOF) && ctx.Err() == nil:
		if v == failed && c.expect.differs(got) {
			return failure(fmt.Sprintf("answer %s instead of %v", quote(got), c.expect))
		}
		return failure(fmt.Sprintf("closed after %d bytes without the expected answer", len(got)))
	case v == failed && len(got) == mostRead:
		return failure(fmt.Sprintf("answer %s, and %d KiB of it without %v", quote(got), mostRead>>10, c.expect))
	case v == failed:
		return failure(fmt.Sprintf("answer %s instead of %v", quote(got), c.expect))
	}
	err = ended(ctx, err, answering, timeout)
	if len(got) > 0 {
		err = failure(fmt.Sprintf("%v, after %s", err, quote(got)))
	}
	return err
}
