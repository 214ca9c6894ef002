package eventloop

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// datagramSocket opens one UDP socket as listeners have it; it ends with the test, which is skipped where there is no IPv6 for it.
func datagramSocket(t testing.TB, o DatagramOptions) (fd int, at netip.AddrPort) {
	t.Helper()
	fds, err := ListenDatagrams(o, 1)
	if err != nil {
		if o.Addr.Addr().Is6() {
			t.Skip("no IPv6 here: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFD(fds[0]) })
	if at, err = ListeningOn(fds[0]); err != nil {
		t.Fatal(err)
	}
	return fds[0], at
}

// datagramsAt opens one with no options on an address with any port.
func datagramsAt(t testing.TB, ip string) (fd int, at netip.AddrPort) {
	t.Helper()
	return datagramSocket(t, DatagramOptions{Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), 0)})
}

// other is a UDP socket of somebody else, which waits for what is to come, but not for ever.
type other struct {
	t  testing.TB
	fd int
	at netip.AddrPort
}

func otherAt(t testing.TB, ip string) *other {
	t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, kernelForm(addr))
	}
	if err != nil {
		if addr.Addr().Is6() {
			t.Skip("no IPv6 here: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	wait := unix.NsecToTimeval(int64(patienceOfTests))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		t.Fatal(err)
	}
	o := &other{t: t, fd: fd}
	if o.at, err = ListeningOn(fd); err != nil {
		t.Fatal(err)
	}
	// A port that was drawn goes with the first connection. One that was asked for stays.
	o.reopen()
	if err := unix.Bind(fd, kernelForm(o.at)); err != nil {
		t.Fatal(err)
	}
	return o
}

func kernelForm(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

// set sets an option.
func (o *other) set(level, option, value int) {
	o.t.Helper()
	if err := unix.SetsockoptInt(o.fd, level, option, value); err != nil {
		o.t.Fatal(err)
	}
}

// send sends a datagram for each of the payloads.
func (o *other) send(to netip.AddrPort, payloads ...[]byte) {
	o.t.Helper()
	for _, b := range payloads {
		if err := unix.Sendto(o.fd, b, 0, kernelForm(to)); err != nil {
			o.t.Fatalf("send %d bytes to %s: %v", len(b), to, err)
		}
	}
}

// next returns the next datagram, where it comes from, and its traffic class if the socket was asked to tell it.
func (o *other) next() (payload []byte, from netip.AddrPort, class uint8) {
	o.t.Helper()
	b, control := make([]byte, MaxDatagram), make([]byte, 256)
	n, c, _, sa, err := unix.Recvmsg(o.fd, b, control, 0)
	if err != nil {
		o.t.Fatalf("receive at %s: %v", o.at, err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		from = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		from = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	messages, err := unix.ParseSocketControlMessage(control[:c])
	if err != nil {
		o.t.Fatal(err)
	}
	for _, m := range messages {
		if m.Header.Type == unix.IP_TOS && m.Header.Level == unix.IPPROTO_IP || m.Header.Type == unix.IPV6_TCLASS && m.Header.Level == unix.IPPROTO_IPV6 {
			class = m.Data[0]
		}
	}
	return b[:n], from, class
}

// wants takes so many datagrams, and checks that they are these.
func (o *other) wants(payloads ...string) {
	o.t.Helper()
	for i, want := range payloads {
		if got, _, _ := o.next(); string(got) != want {
			o.t.Errorf("%s: datagram %d is %.40q (%d bytes), want %.40q (%d)", o.at, i, got, len(got), want, len(want))
		}
	}
}

// quiet checks that nothing else came: a datagram that the test sends now is the next.
func (o *other) quiet() {
	o.t.Helper()
	end := otherAt(o.t, o.at.Addr().String())
	end.send(o.at, []byte("the end"))
	o.wants("the end")
}

// shut has the port refuse everybody: it takes datagrams from one address alone, which is nobody's.
func (o *other) shut() {
	o.t.Helper()
	nobody := netip.MustParseAddrPort("127.0.0.99:9")
	if o.at.Addr().Is6() {
		nobody = netip.AddrPortFrom(netip.IPv6Loopback(), 9)
	}
	if err := unix.Connect(o.fd, kernelForm(nobody)); err != nil {
		o.t.Fatal(err)
	}
}

// reopen ends that.
func (o *other) reopen() {
	o.t.Helper()
	if e := DisconnectDatagrams(o.fd); e != 0 {
		o.t.Fatal(e)
	}
}

// receive fills n places of the Inbox, in as many calls as it takes, and returns the first.
func receive(t testing.TB, in *Inbox, fd, n int) (first int) {
	t.Helper()
	first = in.Len()
	for end := time.Now().Add(patienceOfTests); in.Len() < first+n; {
		_, _, e := in.Receive(fd, first+n-in.Len())
		if e != 0 && e != unix.EAGAIN {
			t.Fatal(e)
		}
		if time.Now().After(end) {
			t.Fatalf("%d datagrams of %d came", in.Len()-first, n)
		}
		if e == unix.EAGAIN {
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		}
	}
	return first
}

// numbered returns so many bytes, which are others for another n.
func numbered(n, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + n)
	}
	return b
}

// The smallest and the largest datagram, and what lies between.
func TestReceiveSizes(t *testing.T) {
	for ip, most := range map[string]int{"127.0.0.1": 65_507, "::1": 65_527} {
		t.Run(ip, func(t *testing.T) {
			fd, at := datagramSocket(t, DatagramOptions{Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), 0), Receive: 200_000})
			from := otherAt(t, ip)
			from.set(unix.SOL_SOCKET, unix.SO_SNDBUF, 200_000)
			in := NewInbox(3)
			for i, size := range []int{0, 1, 2, 1472, 1473, 9000, 32_768, most - 1, most, 0} {
				want := numbered(i, size)
				from.send(at, want)
				if in.Room() == 0 {
					in.Reset()
				}
				a := in.At(receive(t, in, fd, 1))
				if !bytes.Equal(a.Payload, want) {
					t.Errorf("%d bytes came as %d, or others", size, len(a.Payload))
				}
				if a.Segment != 0 || a.Datagrams() != 1 || a.Class != 0 || a.Overflow != 0 || a.Local != ([16]byte{}) || a.From.AddrPort() != from.at {
					t.Errorf("%d bytes: %+v from %s, want one datagram from %s, nothing else", size, a, a.From.AddrPort(), from.at)
				}
			}
		})
	}
}

