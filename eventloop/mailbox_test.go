package eventloop

import (
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// awaitBlocked waits until an idle loop has gone into a wait of the blocking kind.
func awaitBlocked(t *testing.T, l *Loop) {
	t.Helper()
	var was uint64
	if err := l.Do(func() { was = l.Stats().Blocking }); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patienceOfTests); l.Stats().Blocking == was; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("the loop never blocks")
		}
	}
}

func TestPostFromMany(t *testing.T) {
	const posters, each = 8, 500
	l := running(t, Options{})
	var got [posters][]int
	var wg sync.WaitGroup
	for p := range posters {
		wg.Go(func() {
			for i := range each {
				if err := l.Post(func() { got[p] = append(got[p], i) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Do(func() {}); err != nil {
		t.Fatal(err)
	}
	// Do came last, so all has run; nothing runs any more that writes to got.
	for p := range posters {
		if len(got[p]) != each || !slices.IsSorted(got[p]) {
			t.Errorf("of poster %d %d functions ran, in order: %v; want %d", p, len(got[p]), slices.IsSorted(got[p]), each)
		}
	}
	if s := l.Stats(); s.Posted != posters*each+1 {
		t.Errorf("Posted is %d, want %d", s.Posted, posters*each+1)
	}
}

func TestPostWakesBlockedLoop(t *testing.T) {
	l := running(t, Options{})
	for range 5 {
		awaitBlocked(t, l)
		done := make(chan struct{})
		if err := l.Post(func() { close(done) }); err != nil {
			t.Fatal(err)
		}
		within(t, "a posted function", done)
	}
}

func TestPostFromTheLoop(t *testing.T) {
	l, p, _ := newScripted(t)
	var order []string
	post := func(name string, fn func()) {
		if err := l.Post(func() {
			order = append(order, name)
			if fn != nil {
				fn()
			}
		}); err != nil {
			t.Error(err)
		}
	}
	h := l.Handle(onReady(func(_ Token, arg uint32, _ Events) {
		order = append(order, "event")
		if arg == 1 {
			post("first", func() { post("third", nil) })
			post("second", nil)
		}
	}))
	a, b := register(t, l, noFD(1), h, 1), register(t, l, noFD(2), h, 2)
	p.turn(l, Event{a, Readable}, Event{b, Readable})
	if want := []string{"event", "event", "first", "second"}; !slices.Equal(order, want) {
		t.Fatalf("order %q, want %q: after the batch, and what is posted then in the next turn", order, want)
	}
	p.turn(l)
	if order[len(order)-1] != "third" || p.lastTimeout() != 0 {
		t.Errorf("order %q, the loop waited %v; want the third at once", order, p.lastTimeout())
	}
}

// Every round is a chance to lose a wake-up: a post that comes while the loop empties its mailbox or is about to wait. A lost one
// shows as a round that never ends.
func TestNoWakeUpIsLost(t *testing.T) {
	const posters, rounds = 3, 4000
	l := running(t, Options{})
	failed := make(chan int, posters)
	var wg sync.WaitGroup
	for range posters {
		wg.Go(func() {
			ran := make(chan struct{}, 1)
			late := time.NewTimer(patienceOfTests)
			defer late.Stop()
			for round := range rounds {
				if err := l.Post(func() { ran <- struct{}{} }); err != nil {
					failed <- round
					return
				}
				late.Reset(patienceOfTests)
				select {
				case <-ran:
				case <-late.C:
					failed <- round
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	for round := range failed {
		t.Errorf("round %d never ended", round)
	}
}

// Wake-ups that fall together with the taking of the one before: none may leave the loop deaf to the next.
func TestWakeUpsNeverDeafen(t *testing.T) {
	l := running(t, Options{})
	for round := range 20 {
		// Until the loop has waited often, or for long, as where it shares the only processor with this goroutine.
		late := time.Now().Add(50 * time.Millisecond)
		for end := l.Stats().Waits + 1000; l.Stats().Waits < end && time.Now().Before(late); {
			for range 50 {
				l.poller.Wake()
			}
		}
		done := make(chan error, 1)
		go func() { done <- l.Do(func() {}) }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patienceOfTests):
			t.Fatalf("deaf in round %d", round)
		}
		// A blocked loop hears nothing but wake-ups.
		awaitBlocked(t, l)
	}
}

// Whoever calls Do while the loop stops gets an answer, and nil only when the function has run.
func TestDoMeetsStop(t *testing.T) {
	for range 200 {
		l, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- l.Run() }()
		answered := make(chan bool, 1)
		go func() {
			for {
				ran := false
				err := l.Do(func() { ran = true })
				if err != nil {
					answered <- true
					return
				}
				if !ran {
					answered <- false
					return
				}
			}
		}()
		if err := l.Do(func() {}); err != nil {
			t.Fatal(err)
		}
		l.Stop()
		select {
		case good := <-answered:
			if !good {
				t.Fatal("Do returned nil and the function had not run")
			}
		case <-time.After(patienceOfTests):
			t.Fatal("Do never returned")
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		l.Destroy()
	}
}

func BenchmarkPost(b *testing.B) {
	l, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	b.ReportAllocs()
	for range b.N {
		_ = l.Post(func() {})
	}
	_ = l.Do(func() {})
	b.StopTimer()
	l.Stop()
	<-ended
	l.Destroy()
}
