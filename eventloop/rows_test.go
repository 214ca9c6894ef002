package eventloop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What can't be sent holds back what would overtake it, and nothing else, wherever in the ring that is.
func TestSendHoldsBack(t *testing.T) {
	const big = "a datagram that is too large"
	tooLarge := strings.Repeat("x", 65_508)
	steps := []struct {
		who, what string // a, b: connected sockets; x, y: clients of one socket that isn't
		want      unix.Errno
	}{
		{"a", "1", 0}, {"a", big, unix.EMSGSIZE}, {"a", "2", unix.ECANCELED}, {"a", "3", unix.ECANCELED}, {"a", big, unix.ECANCELED},
		{"b", "1", 0},
		{"x", "1", 0}, {"x", big, unix.EMSGSIZE}, {"x", "2", unix.ECANCELED},
		{"y", "1", 0}, {"y", "2", 0},
		{"x", "3", 0}, // not a neighbour any more
		{"y", big, unix.EMSGSIZE},
		{"a", "4", 0},
		{"b", big, unix.EMSGSIZE}, {"b", "2", unix.ECANCELED},
	}
	bothWays(t, func(t *testing.T, l *Loop) {
		at := map[string]*other{}
		for _, name := range []string{"a", "b", "x", "y", "before"} {
			at[name] = otherAt(t, "127.0.0.1")
		}
		departures := map[string]Departure{}
		clients, _ := datagramsAt(t, "127.0.0.1")
		for name, o := range at {
			to := NewSockaddr(o.at)
			if name == "x" || name == "y" {
				departures[name] = Departure{FD: int32(clients), To: &to}
			} else {
				departures[name] = Departure{FD: int32(connectedDatagrams(t, &to))}
			}
		}
		out := NewOutbox(32, 32)
		for before := range 18 {
			var errnos []unix.Errno
			want := map[string][]string{}
			add := func(who, what string, e unix.Errno) {
				errnos = append(errnos, e)
				if e == 0 {
					what = fmt.Sprint(before, " ", what)
					want[who] = append(want[who], what)
				}
				if what == big {
					what = tooLarge
				}
				out.sends(departures[who], what)
			}
			for range before {
				add("before", "", 0)
			}
			for _, s := range steps {
				add(s.who, s.what, s.want)
			}
			l.Send(out)
			out.wantErrnos(t, errnos...)
			for who, o := range at {
				// Two runs of one socket may overtake each other, one run's datagrams may not.
				var got []string
				for range want[who] {
					b, _, _ := o.next()
					got = append(got, string(b))
				}
				if who == "x" || who == "a" {
					slices.Sort(got)
				}
				if !slices.Equal(got, want[who]) {
					t.Errorf("%d before: %s got %q, want %q", before, who, got, want[who])
				}
			}
			out.Reset()
		}
		for _, o := range at {
			o.quiet()
		}
	})
}

// An error that came by ICMP is a datagram's result instead of its being sent, once.
func TestSendAfterError(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		a, b := otherAt(t, "127.0.0.1"), otherAt(t, "127.0.0.1")
		toA, toB := NewSockaddr(a.at), NewSockaddr(b.at)
		fdA, fdB := int32(connectedDatagrams(t, &toA)), int32(connectedDatagrams(t, &toB))
		a.shut()
		if _, e := Write(int(fdA), []byte("to nobody")); e != 0 {
			t.Fatal(e)
		}
		awaits(t, int(fdA), unix.POLLERR)
		a.reopen()
		out := NewOutbox(4, 4)
		for _, s := range []string{"1", "2", "3"} {
			out.sends(Departure{FD: fdA}, s)
		}
		out.sends(Departure{FD: fdB}, "4")
		l.Send(out)
		out.wantErrnos(t, unix.ECONNREFUSED, unix.ECANCELED, unix.ECANCELED, 0)
		b.wants("4")
		a.quiet()
		l.Send(out) // once more, which is what a caller does
		out.wantErrnos(t, 0, 0, 0, 0)
		a.wants("1", "2", "3")
		b.wants("4")
	})
}

// More than the ring takes at a time, from many sockets: all are sent, each socket's in their order.
func TestSendMany(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		type flow struct {
			fd   int32
			peer *other
		}
		var flows []flow
		for range 7 {
			o := otherAt(t, "127.0.0.1")
			to := NewSockaddr(o.at)
			flows = append(flows, flow{int32(connectedDatagrams(t, &to)), o})
		}
		out := NewOutbox(0, 0)
		for round := range 5 {
			want := make([][]string, len(flows))
			for i, f := range flows {
				for k := range 1 + (i*5+round*3)%13 { // rows shorter and longer than the ring, across its end
					s := fmt.Sprint("round ", round, ", datagram ", k, " of socket ", i)
					want[i] = append(want[i], s)
					out.sends(Departure{FD: f.fd}, s)
				}
			}
			l.Send(out)
			out.wantErrnos(t, make([]unix.Errno, out.Len())...)
			for i, f := range flows {
				f.peer.wants(want[i]...)
			}
			out.Reset()
		}
	})
}

// A ring that the kernel refuses to serve is done without, and served again when it is.
func TestSendRingRefused(t *testing.T) {
	l := newRig(t, Options{Ring: 8}).Loop
	if l.ring == nil {
		_, err := newRing(8)
		t.Skip("no ring here: ", err)
	}
	a, b := otherAt(t, "127.0.0.1"), otherAt(t, "127.0.0.1")
	toA, toB := NewSockaddr(a.at), NewSockaddr(b.at)
	fdA, fdB := int32(connectedDatagrams(t, &toA)), int32(connectedDatagrams(t, &toB))
	out := NewOutbox(20, 20)
	send := func() {
		t.Helper()
		var want []string
		for k := range 10 {
			want = append(want, fmt.Sprint(k))
			out.sends(Departure{FD: fdA}, want[k])
		}
		out.sends(Departure{FD: fdB}, "b")
		l.Send(out)
		out.wantErrnos(t, make([]unix.Errno, 11)...)
		a.wants(want...)
		b.wants("b")
		out.Reset()
	}
	send()
	fd := l.ring.fd
	l.ring.fd = -1
	send()
	l.ring.fd = fd
	send()
	if joint := l.Stats().Joint; joint != 22 {
		t.Errorf("%d datagrams shared a system call, want 22", joint)
	}
}