// What is in a place stays there, whatever comes later, until Reset. A limit leaves the rest in the socket, and so does an Inbox that is full.
func TestInboxPlaces(t *testing.T) {
	fd, at := datagramsAt(t, "127.0.0.1")
	from := []*other{otherAt(t, "127.0.0.1"), otherAt(t, "127.0.0.2"), otherAt(t, "127.0.0.3")}
	const places = 7
	in := NewInbox(places)
	next, seen := 0, 0
	send := func(n int) {
		for range n {
			from[next%len(from)].send(at, numbered(next, 100+next))
			next++
		}
	}
	for round := range 3 {
		if in.Len() != 0 || in.Room() != places {
			t.Fatalf("an empty Inbox has %d places filled and room for %d", in.Len(), in.Room())
		}
		if first, n, e := in.Receive(fd, 0); first != 0 || n != 0 || e != 0 {
			t.Errorf("with a limit of 0: %d, %d, %v", first, n, e)
		}
		send(4)
		if first := receive(t, in, fd, 3); first != 0 {
			t.Errorf("round %d: the first place is %d", round, first)
		}
		send(5)
		if first := receive(t, in, fd, places-3); first != 3 || in.Room() != 0 || in.Len() != places {
			t.Errorf("round %d: then %d, with room for %d", round, first, in.Room())
		}
		if first, n, e := in.Receive(fd, 9); first != places || n != 0 || e != 0 {
			t.Errorf("round %d: a full Inbox gives %d, %d, %v", round, first, n, e)
		}
		for i := range places {
			a, k := in.At(i), seen+i
			if !bytes.Equal(a.Payload, numbered(k, 100+k)) || a.From.AddrPort() != from[k%len(from)].at {
				t.Errorf("round %d: place %d holds %d bytes from %s, or others than were sent", round, i, len(a.Payload), a.From.AddrPort())
			}
		}
		seen += places
		in.Reset()
		// The two that were left come first; a limit beyond the room is none.
		for i := range receive(t, in, fd, 2) + 2 {
			if a := in.At(i); !bytes.Equal(a.Payload, numbered(seen, 100+seen)) {
				t.Errorf("round %d: %d bytes were left in the socket, or others than were sent", round, len(a.Payload))
			}
			seen++
		}
		if first, n, e := in.Receive(fd, 9); first != 2 || n != 0 || e != unix.EAGAIN {
			t.Errorf("round %d: an empty socket gives %d, %d, %v, want EAGAIN", round, first, n, e)
		}
		in.Reset()
	}
	if first, n, e := in.Receive(noFD(0), 9); first != 0 || n != 0 || e != unix.EBADF {
		t.Errorf("no socket gives %d, %d, %v, want EBADF", first, n, e)
	}
}

