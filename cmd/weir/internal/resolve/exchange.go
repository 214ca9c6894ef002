package resolve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize is the largest answer that is asked for by UDP: one that no path has to cut into fragments (DNS Flag Day 2020).
	ednsSize = 1232
	// readSize is what is taken of a server that sends more than it was asked for.
	readSize = 4096
	// maxStrangers is how many datagrams that answer something else are read past before a server is given up.
	maxStrangers = 1000
	// maxSockets bounds the sockets of all questions together.
	maxSockets = 128
)

// servers are whom to ask, in this order, and how patiently.
type servers struct {
	addrs    []netip.AddrPort
	timeout  time.Duration // for one answer
	attempts int           // rounds over all servers
}

// client asks servers. All sources share one.
type client struct {
	sockets chan struct{} // one place taken for each socket
}

func newClient() *client { return &client{sockets: make(chan struct{}, maxSockets)} }

// ask returns the first answer that settles the question: that there are records, none, or no such name. The error says what became of each
// server in the last round, in words that are the same when the same happens again.
func (c *client) ask(ctx context.Context, s servers, name string, qtype uint16) (*dns.Msg, error) {
	var failed []string
	for range s.attempts {
		failed = failed[:0]
		for _, server := range s.addrs {
			m, err := c.try(ctx, server, s.timeout, name, qtype)
			if err == nil {
				return m, nil
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			failed = append(failed, fmt.Sprintf("%s: %v", server, err))
		}
	}
	return nil, errors.New(strings.Join(failed, ", "))
}

// try asks one server: by UDP, by TCP as well when that answer is truncated, and without EDNS0 should the server not know it.
func (c *client) try(ctx context.Context, server netip.AddrPort, timeout time.Duration, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(ednsSize, false)
	m, err := c.exchange(ctx, "udp", server, timeout, q)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) { // RFC 6891 section 7
		q.SetQuestion(name, qtype)
		q.Extra = nil
		m, err = c.exchange(ctx, "udp", server, timeout, q)
	}
	if err == nil && m.Truncated {
		q.Id = dns.Id()
		m, err = c.exchange(ctx, "tcp", server, timeout, q)
	}
	switch {
	case err != nil:
		return nil, err
	case m.Rcode == dns.RcodeNameError:
		return m, nil
	case m.Rcode != dns.RcodeSuccess:
		return nil, errors.New(rcodeName(m.Rcode))
	case !m.Authoritative && !m.RecursionAvailable && len(m.Answer) == 0:
		// It refers to servers that know more: it is none that resolves names.
		return nil, errors.New("the server does not resolve names of others")
	}
	return m, nil
}

// exchange sends a question and returns what answers it.
func (c *client) exchange(ctx context.Context, network string, server netip.AddrPort, timeout time.Duration, q *dns.Msg) (*dns.Msg, error) {
	select {
	case c.sockets <- struct{}{}:
		defer func() { <-c.sockets }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	deadline := time.Now().Add(timeout)
	dialer := net.Dialer{Deadline: deadline}
	inner, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, plain(err, timeout)
	}
	defer inner.Close()
	_ = inner.SetDeadline(deadline) // fails on closed sockets only
	stop := context.AfterFunc(ctx, func() { _ = inner.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn := &dns.Conn{Conn: inner, UDPSize: readSize}
	if err := conn.WriteMsg(q); err != nil {
		return nil, plain(err, timeout)
	}
	for range maxStrangers {
		raw, err := conn.ReadMsgHeader(nil)
		if errors.Is(err, dns.ErrShortRead) {
			continue
		}
		if err != nil {
			return nil, plain(err, timeout)
		}
		m, err := unpack(raw)
		if !answers(m, q) {
			continue
		}
		// A truncated answer may end within a record, and is asked for again anyhow.
		if err != nil && !(m.Truncated && network == "udp") {
			return nil, errors.New("the answer is malformed")
		}
		return m, nil
	}
	return nil, errors.New("too many answers to something else")
}

// unpack reads a message as far as it can. What strangers send must not end the process, should the library stumble over it.
func unpack(raw []byte) (m *dns.Msg, err error) {
	m = new(dns.Msg)
	defer func() {
		if p := recover(); p != nil {
			m, err = new(dns.Msg), errors.New("the answer is malformed")
		}
	}()
	return m, m.Unpack(raw)
}

// answers reports whether m is an answer to q. Whoever can't see the question has to guess its ID and the socket's port.
func answers(m, q *dns.Msg) bool {
	if m.Id != q.Id || !m.Response || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 {
		return false
	}
	a, b := m.Question[0], q.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(b.Name)
}

func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("RCODE %d", rcode)
}

// plain says a network error without the ports and times that are others every time.
func plain(err error, timeout time.Duration) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fmt.Errorf("no answer within %v", timeout)
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended without an answer")
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	return err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
