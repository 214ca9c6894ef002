package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// end is the socket of a client or an endpoint, which the test is.
type end struct {
	t    testing.TB
	conn *net.UDPConn
	at   netip.AddrPort
	room [1 << 16]byte // one receives at a time
}

// arrival is a datagram, or what came coalesced, as an end received it.
type arrival struct {
	data    []byte
	from    netip.AddrPort
	segment int // 0 = alone
	class   int
}

// newEnd opens a socket on an address of this machine, "127.0.0.1" without one; it is closed with the test.
func newEnd(t testing.TB, addr ...string) *end {
	t.Helper()
	at := netip.MustParseAddrPort("127.0.0.1:0")
	if len(addr) > 0 {
		at = netip.MustParseAddrPort(addr[0])
	}
	e, err := tryEnd(t, at)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tryEnd is newEnd for an address that somebody else may have.
func tryEnd(t testing.TB, at netip.AddrPort) (*end, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	e := &end{t: t, conn: c, at: netip.MustParseAddrPort(c.LocalAddr().String())}
	t.Cleanup(func() { _ = c.Close() })
	if e.control(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) }) != nil {
		_ = c.SetReadBuffer(buffer)
	}
	e.option(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	if at.Addr().Is6() {
		e.option(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	}
	return e, nil
}

func (e *end) control(f func(fd int) error) error {
	raw, err := e.conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func (e *end) option(level, option, value int) {
	e.t.Helper()
	if err := e.control(func(fd int) error { return unix.SetsockoptInt(fd, level, option, value) }); err != nil {
		e.t.Fatal(err)
	}
}

// coalesce has the end receive unsplit what was sent so.
func (e *end) coalesce() { e.t.Helper(); e.option(unix.IPPROTO_UDP, unix.UDP_GRO, 1) }

func (e *end) send(to netip.AddrPort, b []byte) {
	e.t.Helper()
	if _, err := e.conn.WriteToUDPAddrPort(b, to); err != nil {
		e.t.Error(err)
	}
}

// sendWith sends with control messages.
func (e *end) sendWith(to netip.AddrPort, b, control []byte) {
	e.t.Helper()
	if _, _, err := e.conn.WriteMsgUDPAddrPort(b, control, to); err != nil {
		e.t.Error(err)
	}
}

// sendSuper sends datagrams of one size, but for the last one, as one (UDP_SEGMENT).
func (e *end) sendSuper(to netip.AddrPort, b []byte, segment int) {
	e.t.Helper()
	e.sendWith(to, b, cmsg(unix.IPPROTO_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, uint16(segment))))
}

// sendClass sends with a traffic class.
func (e *end) sendClass(to netip.AddrPort, b []byte, class int) {
	e.t.Helper()
	level, kind := unix.IPPROTO_IP, unix.IP_TOS
	if to.Addr().Is6() {
		level, kind = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	e.sendWith(to, b, cmsg(level, kind, binary.NativeEndian.AppendUint32(nil, uint32(class))))
}

func cmsg(level, kind int, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

// receive waits for what comes next.
func (e *end) receive() arrival {
	e.t.Helper()
	a, err := e.receiveWithin(waiting)
	if err != nil {
		e.t.Fatal(err)
	}
	return a
}

func (e *end) receiveWithin(d time.Duration) (arrival, error) {
	_ = e.conn.SetReadDeadline(time.Now().Add(d))
	var control [256]byte
	n, cn, _, from, err := e.conn.ReadMsgUDPAddrPort(e.room[:], control[:])
	if err != nil {
		return arrival{}, err
	}
	a := arrival{data: bytes.Clone(e.room[:n]), from: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil {
		return arrival{}, err
	}
	for _, m := range messages {
		switch [2]int{int(m.Header.Level), int(m.Header.Type)} {
		case [2]int{unix.IPPROTO_UDP, unix.UDP_GRO}:
			a.segment = int(binary.NativeEndian.Uint32(m.Data))
		case [2]int{unix.IPPROTO_IP, unix.IP_TOS}:
			a.class = int(m.Data[0])
		case [2]int{unix.IPPROTO_IPV6, unix.IPV6_TCLASS}:
			a.class = int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return a, nil
}

// want waits for a datagram with this content and returns where it came from.
func (e *end) want(b string) netip.AddrPort {
	e.t.Helper()
	a := e.receive()
	if string(a.data) != b {
		e.t.Fatalf("received %d bytes %.80q, want %d bytes %.80q", len(a.data), a.data, len(b), b)
	}
	return a.from
}

// wantNothing checks that nothing has come. It doesn't wait: what could come must have been sent on before.
func (e *end) wantNothing() {
	e.t.Helper()
	if a, err := e.receiveWithin(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		e.t.Fatalf("received %.80q from %v, and %v", a.data, a.from, err)
	}
}

// ask sends a question and waits for the answer, which must come from where the question went.
func (e *end) ask(to netip.AddrPort, question, answer string) {
	e.t.Helper()
	e.send(to, []byte(question))
	if from := e.want(answer); from != to {
		e.t.Fatalf("asked %v, was answered by %v", to, from)
	}
}

// serve has an end answer everything until the test ends.
func serve(t testing.TB, answer func(e *end, a arrival), addr ...string) *end {
	t.Helper()
	e := newEnd(t, addr...)
	go e.serve(answer)
	return e
}

func (e *end) serve(answer func(e *end, a arrival)) {
	for {
		a, err := e.receiveWithin(time.Minute)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err == nil { // others are ICMP's
			answer(e, a)
		}
	}
}

func echo(e *end, a arrival) { _, _ = e.conn.WriteToUDPAddrPort(a.data, a.from) }

// named returns an answerer that says who it is before what it was asked.
func named(name string) func(e *end, a arrival) {
	return func(e *end, a arrival) { _, _ = e.conn.WriteToUDPAddrPort(append([]byte(name+":"), a.data...), a.from) }
}

// refusing returns an address where nobody is.
func refusing(t testing.TB) netip.AddrPort {
	t.Helper()
	e := newEnd(t)
	_ = e.conn.Close()
	return e.at
}

// needIPv6 skips a test where the machine has none.
func needIPv6(t testing.TB) {
	t.Helper()
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skip("no IPv6: ", err)
	}
	_ = c.Close()
}