// Datagrams that wait together come with one call, at most as many as there may be.
func TestReceiveSeveral(t *testing.T) {
	fd, at := datagramsAt(t, "127.0.0.1")
	from := otherAt(t, "127.0.0.1")
	in := NewInbox(16)
	for end := time.Now().Add(patienceOfTests); time.Now().Before(end); {
		in.Reset()
		from.send(at, []byte("a"), []byte("b"), []byte("c"), []byte("d"), []byte("e"))
		_, three, _ := in.Receive(fd, 3)
		_, two, e := in.Receive(fd, 100)
		if three == 3 && two == 2 && e == 0 {
			return
		}
		receive(t, in, fd, 5-in.Len()) // they were late
	}
	t.Error("5 datagrams never came as 3 and 2")
}

// An ICMP error is told once, before what came meanwhile, and does no harm to it.
func TestReceiveError(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			to := otherAt(t, ip)
			addr := NewSockaddr(to.at)
			fd := connectedDatagrams(t, &addr)
			in := NewInbox(4)
			own, err := ListeningOn(fd)
			if err != nil {
				t.Fatal(err)
			}
			to.send(own, []byte("before"))
			to.shut()
			if _, e := Write(fd, []byte("to nobody")); e != 0 {
				t.Fatal(e)
			}
			awaits(t, fd, unix.POLLERR)
			if first, n, e := in.Receive(fd, 4); first != 0 || n != 0 || e != unix.ECONNREFUSED {
				t.Errorf("%d, %d, %v; want ECONNREFUSED", first, n, e)
			}
			if a := in.At(receive(t, in, fd, 1)); string(a.Payload) != "before" {
				t.Errorf("got %q", a.Payload)
			}
			if _, _, e := in.Receive(fd, 3); e != unix.EAGAIN {
				t.Errorf("%v after the error, want EAGAIN", e)
			}
			to.reopen()
			if _, e := Write(fd, []byte("hello")); e != 0 {
				t.Error(e)
			}
			to.wants("hello")
			to.send(own, []byte("after"))
			if a := in.At(receive(t, in, fd, 1)); string(a.Payload) != "after" {
				t.Errorf("got %q", a.Payload)
			}
		})
	}
}

// Who sent it, where it was sent to as far as the socket's own address doesn't say that, and with which class.
func TestArrival(t *testing.T) {
	tests := []struct {
		name, listen, from, to string
		v6only                 bool
		local                  string // "" = not told
		six, over4             bool
	}{
		{name: "IPv4", listen: "127.0.0.1", from: "127.0.0.2", to: "127.0.0.1", over4: true},
		{name: "IPv6", listen: "::1", from: "::1", to: "::1", six: true},
		{name: "IPv4 wildcard", listen: "0.0.0.0", from: "127.0.0.2", to: "127.0.0.3", local: "::ffff:127.0.0.3", over4: true},
		{name: "IPv4 broadcast", listen: "0.0.0.0", from: "127.0.0.1", to: "127.255.255.255", local: "::ffff:127.0.0.1", over4: true},
		{name: "dual-stack, IPv4", listen: "::", from: "127.0.0.2", to: "127.0.0.3", local: "::ffff:127.0.0.3", six: true, over4: true},
		{name: "dual-stack, IPv6", listen: "::", from: "::1", to: "::1", local: "::1", six: true},
		{name: "IPv6 alone", listen: "::", v6only: true, from: "::1", to: "::1", local: "::1", six: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fd, at := datagramSocket(t, DatagramOptions{Addr: netip.AddrPortFrom(netip.MustParseAddr(tt.listen), 0), V6Only: tt.v6only})
			from, in := otherAt(t, tt.from), NewInbox(2)
			from.set(unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
			for _, class := range []uint8{0, 0xba, 0x01, 0xff} {
				from.setClass(class)
				from.send(netip.AddrPortFrom(netip.MustParseAddr(tt.to), at.Port()), []byte("hello"))
				in.Reset()
				a := in.At(receive(t, in, fd, 1))
				address, port, zone := a.From.Bytes()
				if address != from.at.Addr().As16() || port != from.at.Port() || zone != 0 || a.From.AddrPort() != from.at {
					t.Errorf("from %v %d %d, or %s; want %s", address, port, zone, a.From.AddrPort(), from.at)
				}
				if a.From.Is6() != tt.six || a.From.Over4() != tt.over4 {
					t.Errorf("from %s: Is6 %v, Over4 %v", from.at, a.From.Is6(), a.From.Over4())
				}
				var local [16]byte
				if tt.local != "" {
					local = netip.MustParseAddr(tt.local).As16()
				}
				if a.Local != local {
					t.Errorf("sent to %v, want %v", netip.AddrFrom16(a.Local), netip.AddrFrom16(local))
				}
				if a.Class != class || string(a.Payload) != "hello" || a.Overflow != 0 || a.Segment != 0 {
					t.Errorf("class %#x, want %#x; or %+v", a.Class, class, a)
				}
			}
		})
	}
}

