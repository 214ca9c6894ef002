package eventloop

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"weak"

	"golang.org/x/sys/unix"
)

// sends adds a datagram of one part.
func (o *Outbox) sends(d Departure, s string) {
	o.Add(d)
	o.Part([]byte(s))
}

// wantErrnos checks the results after Send.
func (o *Outbox) wantErrnos(t *testing.T, want ...unix.Errno) {
	t.Helper()
	if o.Len() != len(want) {
		t.Fatalf("%d datagrams, want %d", o.Len(), len(want))
	}
	for i, e := range want {
		if got := o.At(i).Errno; got != e {
			t.Errorf("datagram %d: %v, want %v", i, got, e)
		}
	}
}

// A datagram is all of its parts; one of none is empty. Each goes to whom it is for, from a connected socket or another.
func TestSendParts(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		fd, at := datagramsAt(t, "127.0.0.1")
		a, b := otherAt(t, "127.0.0.1"), otherAt(t, "127.0.0.2")
		toA, toB := NewSockaddr(a.at), NewSockaddr(b.at)
		connected := connectedDatagrams(t, &toB)
		setInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 200_000)
		a.set(unix.SOL_SOCKET, unix.SO_RCVBUF, 200_000)
		large := numbered(5, 65_507)
		out := NewOutbox(1, 1) // it grows
		for round := range 2 {
			out.Add(Departure{FD: int32(fd), To: &toA, Errno: unix.EBADMSG})
			for _, s := range []string{"one, ", "", "two, ", "three"} {
				out.Part([]byte(s))
			}
			out.Add(Departure{FD: int32(connected), Errno: unix.EBADMSG})
			out.sends(Departure{FD: int32(fd), To: &toB}, "to another")
			out.Add(Departure{FD: int32(connected)})
			out.Part(large[:1])
			out.Part(large[1:40_000])
			out.Part(large[40_000:])
			out.sends(Departure{FD: int32(fd), To: &toA}, "")
			l.Send(out)
			out.wantErrnos(t, 0, 0, 0, 0, 0)
			for i, size := range []int{15, 0, 10, 65_507, 0} {
				if out.Size(i) != size {
					t.Errorf("datagram %d has %d bytes, want %d", i, out.Size(i), size)
				}
			}
			if b := out.Bytes(2); string(b) != "to another" {
				t.Errorf("datagram 2 is %q", b)
			}
			if b := out.Bytes(1); len(b) != 0 {
				t.Errorf("datagram 1 is %q", b)
			}
			a.wants("one, two, three", "")
			// Of two sockets, either may be the first.
			got := map[string]netip.AddrPort{}
			for range 3 {
				payload, from, _ := b.next()
				got[string(payload)] = from
			}
			own, err := ListeningOn(connected)
			if err != nil {
				t.Fatal(err)
			}
			for payload, from := range map[string]netip.AddrPort{"": own, string(large): own, "to another": at} {
				if got[payload] != from {
					t.Errorf("%d bytes from %v, want %s", len(payload), got[payload], from)
				}
			}
			out.Reset()
			if out.Len() != 0 {
				t.Errorf("%d datagrams after Reset", out.Len())
			}
			if joint := l.Stats().Joint; l.ring != nil && joint != uint64(5*(round+1)) || l.ring == nil && joint != 0 {
				t.Errorf("%d datagrams shared a system call", joint)
			}
		}
		l.Send(out) // nothing
		a.quiet()
		b.quiet()
	})
}

// A socket's datagrams need no ring: they have a system call of their own.
func TestSendRowOfOneSocket(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		fd, _ := datagramsAt(t, "127.0.0.1")
		a := otherAt(t, "127.0.0.1")
		to := NewSockaddr(a.at)
		out := NewOutbox(20, 20)
		var want []string
		for k := range 20 {
			want = append(want, fmt.Sprint("datagram ", k))
			out.sends(Departure{FD: int32(fd), To: &to}, want[k])
		}
		l.Send(out)
		out.wantErrnos(t, make([]unix.Errno, 20)...)
		a.wants(want...)
		if joint := l.Stats().Joint; joint != 0 {
			t.Errorf("%d datagrams went through the ring", joint)
		}
	})
}

