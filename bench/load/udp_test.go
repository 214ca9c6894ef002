package load

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestSequence(t *testing.T) {
	type came struct {
		k    uint64
		late bool
		bad  bool
	}
	for _, c := range []struct {
		name string
		came []came
	}{
		{"in order", []came{{0, false, false}, {1, false, false}, {2, false, false}}},
		{"again", []came{{0, false, false}, {0, true, true}}},
		{"overtaken", []came{{0, false, false}, {2, false, false}, {1, true, false}, {1, true, true}}},
		{"far ahead", []came{{5, false, false}, {5 + 3*sequenceSpan, false, false}, {6 + 3*sequenceSpan - sequenceSpan, true, false}}},
		{"too late", []came{{5, false, false}, {6 + sequenceSpan, false, false}, {5, true, true}}},
		{"a gap of a span", []came{{0, false, false}, {sequenceSpan, false, false}, {1, true, false}, {sequenceSpan, true, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s sequence
			for _, x := range c.came {
				late, err := s.take(x.k)
				if late != x.late || (err != nil) != x.bad || err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("number %d: late %v, error %v; want late %v, an error %v", x.k, late, err, x.late, x.bad)
				}
			}
		})
	}
}

// Against a set of all numbers, over random numbers near the highest.
func TestSequenceAgainstSet(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s sequence
	set := map[uint64]bool{}
	for range 100_000 {
		k := uint64(max(int64(s.next)+random.Int64N(300)-280, 0))
		_, err := s.take(k)
		if (err != nil) != set[k] {
			t.Fatalf("number %d of %d: error %v, in the set %v", k, s.next, err, set[k])
		}
		set[k] = true
	}
}

func TestOutstanding(t *testing.T) {
	var o outstanding
	clock := newTicker(time.Second)
	for k := range uint64(6) {
		if got := o.send(clock.now); got != k {
			t.Fatalf("number %d, want %d", got, k)
		}
	}
	take := func(k uint64, fresh, late, bad bool) {
		t.Helper()
		f, l, err := o.take(k, clock.now)
		if f != fresh || l != late || (err != nil) != bad {
			t.Errorf("number %d: fresh %t, late %t, error %v; want %t, %t, an error %t", k, f, l, err, fresh, late, bad)
		}
	}
	take(0, true, false, false)
	take(3, true, false, false)
	take(2, true, true, false)
	take(3, false, true, true) // again
	if o.base != 1 || o.overdue(&clock) {
		t.Errorf("base %d, want 1 and not overdue", o.base)
	}
	clock.now += ticksPerTimeout + 1
	if !o.overdue(&clock) {
		t.Error("not overdue")
	}
	if from, to := o.giveUp(clock.now); from != 1 || to != 2 || o.base != 4 || o.lost != 1 {
		t.Errorf("gave up %d to %d, base %d, lost %d; want 1 to 2, 4 and 1", from, to, o.base, o.lost)
	}
	take(1, false, true, false) // late: it was counted as lost
	clock.now += ticksPerTimeout + 1
	if from, to := o.giveUp(clock.now); from != 4 || to != 6 || o.overdue(&clock) || o.answered != 3 || o.lost != 3 {
		t.Errorf("gave up %d to %d, %+v", from, to, o)
	}
	if o.room() != sequenceSpan {
		t.Errorf("room %d", o.room())
	}
}

func TestTally(t *testing.T) {
	none := Tolerance{}.tally(1000, 0)
	if err := none.lose(1); !errors.Is(err, ErrLost) {
		t.Errorf("lost one: error %v", err)
	}
	if err := none.overtake(); !errors.Is(err, ErrReordered) {
		t.Errorf("overtaken one: error %v", err)
	}
	some := Tolerance{Loss: 0.01}.tally(1000, 0.001)
	if err := some.lose(10); err != nil {
		t.Errorf("lost ten: error %v", err)
	}
	if err := some.lose(1); !errors.Is(err, ErrLost) {
		t.Errorf("lost eleven: error %v", err)
	}
	if err := some.overtake(); err != nil {
		t.Errorf("overtaken one: error %v", err)
	}
}

func TestDNSMessages(t *testing.T) {
	const name = "host0042.example.com."
	query, err := dnsQuery(name)
	if err != nil {
		t.Fatal(err)
	}
	want, err := dnsReply(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(query) != 49 || len(want) != 113 {
		t.Errorf("query of %d bytes, answer of %d: the documented are 49 and 113", len(query), len(want))
	}
	query[0], query[1] = 0xab, 0xcd
	want[0], want[1] = 0xab, 0xcd
	tail, err := newDNSAnswer()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, dnsSize)
	got := out[:tail.answer(out, query)]
	if !slices.Equal(got, want) {
		t.Fatalf("answer\n%x, want\n%x", got, want)
	}
	var m dnsmessage.Message
	if err := m.Unpack(got); err != nil {
		t.Fatal(err)
	}
	if m.ID != 0xabcd || !m.Response || m.Questions[0].Name.String() != name || len(m.Answers) != 4 || m.Answers[3].Header.Name.String() != name {
		t.Errorf("message %v", m.GoString())
	}
	if n := tail.answer(out, want); n != 0 {
		t.Errorf("an answer is answered with %d bytes", n)
	}
	if n := tail.answer(out, query[:20]); n != 0 {
		t.Errorf("half a query is answered with %d bytes", n)
	}
}

