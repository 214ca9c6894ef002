package eventloop

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, fd int, s string) {
	t.Helper()
	if n, e := Write(fd, []byte(s)); n != len(s) || e != 0 {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(s), e)
	}
}

func read(t *testing.T, fd int, want string) {
	t.Helper()
	b := make([]byte, 100)
	if n, e := Read(fd, b); e != 0 || string(b[:n]) != want {
		t.Fatalf("read %q, %v; want %q", b[:n], e, want)
	}
}

func TestEdges(t *testing.T) {
	r := newRig(t, Options{})
	a, b := socketPair(t)
	closeAtEnd(t, b)
	r.register(a, 1, stream)
	r.sees(1, Writable)
	r.quiet(1) // writable still, and told of once
	write(t, b, "x")
	r.sees(1, Readable)
	r.quiet(1) // unread still, and told of once
	calls := r.calls[1]
	write(t, b, "y")
	r.until("the second byte's event", func() bool { return r.calls[1] > calls })
	read(t, a, "xy")

	// Full, then emptied by the peer: one edge.
	block := make([]byte, 64<<10)
	for {
		if _, e := Write(a, block); e == unix.EAGAIN {
			break
		} else if e != 0 {
			t.Fatal(e)
		}
	}
	r.quiet(1)
	r.seen[1] = 0
	for {
		if _, e := Read(b, block); e == unix.EAGAIN {
			break
		} else if e != 0 {
			t.Fatal(e)
		}
	}
	r.sees(1, Writable)
}

func TestEndsOfTCP(t *testing.T) {
	tests := []struct {
		name  string
		peer  func(t *testing.T, ours, theirs int)
		want  Events
		never Events
		err   error
	}{
		{name: "data", want: Readable, never: PeerClosed | HungUp | Failed | Urgent,
			peer: func(t *testing.T, _, theirs int) { write(t, theirs, "x") }},
		{name: "FIN", want: Readable | PeerClosed, never: HungUp | Failed,
			peer: func(_ *testing.T, _, theirs int) { ShutdownWrite(theirs) }},
		{name: "FIN both ways", want: Readable | PeerClosed | HungUp, never: Failed,
			peer: func(_ *testing.T, ours, theirs int) { ShutdownWrite(theirs); ShutdownWrite(ours) }},
		{name: "RST", want: Readable | PeerClosed | HungUp | Failed, err: unix.ECONNRESET,
			peer: func(_ *testing.T, _, theirs int) { SetAbort(theirs); closeFD(theirs) }},
		{name: "urgent byte", want: Urgent, never: PeerClosed | HungUp | Failed,
			peer: func(t *testing.T, _, theirs int) {
				if err := unix.Sendto(theirs, []byte("!"), unix.MSG_OOB, nil); err != nil {
					t.Fatal(err)
				}
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Options{})
			ours, theirs := tcpPair(t)
			if tt.err == nil {
				closeAtEnd(t, theirs)
			}
			r.register(ours, 1, stream)
			r.sees(1, Writable)
			if early := r.seen[1] &^ Writable; early != 0 {
				t.Fatalf("events %#x before the peer did anything", early)
			}
			tt.peer(t, ours, theirs)
			r.sees(1, tt.want)
			r.quiet(1)
			if wrong := r.seen[1] & tt.never; wrong != 0 {
				t.Errorf("events %#x, of which %#x are wrong", r.seen[1], wrong)
			}
			if e := SocketError(ours); e != 0 && e != tt.err || e == 0 && tt.err != nil {
				t.Errorf("SocketError is %v, want %v", e, tt.err)
			}
			if e := SocketError(ours); e != 0 {
				t.Errorf("SocketError is %v after it was taken", e)
			}
		})
	}
}

func TestLevelListener(t *testing.T) {
	r := newRig(t, Options{})
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	tok, err := r.RegisterLevel(ln, r.h, 1, Readable)
	if err != nil {
		t.Fatal(err)
	}
	r.quiet(1)
	closeAtEnd(t, connectTo(t, at), connectTo(t, at))
	r.until("three reports of one queue", func() bool { return r.calls[1] >= 3 })
	r.SetInterest(tok, 0)
	r.turn()
	r.quiet(1)
	r.SetInterest(tok, Readable)
	calls := r.calls[1]
	r.until("a report after the pause", func() bool { return r.calls[1] > calls })
	for range 2 {
		fd, _ := acceptFrom(t, ln)
		closeFD(fd)
	}
	r.turn()
	r.quiet(1)
}

// A listening socket lives on in another process after it was closed here; this loop must not hear of it any more.
func TestClosedListenerIsSilent(t *testing.T) {
	r := newRig(t, Options{})
	ln, at := listenOn(t, ListenOptions{Addr: loopback})
	tok, err := r.RegisterLevel(ln, r.h, 1, Readable)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Export(ln)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.Close(tok)
	r.turn()
	closeAtEnd(t, connectTo(t, at))
	for range 5 {
		r.turn()
	}
	if s := r.Stats(); s.Events != 0 || s.Stale != 0 {
		t.Errorf("%d events, %d of them stale, of a closed listener", s.Events, s.Stale)
	}
}

func TestSmallBatches(t *testing.T) {
	r := newRig(t, Options{Batch: 1})
	for arg := range uint32(5) {
		a, b := socketPair(t)
		closeAtEnd(t, b)
		r.register(a, arg, stream)
	}
	for arg := range uint32(5) {
		r.sees(arg, Writable)
	}
	ran := false
	if err := r.Post(func() { ran = true }); err != nil {
		t.Fatal(err)
	}
	r.until("the posted function", func() bool { return ran })
}

func TestRegisterTwice(t *testing.T) {
	r := newRig(t, Options{})
	a, b := socketPair(t)
	closeAtEnd(t, b)
	r.register(a, 1, stream)
	if _, err := r.Register(a, r.h, 2, stream); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second registration gives %v, want EEXIST", err)
	}
	if _, err := r.Register(noFD(0), r.h, 2, stream); !errors.Is(err, unix.EBADF) {
		t.Errorf("registration of a closed descriptor gives %v, want EBADF", err)
	}
}

// A released descriptor goes to another loop, which is told where it stands.
func TestReleaseToAnotherLoop(t *testing.T) {
	r, other := newRig(t, Options{}), newRig(t, Options{})
	a, b := socketPair(t)
	closeAtEnd(t, b)
	tok := r.register(a, 1, stream)
	r.sees(1, Writable)
	write(t, b, "x")
	other.register(r.Release(tok), 2, stream)
	other.sees(2, Readable|Writable)
	calls := r.calls[1]
	write(t, b, "y")
	r.turn()
	if r.calls[1] != calls {
		t.Error("the first loop was told of a released descriptor")
	}
}

func TestTimersWake(t *testing.T) {
	l := running(t, Options{})
	fired := make(chan int64, 1)
	var asked int64
	err := l.Do(func() {
		h := l.HandleTimers(onExpired(func(arg uint32) {
			if arg == 1 {
				asked = l.Now() + int64(5*time.Millisecond) // longer than a raw wait
				l.StartTimer(asked, 0, 2)
				return
			}
			fired <- l.Now() - asked
		}))
		l.StartTimer(l.Now()+int64(time.Millisecond), h, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case late := <-fired:
		if late < 0 {
			t.Errorf("fired %d ns early", -late)
		}
	case <-time.After(patienceOfTests):
		t.Fatal("the timer never fired")
	}
}
