package tcp

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/l4"
)

// onLoop returns both ends of a session that runs on the given loop: the kernel chooses by the client's port, so it dials until it fits.
func (r *rig) onLoop(b *backend, loop int) (client, server *net.TCPConn) {
	r.t.Helper()
	for {
		before := r.listener.Loops[loop].Sessions.Load()
		client, server = r.pair(b)
		if r.listener.Loops[loop].Sessions.Load() > before {
			return client, server
		}
		_ = client.Close()
		_ = server.Close()
	}
}

// However much a stream has, it moves at most its budget in one turn of the loop, and then waits for its neighbours: counted, not timed.
func TestBudget(t *testing.T) {
	for _, copyOnly := range []bool{false, true} {
		b := newBackend(t)
		r := newRig(t, rigOptions{copy: copyOnly}, b.addr)
		client, server := r.pair(b)
		const size = 64 << 20
		go func() { _, _ = server.Write(make([]byte, size)) }()
		before := r.loops[0].Stats()
		if _, err := io.CopyN(io.Discard, struct{ io.Reader }{client}, size); err != nil {
			t.Fatal(err)
		}
		after := r.loops[0].Stats()
		turns := after.Events - before.Events + after.Again - before.Again
		// A read that began within the budget may pass it by its own size.
		most := turns * uint64(r.proxies[0].budget+64<<10)
		if !copyOnly {
			most *= spliceWorth
		}
		if size > most {
			t.Errorf("copy=%v: %d bytes in %d turns, budget %d", copyOnly, size, turns, r.proxies[0].budget)
		}
		if sum := r.bytes(); copyOnly && sum[l4.ToDownstream][l4.Spliced] != 0 {
			t.Error("spliced")
		}
	}
}

// A greedy transfer does not raise the p99 of 64 B round trips on its own loop more than twofold over a transfer of the same rate on
// another loop. Both are measured in turns in one run; what counts is the ratio of their medians.
func TestFairness(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for some seconds")
	}
	b := newBackend(t)
	r := newRig(t, rigOptions{loops: 2}, b.addr)
	small, smallServer := r.onLoop(b, 0)
	go echo(smallServer)
	same, sameServer := r.onLoop(b, 0)
	other, otherServer := r.onLoop(b, 1)

	var ratio float64
	for attempt := range 3 { // a machine busy with something else can spoil one
		var with [2][]time.Duration
		for range 5 {
			with[0] = append(with[0], r.p99During(small, sameServer, same))
			with[1] = append(with[1], r.p99During(small, otherServer, other))
		}
		mid := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
		ratio = float64(mid(with[0])) / float64(mid(with[1]))
		t.Logf("attempt %d: p99 beside a transfer %v, on another loop %v, ratio %.2f", attempt+1, mid(with[0]), mid(with[1]), ratio)
		if ratio <= 2 {
			return
		}
	}
	t.Fatalf("the ratio is %.2f, more than 2", ratio)
}

// p99During measures round trips on small while bytes go from source to sink in bursts of 1 MiB, at 256 MB/s.
func (r *rig) p99During(small, source, sink *net.TCPConn) time.Duration {
	r.t.Helper()
	const burst, pause, trips = 1 << 20, 4 * time.Millisecond, 1500
	stop := make(chan struct{})
	var wg sync.WaitGroup
	total := make(chan int64, 1)
	wg.Go(func() {
		buf := make([]byte, burst)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		var n int64
		for {
			select {
			case <-stop:
				total <- n
				return
			case <-tick.C:
				if _, err := source.Write(buf); err != nil {
					r.t.Error(err)
					total <- n
					return
				}
				n += burst
			}
		}
	})
	wg.Go(func() {
		var got int64
		buf := make([]byte, 256<<10)
		want := int64(-1)
		for got != want {
			if want < 0 {
				select {
				case want = <-total:
					continue
				default:
				}
				_ = sink.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			} else {
				_ = sink.SetReadDeadline(time.Now().Add(20 * time.Second))
			}
			n, err := sink.Read(buf)
			got += int64(n)
			if ne, ok := err.(net.Error); err != nil && (!ok || !ne.Timeout() || want >= 0) {
				r.t.Error(err)
				return
			}
		}
	})
	took := make([]time.Duration, trips)
	msg := make([]byte, 64)
	for i := range took {
		began := time.Now()
		if _, err := small.Write(msg); err != nil {
			r.t.Fatal(err)
		}
		if _, err := io.ReadFull(small, msg); err != nil {
			r.t.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	close(stop)
	wg.Wait()
	slices.Sort(took)
	return took[trips*99/100]
}
