package eventloop

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

func TestDestroyClosesAll(t *testing.T) {
	openFDs(t) // the first count opens the runtime's own
	before := openFDs(t)
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := l.Handle(onReady(func(Token, uint32, Events) {}))
	register(t, l, openFD(t), h, 0)
	l.Close(register(t, l, openFD(t), h, 1))
	if _, err := l.RegisterLevel(openFD(t), h, 2, Readable); err != nil {
		t.Fatal(err)
	}
	pipe, err := l.LeasePipe()
	if err != nil {
		t.Fatal(err)
	}
	l.ReturnPipe(pipe)
	want := 8
	if l.ring != nil {
		want++
	}
	if n := openFDs(t); n != before+want {
		t.Errorf("%d descriptors more, want %d: the poller's three, three registered, a pipe's two, a ring's where there is one", n-before, want)
	}
	l.Destroy()
	if n := openFDs(t); n != before {
		t.Errorf("%d descriptors more after Destroy than before", n-before)
	}
	// Others get the numbers, and a second Destroy does nothing to them.
	var others []int
	for range 8 {
		others = append(others, openFD(t))
	}
	closeAtEnd(t, others...)
	l.Destroy()
	for _, fd := range others {
		if !isOpen(fd) {
			t.Errorf("a second Destroy closed another's descriptor %d", fd)
		}
	}
}
