package probe

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link is one connection of a check. Its reads and writes end with the check's context.
type link struct {
	net.Conn // what to talk on: tcp, or TLS over it
	tcp      *net.TCPConn
	stop     func() bool // ends the watch over the context
}

// leave closes the connection. After a failure nothing is said to the endpoint any more: TLS would wait for its goodbye to be sent.
func (l *link) leave(failed bool) {
	if failed {
		_ = l.tcp.Close()
	}
	_ = l.Close()
	l.stop() // the goodbye is bounded, too
}

// protocol returns what TLS has agreed on; "" = nothing, or no TLS.
func (l *link) protocol() string {
	if c, ok := l.Conn.(*tls.Conn); ok {
		return c.ConnectionState().NegotiatedProtocol
	}
	return ""
}

// dialer opens the connections of one check.
type dialer struct {
	net net.Dialer
	tls *tls.Config // nil = plain
}

func newDialer(o *Options) dialer {
	d := dialer{tls: o.TLS, net: net.Dialer{KeepAlive: -1}}
	if o.Source.IsValid() {
		d.net.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Source.Unmap(), 0))
		d.net.Control = portLater
	}
	return d
}

// portLater has the kernel choose the local port when it knows where to (ip(7), Linux 4.2): so many ports for each endpoint, not for all.
func portLater(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// connect opens a TCP connection.
func (d *dialer) connect(ctx context.Context, at netip.AddrPort) (*net.TCPConn, error) {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	conn, err := d.net.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	// Where nobody listens, the kernel may choose the very port that is called, and connect the socket to itself. Go tries again, but
	// not for ever.
	if local, ok := tcp.LocalAddr().(*net.TCPAddr); ok && local.AddrPort() == at {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
		return nil, unix.ECONNREFUSED
	}
	return tcp, nil
}

// open connects, and shakes hands if the check is encrypted. Its errors are reasons.
func (d *dialer) open(ctx context.Context, at netip.AddrPort, timeout time.Duration) (*link, error) {
	tcp, err := d.connect(ctx, at)
	if err != nil {
		return nil, ended(ctx, err, connecting, timeout)
	}
	l := &link{Conn: tcp, tcp: tcp}
	l.stop = context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	if d.tls == nil {
		return l, nil
	}
	config := d.tls
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = at.Addr().Unmap().WithZone("").String()
	}
	encrypted := tls.Client(tcp, config)
	if err := encrypted.Handshake(); err != nil {
		l.leave(true)
		return nil, ended(ctx, err, handshaking, timeout)
	}
	l.Conn = encrypted
	return l, nil
}

// ended is the reason of what failed. What the end of the context brought about shows in many guises.
func ended(ctx context.Context, err error, waiting phase, timeout time.Duration) error {
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return reason(err, waiting, timeout)
}