// An answer comes from the address that the client wrote to, with the class that it is given, in datagrams of the size that was asked for.
func TestSendControl(t *testing.T) {
	tests := []struct {
		name, listen, client, at string
		mapped                   bool // the client's address is in IPv6's form, as an IPv6 socket receives it
	}{
		{name: "IPv4", listen: "0.0.0.0", client: "127.0.0.2", at: "127.0.0.3"},
		{name: "dual-stack, IPv4", listen: "::", client: "127.0.0.2", at: "127.0.0.3", mapped: true},
		{name: "dual-stack, IPv4 in its own form", listen: "::", client: "127.0.0.2", at: "127.0.0.3"},
		{name: "IPv6", listen: "::", client: "::1", at: "::1"},
		{name: "IPv6, another address", listen: "::", client: "::1", at: otherAddress6(t)},
		{name: "bound, IPv4", listen: "127.0.0.1", client: "127.0.0.2"},
		{name: "bound, IPv6", listen: "::1", client: "::1"},
	}
	bothWays(t, func(t *testing.T, l *Loop) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				fd, at := datagramsAt(t, tt.listen)
				another, _ := datagramsAt(t, tt.listen)
				client := otherAt(t, tt.client)
				from := at
				to := NewSockaddr(client.at)
				d := Departure{FD: int32(fd), To: &to, Six: client.at.Addr().Is6()}
				if tt.mapped {
					to.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: to.raw.Port, Addr: client.at.Addr().As16()}
					to.size = unix.SizeofSockaddrInet6
				}
				if tt.at != "" {
					from = netip.AddrPortFrom(netip.MustParseAddr(tt.at), at.Port())
					d.From = from.Addr().As16()
				}
				if client.at.Addr().Is6() {
					client.set(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
				} else {
					client.set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
				}
				out := NewOutbox(8, 8)
				for _, class := range []uint8{0, 0xba, 0x01, 0xff} {
					d.Class = class
					d.Segment = 0
					out.sends(d, "alone")
					want := []string{"alone"}
					if DatagramFeatures().Segment {
						d.Segment = 5
						out.sends(d, "one bytwo by")
						out.Part([]byte("end"))
						want = append(want, "one b", "ytwo ", "byend")
						out.sends(d, "tail.s")
						want = append(want, "tail.", "s")
					}
					d.Segment = 0
					out.sends(d, "the last")
					want = append(want, "the last")
					out.sends(Departure{FD: int32(another), To: &to, Six: d.Six}, "x") // a second socket, for the ring
					l.Send(out)
					out.wantErrnos(t, make([]unix.Errno, out.Len())...)
					got := map[string]int{}
					for range len(want) + 1 {
						payload, source, c := client.next()
						got[string(payload)]++
						if string(payload) == "x" {
							continue
						}
						if source != from || c != class {
							t.Errorf("%q from %s with class %#x, want %s and %#x", payload, source, c, from, class)
						}
						if i := len(got) - got["x"] - 1; want[i] != string(payload) {
							t.Errorf("datagram %d is %q, want %q", i, payload, want[i])
						}
					}
					out.Reset()
				}
			})
		}
	})
}

// otherAddress6 returns an IPv6 address of this machine beside the loopback's, or that where there is none.
func otherAddress6(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "::1"
}

// A socket's class is that of datagrams with none.
func TestSendClassOfSocket(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		a := otherAt(t, "127.0.0.1")
		a.set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
		to := NewSockaddr(a.at)
		fd := connectedDatagrams(t, &to)
		setInt(fd, unix.IPPROTO_IP, unix.IP_TOS, 0x28)
		out := NewOutbox(2, 2)
		out.sends(Departure{FD: int32(fd)}, "the socket's")
		out.sends(Departure{FD: int32(fd), Class: 0xb8, From: [16]byte{1}}, "its own") // a connected socket has its source
		l.Send(out)
		out.wantErrnos(t, 0, 0)
		for _, want := range []uint8{0x28, 0xb8} {
			if payload, _, class := a.next(); class != want {
				t.Errorf("%q with class %#x, want %#x", payload, class, want)
			}
		}
	})
}

// Descriptors that are none, or no sockets, have their results, too.
func TestSendOutcomes(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		a := otherAt(t, "127.0.0.1")
		to, none := NewSockaddr(a.at), Sockaddr{}
		fd, _ := datagramsAt(t, "127.0.0.1")
		file := openFD(t)
		defer closeFD(file)
		out := NewOutbox(8, 8)
		out.sends(Departure{FD: 1 << 20}, "to nothing")
		out.sends(Departure{FD: 1 << 20}, "to nothing")
		out.sends(Departure{FD: int32(file)}, "to a file")
		out.sends(Departure{FD: int32(fd)}, "to nobody")
		out.sends(Departure{FD: int32(fd), To: &none}, "to no address")
		out.sends(Departure{FD: int32(fd), To: &to, From: netip.MustParseAddr("192.0.2.1").As16()}, "from an address of others")
		out.sends(Departure{FD: int32(fd), To: &to}, "to somebody")
		l.Send(out)
		for i, want := range []unix.Errno{unix.EBADF, unix.ECANCELED, unix.ENOTSOCK, unix.EDESTADDRREQ, unix.EDESTADDRREQ, unix.ENETUNREACH, unix.ECANCELED} {
			if got := out.At(i).Errno; got != want {
				t.Errorf("%s: %v, want %v", out.Bytes(i), got, want)
			}
		}
		a.quiet()
	})
}