// setClass sets the traffic class of what the socket sends.
func (o *other) setClass(class uint8) {
	o.t.Helper()
	if o.at.Addr().Is6() {
		o.set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(class))
	} else {
		o.set(unix.IPPROTO_IP, unix.IP_TOS, int(class))
	}
}

func TestSockaddrBytes(t *testing.T) {
	tests := []struct {
		in, ip     string
		port       uint16
		zone       uint32
		six, over4 bool
	}{
		{in: "192.0.2.7:65535", ip: "::ffff:192.0.2.7", port: 65535, over4: true},
		{in: "[::ffff:192.0.2.7]:258", ip: "::ffff:192.0.2.7", port: 258, over4: true},
		{in: "[2001:db8::7]:443", ip: "2001:db8::7", port: 443, six: true},
		{in: "[fe80::1%7]:80", ip: "fe80::1", port: 80, zone: 7, six: true},
		{in: "[::]:1", ip: "::", port: 1, six: true},
	}
	for _, tt := range tests {
		s := NewSockaddr(netip.MustParseAddrPort(tt.in))
		address, port, zone := s.Bytes()
		if address != netip.MustParseAddr(tt.ip).As16() || port != tt.port || zone != tt.zone {
			t.Errorf("%s: %v, %d, %d", tt.in, netip.AddrFrom16(address), port, zone)
		}
		if s.Is6() != tt.six || s.Over4() != tt.over4 {
			t.Errorf("%s: Is6 %v, Over4 %v", tt.in, s.Is6(), s.Over4())
		}
	}
	mapped := Sockaddr{raw: unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: netip.MustParseAddr("::ffff:192.0.2.7").As16()}}
	if address, _, _ := mapped.Bytes(); address != mapped.raw.Addr || !mapped.Is6() || !mapped.Over4() {
		t.Errorf("a mapped peer is %v, Is6 %v, Over4 %v", address, mapped.Is6(), mapped.Over4())
	}
}

// Several that were sent as one arrive as one where the socket is to take them so, and one by one where it isn't.
func TestReceiveCoalesced(t *testing.T) {
	if f := DatagramFeatures(); !f.Coalesce || !f.Segment {
		t.Skipf("the kernel has %+v", f)
	}
	tests := []struct {
		size, segment, want int
		n                   int
	}{
		{size: 12_000, segment: 1200, want: 1200, n: 10},
		{size: 12_001, segment: 1200, want: 1200, n: 11},
		{size: 1199, segment: 1200, want: 0, n: 1},
		{size: 1200, segment: 1200, want: 0, n: 1},
		{size: 1201, segment: 1200, want: 1200, n: 2},
		{size: 60, segment: 1, want: 1, n: 60},
		{size: 64_000, segment: 1400, want: 1400, n: 46},
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		t.Run(ip, func(t *testing.T) {
			o := DatagramOptions{Addr: netip.AddrPortFrom(netip.MustParseAddr(ip), 0), Receive: 400_000}
			together, at := datagramSocket(t, o)
			o.NoOffload = true
			apart, atApart := datagramSocket(t, o)
			from, in := otherAt(t, ip), NewInbox(64)
			for k, tt := range tests {
				from.set(unix.IPPROTO_UDP, unix.UDP_SEGMENT, tt.segment)
				data := numbered(k, tt.size)
				from.send(at, data)
				in.Reset()
				a := in.At(receive(t, in, together, 1))
				if a.Segment != tt.want || a.Datagrams() != tt.n || !bytes.Equal(a.Payload, data) {
					t.Errorf("%d bytes in datagrams of %d: %d bytes of %d each, %d of them, want %d; or other bytes",
						tt.size, tt.segment, len(a.Payload), a.Segment, a.Datagrams(), tt.n)
				}
				from.send(atApart, data)
				in.Reset()
				var got []byte
				for i := range receive(t, in, apart, tt.n) + tt.n {
					a := in.At(i)
					got = append(got, a.Payload...)
					if a.Segment != 0 || a.Datagrams() != 1 || len(a.Payload) != min(tt.segment, tt.size-i*tt.segment) {
						t.Errorf("without offload: datagram %d has %d bytes in %d of %d", i, len(a.Payload), a.Datagrams(), a.Segment)
					}
				}
				if !bytes.Equal(got, data) {
					t.Error("without offload: other bytes")
				}
			}
		})
	}
}

