package eventloop

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A raw wait keeps the scheduler's P. With as many loops as Ps, all of them always in raw waits, a collection can only end if the
// loops give way to the runtime's signal.
func TestCollectionMeetsRawWaits(t *testing.T) {
	const loops = 2
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(loops))
	var all []*Loop
	for range loops {
		l := running(t, Options{})
		all = append(all, l)
		if err := l.Do(func() {
			var h HandlerID
			again := onExpired(func(uint32) { l.StartTimer(l.Now()+int64(tick)/2, h, 0) })
			h = l.HandleTimers(again)
			again(0)
		}); err != nil {
			t.Fatal(err)
		}
	}
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for end := time.Now().Add(patienceOfTests / 2); time.Now().Before(end); {
			runtime.GC()
			if all[0].Stats().Yields > 0 && all[1].Stats().Yields > 0 {
				return
			}
		}
	}()
	within(t, "the garbage collector", collected)
	for i, l := range all {
		s := l.Stats()
		if s.Yields == 0 {
			t.Errorf("loop %d was never interrupted in a raw wait: %+v", i, s)
		}
		if s.Waits < s.Yields || s.Waits < s.Batches {
			t.Errorf("loop %d: %+v, want at least a wait for each turn", i, s)
		}
	}
}

// An idle loop gives the processor back and takes a collection no time at all.
func TestCollectionMeetsBlockedLoop(t *testing.T) {
	l := running(t, Options{})
	awaitBlocked(t, l)
	collected := make(chan struct{})
	go func() { runtime.GC(); close(collected) }()
	within(t, "the garbage collector", collected)
	if s := l.Stats(); s.Blocking == 0 || s.Blocking > s.Waits {
		t.Errorf("%+v, want some waits to block", s)
	}
}

func TestWaitCounts(t *testing.T) {
	p, err := NewEpoll(0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out := make([]Event, 4)
	stats := p.(PollStatser).PollStats
	wait := func(timeout time.Duration) (blocked uint64) {
		t.Helper()
		for { // until it was not interrupted
			was := stats()
			if n, err := p.Wait(out, timeout); n != 0 || err != nil {
				t.Fatalf("Wait reports %d events, %v", n, err)
			}
			if now := stats(); now.Yields == was.Yields {
				if now.Waits-was.Waits != 1 {
					t.Errorf("%+v after %+v: want one wait", now, was)
				}
				return now.Blocking - was.Blocking
			}
		}
	}
	for _, short := range []time.Duration{0, 1, tick} {
		if wait(short) != 0 {
			t.Errorf("a wait of %v blocks", short)
		}
	}
	if wait(tick+1) != 0 {
		t.Error("the first long wait blocks: nothing says yet that the loop is idle")
	}
	if wait(tick+1) != 1 {
		t.Error("a long wait doesn't block after a tick without an event")
	}
	if wait(tick) != 0 {
		t.Error("a short wait blocks when the loop is idle")
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) }()
	if err := p.Add(fds[0], token(1, 1), Readable|edge); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fds[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Wait(out, -1); n != 1 || err != nil {
		t.Fatalf("Wait reports %d events, %v", n, err)
	}
	// Busy until a whole tick has passed without an event; the one under way had one.
	for k, want := range []uint64{0, 0, 1} {
		if got := wait(tick + 1); got != want {
			t.Errorf("wait %d after an event blocked %d times, want %d", k, got, want)
		}
	}
	p.Wake()
	if wait(-1) != 1 { // and returns
		t.Error("a wait of an idle loop with a wake-up before it doesn't block")
	}
	p.Wake()
	p.Wake()
	if n, err := p.Wait(out[:1], -1); n != 0 || err != nil {
		t.Errorf("after two more wake-ups Wait reports %d events, %v", n, err)
	}
}

func TestMilliseconds(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want int
	}{
		{-1, 0}, {0, 0}, {1, 1}, {time.Millisecond, 1}, {time.Millisecond + 1, 2}, {time.Hour, 3_600_000}, {1<<63 - 1, 1 << 30},
	} {
		if got := milliseconds(tt.d); got != tt.want {
			t.Errorf("milliseconds(%d) is %d, want %d", tt.d, got, tt.want)
		}
	}
}