// Reset lets go of what was sent and of the addresses that it was for, also when the Outbox has grown, or was never sent.
func TestOutboxResetLetsGo(t *testing.T) {
	l := newRig(t, Options{Ring: -1}).Loop
	fd, _ := datagramsAt(t, "127.0.0.1")
	at := NewSockaddr(otherAt(t, "127.0.0.1").at)
	out := NewOutbox(1, 1)
	fill := func(n int, send bool) (parts []weak.Pointer[[64]byte], to []weak.Pointer[Sockaddr]) {
		for range n {
			p, addr := new([64]byte), new(Sockaddr)
			*addr = at
			out.Add(Departure{FD: int32(fd), To: addr})
			out.Part(p[:])
			parts, to = append(parts, weak.Make(p)), append(to, weak.Make(addr))
			if send {
				l.Send(out) // and grow later
			}
		}
		return parts, to
	}
	for _, send := range []bool{true, false} {
		parts, to := fill(9, send)
		out.Reset()
		runtime.GC()
		for i := range parts {
			if parts[i].Value() != nil || to[i].Value() != nil {
				t.Errorf("sent %v: datagram %d is kept, its bytes %v, its address %v", send, i, parts[i].Value() != nil, to[i].Value() != nil)
			}
		}
	}
	runtime.KeepAlive(out)
}

// From sockets to sockets, in steady state.
func TestDatagramsAllocateNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		var clients, servers []int
		for _, ip := range []string{"0.0.0.0", "0.0.0.0", "127.0.0.1"} {
			fd, at := datagramsAt(t, ip)
			servers = append(servers, fd)
			to := NewSockaddr(netip.AddrPortFrom(loopback.Addr(), at.Port()))
			for range 2 {
				clients = append(clients, connectedDatagrams(t, &to))
			}
		}
		in, out := NewInbox(16), NewOutbox(16, 16)
		buf := make([]byte, 100)
		if n := testing.AllocsPerRun(100, func() {
			for _, fd := range clients {
				_, _ = Write(fd, buf[:50])
				_, _ = Write(fd, buf[:80])
			}
			for _, fd := range servers {
				for range 4 {
					first := receive(t, in, fd, 1)
					a := in.At(first)
					out.Add(Departure{FD: int32(fd), To: a.From, From: a.Local, Class: 0xb8})
					out.Part(a.Payload)
				}
			}
			l.Send(out)
			for i := range out.Len() {
				if e := out.At(i).Errno; e != 0 {
					t.Fatal(e)
				}
			}
			out.Reset()
			in.Reset()
			for _, fd := range clients {
				for range 2 {
					receive(t, in, fd, 1)
				}
			}
			in.Reset()
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// BenchmarkSend measures sending 32 datagrams of 64 bytes, in rows of one socket, and the time until they are in the sockets that they are for; what takes them out again
// is not counted in ns/send.
func BenchmarkSend(b *testing.B) {
	for _, tt := range []struct {
		name          string
		sockets, ring int
	}{{"1 socket", 1, -1}, {"8 sockets", 8, -1}, {"8 sockets, ring", 8, 64}, {"32 sockets", 32, -1}, {"32 sockets, ring", 32, 64}} {
		b.Run(tt.name, func(b *testing.B) {
			l, err := New(Options{Ring: tt.ring})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Destroy()
			if tt.ring > 0 && l.ring == nil {
				_, err := newRing(uint32(tt.ring))
				b.Skip("no ring here: ", err)
			}
			const n = 32
			sink, at := datagramSocket(b, DatagramOptions{Addr: loopback})
			to := NewSockaddr(at)
			var fds []int
			for range tt.sockets {
				fds = append(fds, connectedDatagrams(b, &to))
			}
			in, out := NewInbox(n), NewOutbox(n, n)
			data := bytes.Repeat([]byte("data"), 16)
			var spent time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				for i := range n {
					out.Add(Departure{FD: int32(fds[i*len(fds)/n])})
					out.Part(data)
				}
				l.Send(out)
				spent += time.Since(start)
				if e := out.At(n - 1).Errno; e != 0 {
					b.Fatal(e)
				}
				out.Reset()
				receive(b, in, sink, n)
				in.Reset()
			}
			b.ReportMetric(float64(spent)/float64(b.N), "ns/send")
			b.ReportMetric(float64(spent)/float64(b.N*n), "ns/datagram")
		})
	}
}
