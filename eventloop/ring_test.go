package eventloop

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// bothWays runs a test of writing with a ring and without; with one only where this system allows it.
func bothWays(t *testing.T, test func(t *testing.T, l *Loop)) {
	for _, size := range []int{8, -1} {
		t.Run(fmt.Sprintf("ring=%d", size), func(t *testing.T) {
			l := newRig(t, Options{Ring: size}).Loop
			if size > 0 && l.ring == nil {
				_, err := newRing(uint32(size))
				t.Skip("no ring here: ", err)
			}
			test(t, l)
		})
	}
}

// socketPairs returns n connected pairs of non-blocking stream sockets; they end with the test.
func socketPairs(t *testing.T, n int) (pairs [][2]int) {
	t.Helper()
	for range n {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for _, fd := range p {
				if isOpen(fd) {
					_ = unix.Close(fd)
				}
			}
		})
		pairs = append(pairs, p)
	}
	return pairs
}

// More writes than the ring takes at a time: all are made, in their order, also those to one socket.
func TestWriteAll(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		pairs := socketPairs(t, 10)
		for round := range 5 {
			var out []Outgoing
			want := make([][]byte, len(pairs))
			for k := range 35 {
				i := k % len(pairs)
				data := bytes.Repeat([]byte{byte(round*40 + k)}, 1+k*7)
				want[i] = append(want[i], data...)
				out = append(out, Outgoing{FD: int32(pairs[i][0]), Data: data, N: -7, Errno: unix.EBADMSG})
			}
			l.WriteAll(out)
			for k, o := range out {
				if o.Errno != 0 || int(o.N) != len(o.Data) {
					t.Errorf("write %d: %d bytes of %d, %v", k, o.N, len(o.Data), o.Errno)
				}
			}
			for i, p := range pairs {
				got := make([]byte, 64<<10)
				n, err := unix.Read(p[1], got)
				if err != nil || !bytes.Equal(got[:n], want[i]) {
					t.Errorf("socket %d: got %d bytes, want %d, or others; %v", i, n, len(want[i]), err)
				}
			}
		}
		if joint := l.Stats().Joint; l.ring != nil && joint < 5*32 || l.ring == nil && joint != 0 {
			t.Errorf("%d writes shared a system call", joint)
		}
	})
}

// Every write has its own outcome: taken in part, not at all, refused by a peer that is gone, a descriptor that is none.
func TestWriteAllOutcomes(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		pairs := socketPairs(t, 4)
		whole, part, full, gone := pairs[0], pairs[1], pairs[2], pairs[3]
		large := make([]byte, 4<<20)
		for {
			if _, e := Write(full[0], large); e == unix.EAGAIN {
				break
			} else if e != 0 {
				t.Fatal(e)
			}
		}
		if err := unix.Close(gone[1]); err != nil {
			t.Fatal(err)
		}
		out := []Outgoing{
			{FD: int32(part[0]), Data: large},
			{FD: int32(full[0]), Data: large},
			{FD: int32(gone[0]), Data: []byte("to nobody")},
			{FD: 1 << 20, Data: []byte("to nothing")},
			{FD: int32(whole[0]), Data: []byte("to somebody")},
		}
		l.WriteAll(out)
		if o := out[0]; o.Errno != 0 || o.N <= 0 || int(o.N) >= len(large) {
			t.Errorf("to one that takes a part: %d, %v", o.N, o.Errno)
		}
		for i, want := range map[int]unix.Errno{1: unix.EAGAIN, 2: unix.EPIPE, 3: unix.EBADF, 4: 0} {
			if o := out[i]; o.Errno != want || want != 0 && o.N != 0 {
				t.Errorf("write %d: %d bytes, %v, want %v", i, o.N, o.Errno, want)
			}
		}
		got := make([]byte, 100)
		if n, err := unix.Read(whole[1], got); err != nil || string(got[:n]) != "to somebody" {
			t.Errorf("read %q, %v", got[:n], err)
		}
	})
}

// A ring that the kernel refuses to serve is done without, and served again when it is.
func TestWriteAllRingRefused(t *testing.T) {
	l := newRig(t, Options{Ring: 8}).Loop
	if l.ring == nil {
		_, err := newRing(8)
		t.Skip("no ring here: ", err)
	}
	pair := socketPairs(t, 1)[0]
	send := func(a, b string) {
		t.Helper()
		out := []Outgoing{{FD: int32(pair[0]), Data: []byte(a)}, {FD: int32(pair[0]), Data: []byte(b)}}
		l.WriteAll(out)
		got := make([]byte, 100)
		if n, err := unix.Read(pair[1], got); err != nil || string(got[:n]) != a+b {
			t.Errorf("read %q and %v, want %q", got[:n], err, a+b)
		}
	}
	send("with ", "it")
	fd := l.ring.fd
	l.ring.fd = -1
	send("without", " it")
	l.ring.fd = fd
	send("with it", " again")
	if joint := l.Stats().Joint; joint != 4 {
		t.Errorf("%d writes shared a system call, want 4", joint)
	}
}

func TestWriteAllAllocatesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, l *Loop) {
		pairs := socketPairs(t, 6)
		out := make([]Outgoing, len(pairs))
		got := make([]byte, 16)
		if n := testing.AllocsPerRun(100, func() {
			for i, p := range pairs {
				out[i] = Outgoing{FD: int32(p[0]), Data: got[:8]}
			}
			l.WriteAll(out)
			for _, p := range pairs {
				if n, e := Read(p[1], got); n != 8 || e != 0 {
					t.Fatal(n, e)
				}
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// BenchmarkWriteAll measures 64 small writes to as many sockets, and reading them.
func BenchmarkWriteAll(b *testing.B) {
	for _, size := range []int{64, -1} {
		b.Run(fmt.Sprintf("ring=%d", size), func(b *testing.B) {
			l, err := New(Options{Ring: size})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Destroy()
			var out []Outgoing
			var ends []int
			for range 64 {
				p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) }()
				out, ends = append(out, Outgoing{FD: int32(p[0]), Data: make([]byte, 64)}), append(ends, p[1])
			}
			buf := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				l.WriteAll(out)
				for _, fd := range ends {
					if _, e := Read(fd, buf); e != 0 {
						b.Fatal(e)
					}
				}
			}
		})
	}
}
