package eventloop

import (
	"errors"
	"runtime"
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

func TestStopIdleLoop(t *testing.T) {
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	awaitBlocked(t, l)
	l.Stop()
	within(t, "Run to return", l.Stopped())
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := l.Post(func() { t.Error("a function ran after the stop") }); err == nil {
		t.Error("Post after the stop gives no error")
	}
	if err := l.Do(func() { t.Error("a function ran after the stop") }); err == nil {
		t.Error("Do after the stop gives no error")
	}
	l.Destroy()
}

func TestStopBeforeRun(t *testing.T) {
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ran := false
	if err := l.Post(func() { ran = true }); err != nil {
		t.Fatal(err)
	}
	l.Stop()
	if err := l.Run(); err != nil || !ran {
		t.Errorf("Run gives %v, what was posted ran: %v", err, ran)
	}
	l.Destroy()
}

func TestDestroyInsteadOfRun(t *testing.T) {
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Destroy()
	done := make(chan error, 1)
	go func() { done <- l.Do(func() { t.Error("ran on a destroyed loop") }) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Do on a destroyed loop gives no error")
		}
	case <-time.After(patienceOfTests):
		t.Fatal("Do on a destroyed loop never returns")
	}
}

// After Destroy the eventfd's number belongs to somebody else, into whom no wake-up may write; also not one that was under way.
func TestWakeMeetsDestroy(t *testing.T) {
	for round := range 200 {
		l, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		number := l.poller.(*epoll).wakeFD
		begin, quit, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			<-begin
			for {
				select {
				case <-quit:
					return
				default:
					l.Stop()
				}
			}
		}()
		if round%2 == 0 {
			close(begin)
		}
		l.Destroy()
		fresh := openFD(t)
		if fresh != number {
			if err := unix.Dup3(fresh, number, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			_ = unix.Close(fresh)
		}
		if round%2 == 1 {
			close(begin)
		}
		l.Stop()
		close(quit)
		<-ended
		var b [8]byte
		if n, err := unix.Read(number, b[:]); err != unix.EAGAIN {
			t.Fatalf("a wake-up wrote into another's descriptor: read %d, %v", n, err)
		}
		_ = unix.Close(number)
	}
}

func TestPin(t *testing.T) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !before.IsSet(cpu) {
		cpu++
	}
	during, after := make(chan unix.CPUSet, 1), make(chan unix.CPUSet, 1)
	l, err := New(Options{Pin: true, CPU: cpu})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Destroy()
	report := func(c chan<- unix.CPUSet) {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			t.Error(err)
		}
		c <- set
	}
	if err := l.Post(func() { report(during); l.Stop() }); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // so that the thread after Run is Run's
	err = l.Run()
	report(after)
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
	if set := <-during; set.Count() != 1 || !set.IsSet(cpu) {
		t.Errorf("the loop's thread may run on %d CPUs, want CPU %d alone", set.Count(), cpu)
	}
	if set := <-after; set != before {
		t.Errorf("after the loop the thread may run on %d CPUs, want the %d from before", set.Count(), before.Count())
	}

	none, err := New(Options{Pin: true, CPU: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Destroy()
	if err := none.Run(); err == nil {
		t.Error("a CPU that isn't there gives no error")
	}
}