func FuzzDNSAnswer(f *testing.F) {
	query, err := dnsQuery("a.example.")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(query)
	tail, err := newDNSAnswer()
	if err != nil {
		f.Fatal(err)
	}
	out := make([]byte, dnsSize)
	f.Fuzz(func(t *testing.T, b []byte) {
		n := tail.answer(out, b)
		if n == 0 {
			return
		}
		var p dnsmessage.Parser
		if _, err := p.Start(out[:n]); err != nil {
			t.Fatalf("answer to %x: %v", b, err)
		}
		if qs, err := p.AllQuestions(); err != nil || len(qs) != 1 {
			t.Fatalf("question of the answer to %x: %v, %v", b, qs, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	var frame [requestSize]byte
	q := request{nonce: 1, count: 2, acked: 3, size: 1200, segments: 40, window: 2}
	f.Add(q.encode(&frame, kindAck))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, kind, ok := decodeRequest(b)
		if !ok {
			return
		}
		if uint64(q.size)*uint64(q.segments) > maxDatagram || q.segments == 0 || q.window == 0 {
			t.Fatalf("%+v is taken", q)
		}
		again, k, ok := decodeRequest(q.encode(&frame, kind))
		if !ok || again != q || k != kind {
			t.Fatalf("%+v, kind %d: encoded and decoded it is %+v, kind %d", q, kind, again, k)
		}
	})
}

func TestCurve(t *testing.T) {
	h := newLatencies()
	if c := curve(h); c != nil {
		t.Errorf("curve of nothing: %v", c)
	}
	for i := range 1_000_000 {
		record(h, time.Duration(i+1)*time.Microsecond)
	}
	c := curve(h)
	if len(c) < 40 || len(c) > 60 || c[0].Percent != 0 || c[len(c)-1].Percent != 100 {
		t.Fatalf("%d points, from %v to %v", len(c), c[0], c[len(c)-1])
	}
	for i, p := range c {
		if i > 0 && (p.Percent <= c[i-1].Percent || p.US < c[i-1].US) {
			t.Errorf("point %d, %v, doesn't rise over %v", i, p, c[i-1])
		}
		if want := p.Percent * 1e4; p.US < want*0.998-1 || p.US > want*1.002+1 {
			t.Errorf("%g %%: %g us, want about %g", p.Percent, p.US, want)
		}
	}
	for _, want := range []float64{50, 90, 99, 99.9, 99.99, 99.999} {
		if !slices.ContainsFunc(c, func(p Point) bool { return p.Percent == want }) {
			t.Errorf("no point at %g %%", want)
		}
	}
}

// No source comes again while others are left, and one that is taken is passed over.
func TestSources(t *testing.T) {
	to := makeAddr([4]byte{127, 0, 0, 1}, 9)
	var s sources
	fd, err := s.connect(&to)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(fd)
	var again sources // begins with the same one
	other, err := again.connect(&to)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(other)
	if again.taken != 2 {
		t.Errorf("%d sources were tried, want 2", again.taken)
	}
	seen := map[rawAddr]bool{}
	var all sources
	for range sourcePorts * sourceAddrs {
		seen[all.next()] = true
	}
	if len(seen) != sourcePorts*sourceAddrs {
		t.Errorf("%d sources, want %d", len(seen), sourcePorts*sourceAddrs)
	}
	for a := range seen {
		if a.Addr[0] != 127 || a.Addr[1] < 64 || a.port() < firstPort {
			t.Fatalf("source %v, port %d", a.Addr, a.port())
		}
	}
}

// A run of many messages allocates no more than one of few.
func TestNothingIsAllocatedPerMessage(t *testing.T) {
	b, err := NewBackend("")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run() }()
	defer func() {
		b.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.Close()
	}()
	at := b.Addrs()
	for _, c := range []struct {
		name string
		run  func(n int64) (Result, error)
	}{
		{"rtt", RTT{Addr: at.Echo, Conns: 4}.many},
		{"udprtt", func(n int64) (Result, error) { return UDPRTT{Addr: at.UDPEcho, Conns: 4, Total: n}.Run() }},
		{"udprtt, new ports", func(n int64) (Result, error) {
			return UDPRTT{Addr: at.UDPEcho, Conns: 4, Reuse: 1, Total: n}.Run()
		}},
		{"udpopen", func(n int64) (Result, error) {
			return UDPOpen{Addr: at.UDPEcho, Conns: 4, Rate: 20_000, Total: n}.Run()
		}},
		{"udpidle", func(n int64) (Result, error) { return UDPIdle{Addr: at.UDPName, Conns: int(n / 10)}.Run() }},
		{"udpflood", func(n int64) (Result, error) { return UDPFlood{Addr: at.UDPEcho, Flows: 2, Total: n}.Run() }},
		{"udpbulk", func(n int64) (Result, error) { return UDPBulk{Addr: at.UDPBulk, Bytes: n * 1200}.Run() }},
		{"dns", func(n int64) (Result, error) { return DNS{Addr: at.DNS, Conns: 4, Reuse: 1, Total: n}.Run() }},
		{"mix", func(n int64) (Result, error) {
			return Mix{Addr: at.Mix, Conns: 4, Bytes: n * 20_000, Rate: 20_000}.Run()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			count := func(n int64) int64 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if _, err := c.run(n); err != nil {
					t.Fatal(err)
				}
				runtime.ReadMemStats(&after)
				return int64(after.Mallocs - before.Mallocs)
			}
			count(200) // the backend's connections are kept
			few, many := count(200), count(4000)
			// Backlogs of mix grow once for a connection; the runtime has its own.
			if many > few+400 {
				t.Errorf("%d allocations for 200, %d for 4,000", few, many)
			}
		})
	}
}

func (r RTT) many(n int64) (Result, error) {
	r.Total = n
	return r.Run()
}