func TestDatagramsOfArrival(t *testing.T) {
	for _, tt := range [][3]int{{0, 0, 1}, {10, 0, 1}, {10, 3, 4}, {9, 3, 3}, {10, 9, 2}, {MaxDatagram, 1, MaxDatagram}} {
		if a := (Arrival{Payload: make([]byte, tt[0]), Segment: tt[1]}); a.Datagrams() != tt[2] {
			t.Errorf("%d bytes in datagrams of %d: %d, want %d", tt[0], tt[1], a.Datagrams(), tt[2])
		}
	}
}

// A socket says how many datagrams it has lost for want of buffer: exactly those that were sent and didn't come.
func TestOverflow(t *testing.T) {
	fd, at := datagramSocket(t, DatagramOptions{Addr: loopback, Receive: 1})
	from, in := otherAt(t, "127.0.0.1"), NewInbox(1000)
	lost := uint32(0)
	for round := range 3 {
		const sent = 500
		for range sent {
			from.send(at, []byte("x"))
		}
		// The one that finds room again tells of those before it.
		in.Reset()
		came := 0
		for {
			_, n, e := in.Receive(fd, 1000)
			if came += n; e == unix.EAGAIN {
				break
			} else if e != 0 {
				t.Fatal(e)
			}
		}
		lost += uint32(sent - came)
		from.send(at, []byte("told"))
		a := in.At(receive(t, in, fd, 1))
		if string(a.Payload) != "told" || a.Overflow != lost || lost == 0 {
			t.Errorf("round %d: %q tells of %d lost ones, want %d", round, a.Payload, a.Overflow, lost)
		}
		if !slices.IsSortedFunc(in.arrivals[:in.Len()], func(a, b Arrival) int { return int(a.Overflow) - int(b.Overflow) }) {
			t.Errorf("round %d: the count goes down", round)
		}
	}
}

// BenchmarkReceive measures receiving 32 datagrams of 64 bytes; ns/receive and ns/datagram are without their sending.
func BenchmarkReceive(b *testing.B) {
	for _, coalesced := range []bool{false, true} {
		name := "apart"
		if coalesced {
			name = "coalesced"
		}
		b.Run(name, func(b *testing.B) {
			fd, at := datagramSocket(b, DatagramOptions{Addr: loopback})
			const n, size = 32, 64
			from, in := otherAt(b, "127.0.0.1"), NewInbox(n)
			to := NewSockaddr(at)
			if e := ConnectDatagrams(from.fd, &to); e != 0 {
				b.Fatal(e)
			}
			l, err := New(Options{Ring: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Destroy()
			out := NewOutbox(n, n)
			data := make([]byte, n*size)
			want := n
			if coalesced {
				if f := DatagramFeatures(); !f.Coalesce || !f.Segment {
					b.Skipf("the kernel has %+v", f)
				}
				want = 1
				out.Add(Departure{FD: int32(from.fd), Segment: size})
				out.Part(data)
			} else {
				for i := range n {
					out.Add(Departure{FD: int32(from.fd)})
					out.Part(data[i*size:][:size])
				}
			}
			var spent time.Duration
			b.ReportAllocs()
			for b.Loop() {
				l.Send(out)
				in.Reset()
				start := time.Now()
				receive(b, in, fd, want)
				spent += time.Since(start)
			}
			b.ReportMetric(float64(spent)/float64(b.N), "ns/receive")
			b.ReportMetric(float64(spent)/float64(b.N*n), "ns/datagram")
		})
	}
}
