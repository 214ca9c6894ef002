package eventloop

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// readControl has an Inbox read control messages in a place between two others, all of which hold the byte outside where control doesn't.
func readControl(in *Inbox, control []byte, payload int, outside byte) Arrival {
	const place = 1
	for i := range in.controls {
		for j := range in.controls[i] {
			in.controls[i][j] = outside
		}
	}
	copy(in.controls[place][:], control)
	in.messages[place].size = uint32(payload)
	in.messages[place].header.SetControllen(len(control))
	in.read(place)
	return in.arrivals[place]
}

// FuzzControl reads arbitrary bytes as control messages, against x/sys's reading of them one by one. What lies behind them must not count.
func FuzzControl(f *testing.F) {
	in := NewInbox(3)
	f.Fuzz(func(t *testing.T, control []byte, payload uint16) {
		control = control[:min(len(control), inboxControl)]
		got := readControl(in, control, int(payload), 0)
		for _, outside := range []byte{0x01, 0x10, 0xff} {
			if again := readControl(in, control, int(payload), outside); !sameArrival(&again, &got) {
				t.Errorf("%+v or, with other bytes behind, %+v", got, again)
			}
		}
		if len(got.Payload) != int(payload) || got.From != &in.names[1] {
			t.Errorf("%d bytes from %p", len(got.Payload), got.From)
		}
		want := Arrival{Payload: got.Payload, From: got.From}
		for rest := control; len(rest) >= unix.SizeofCmsghdr; {
			h, data, left, err := unix.ParseOneSocketControlMessage(rest)
			if err != nil {
				break
			}
			expect(&want, h, data)
			rest = left
		}
		if !sameArrival(&got, &want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got.Segment < 0 || got.Segment > 0 && got.Segment >= len(got.Payload) {
			t.Errorf("datagrams of %d in %d bytes", got.Segment, len(got.Payload))
		}
		if n := got.Datagrams(); n < 1 || n > 1 && (n-1)*got.Segment >= len(got.Payload) || got.Segment > 0 && n*got.Segment < len(got.Payload) {
			t.Errorf("%d datagrams of %d in %d bytes", n, got.Segment, len(got.Payload))
		}
	})
}

func sameArrival(a, b *Arrival) bool {
	return len(a.Payload) == len(b.Payload) && a.Segment == b.Segment && a.From == b.From && a.Local == b.Local && a.Overflow == b.Overflow && a.Class == b.Class
}

// expect is what a control message means: udp(7), ip(7), ipv6(7), socket(7).
func expect(a *Arrival, h unix.Cmsghdr, data []byte) {
	var number uint32
	if len(data) >= 4 {
		number = binary.NativeEndian.Uint32(data)
	}
	switch [2]int32{h.Level, h.Type} {
	case [2]int32{unix.SOL_UDP, unix.UDP_GRO}:
		if len(data) >= 4 && int(number) < len(a.Payload) {
			a.Segment = int(number)
		}
	case [2]int32{unix.SOL_IP, unix.IP_TOS}:
		if len(data) >= 1 {
			a.Class = data[0]
		}
	case [2]int32{unix.SOL_IPV6, unix.IPV6_TCLASS}:
		if len(data) >= 4 {
			a.Class = byte(number)
		}
	case [2]int32{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}:
		if len(data) >= 4 {
			a.Overflow = number
		}
	case [2]int32{unix.SOL_IP, unix.IP_PKTINFO}:
		if len(data) >= 8 {
			a.Local = [16]byte{10: 0xff, 11: 0xff, 12: data[4], 13: data[5], 14: data[6], 15: data[7]}
		}
	case [2]int32{unix.SOL_IPV6, unix.IPV6_PKTINFO}:
		if len(data) >= 16 {
			a.Local = [16]byte(data[:16])
		}
	}
}

// All that a socket is told at once has room in a place; so does all that a datagram is sent with.
func TestControlFits(t *testing.T) {
	told := 0
	for _, size := range []int{unix.SizeofInet6Pktinfo, 4, 4, 4, 4} { // destination, TCLASS, TOS, UDP_GRO, SO_RXQ_OVFL
		told += unix.CmsgSpace(size)
	}
	if told > inboxControl {
		t.Errorf("%d bytes for %d", inboxControl, told)
	}
	to := NewSockaddr(netip.MustParseAddrPort("[::1]:9"))
	d := Departure{To: &to, From: [16]byte{15: 1}, Segment: 100, Class: 1, Six: true}
	var b [outboxControl]byte
	if n := d.control(&b); n != unix.CmsgSpace(2)+unix.CmsgSpace(4)+unix.CmsgSpace(unix.SizeofInet6Pktinfo) {
		t.Errorf("%d bytes", n)
	}
}
