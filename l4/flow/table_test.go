package flow

import (
	"math"
	"testing"
	"time"
	"unsafe"
)

const (
	ms  = int64(time.Millisecond)
	sec = int64(time.Second)
)

func TestAnswers(t *testing.T) {
	const most = math.MaxInt64
	type step struct {
		ask, answer int
		want        Action
	}
	tests := []struct {
		name      string
		responses int64
		steps     []step
	}{
		{"not counted", 0, []step{{answer: 1, want: Forward}, {ask: 1, answer: 9, want: Forward}, {answer: 1, want: Forward}}},
		{"one for one", 1, []step{{ask: 1, answer: 1, want: End}}},
		{"both of two questions", 1, []step{{ask: 1}, {ask: 1, answer: 1, want: Forward}, {answer: 1, want: End}}},
		{"a batch for a batch", 1, []step{{ask: 3, answer: 2, want: Forward}, {answer: 1, want: End}}},
		{"three for each", 3, []step{{ask: 2, answer: 5, want: Forward}, {answer: 1, want: End}}},
		{"more than owed", 1, []step{{ask: 1, answer: 5, want: End}}},
		{"unasked", 1, []step{{answer: 1, want: End}}},
		{"no credit", 1, []step{{answer: 5, want: End}, {ask: 2, answer: 1, want: Forward}, {answer: 1, want: End}}},
		{"asked again after the end", 2, []step{{ask: 1, answer: 2, want: End}, {ask: 1, answer: 1, want: Forward}, {answer: 1, want: End}}},
		{"saturated by responses", most, []step{{ask: 2, answer: most - 1, want: Forward}, {answer: 1, want: End}}},
		{"saturated beyond 64 bits", most, []step{{ask: 2}, {ask: 2, answer: most - 1, want: Forward}, {answer: 1, want: End}}},
		{"saturated by the sum", 1, []step{{ask: most}, {ask: most, answer: most - 1, want: Forward}, {answer: 1, want: End}}},
		{"saturated by the product", most, []step{{ask: most, answer: most, want: End}}},
		{"overflow of all 64 bits", 1 << 32, []step{{ask: 1 << 32, answer: most - 1, want: Forward}, {answer: 1, want: End}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := New[int](1, 0)
			k := client(1)
			id, _ := table.Insert(&k, &Rules{Responses: test.responses}, 0)
			for i, s := range test.steps {
				if s.ask > 0 && i%2 == 0 {
					table.Owe(id, s.ask, 0)
				} else if s.ask > 0 {
					table.Arrive(&k, s.ask, 0)
				}
				if s.answer == 0 {
					continue
				}
				if got := table.Answer(id, s.answer, 0); got != s.want {
					t.Errorf("step %d: %d, want %d", i, got, s.want)
				}
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	type step struct {
		arrive, answer int64 // a datagram at that time
		advance        int64
		over           bool
		why            Why
	}
	tests := []struct {
		name  string
		rules Rules
		start int64
		steps []step
	}{
		{"idle", Rules{Idle: time.Second}, 0, []step{{advance: sec - 1}, {advance: sec, over: true}}},
		{"rounded up", Rules{Idle: time.Second}, 1, []step{{advance: sec + 1}, {advance: sec + ms - 1}, {advance: sec + ms, over: true}}},
		{"before zero", Rules{Idle: time.Second}, -3*sec - 1, []step{{advance: -2*sec - 1}, {advance: -2 * sec, over: true}}},
		{"a nanosecond", Rules{Idle: 1}, 0, []step{{advance: ms - 1}, {advance: ms, over: true}}},
		{"long past", Rules{Idle: time.Second}, 0, []step{{advance: 3600 * sec, over: true}}},
		{"put off by the client", Rules{Idle: time.Second}, 0, []step{{arrive: sec - 1, advance: sec}, {advance: 2*sec - 1}, {advance: 2 * sec, over: true}}},
		{"put off by the endpoint", Rules{Idle: time.Second}, 0, []step{{answer: sec - 1, advance: sec}, {advance: 2*sec - 1}, {advance: 2 * sec, over: true}}},
		{"put off, found late", Rules{Idle: time.Second}, 0, []step{{arrive: sec / 2, advance: 9 * sec, over: true}}},
		{"put off, found late, not yet whole", Rules{Idle: time.Second}, 0,
			[]step{{arrive: sec/2 + 1, advance: sec + sec/2 + 2}, {advance: sec + sec/2 + ms, over: true}}},
		{"a datagram after the deadline came first", Rules{Idle: time.Second}, 0, []step{{arrive: 5 * sec, advance: 5 * sec}, {advance: 6 * sec, over: true}}},
		{"aged", Rules{MaxDuration: time.Second}, 0, []step{{arrive: sec - 1, advance: sec - 1}, {advance: sec, over: true, why: Aged}}},
		{"aged first", Rules{Idle: 2 * time.Second, MaxDuration: time.Second}, 0, []step{{advance: sec, over: true, why: Aged}}},
		{"aged first, found late", Rules{Idle: 2 * time.Second, MaxDuration: time.Second}, 0, []step{{advance: 9 * sec, over: true, why: Aged}}},
		{"idle first", Rules{Idle: time.Second, MaxDuration: 2 * time.Second}, 0, []step{{advance: 9 * sec, over: true}}},
		{"put off till it aged", Rules{Idle: time.Second, MaxDuration: 2 * time.Second}, 0,
			[]step{{arrive: sec + 1, advance: 2*sec - 1}, {advance: 2 * sec, over: true, why: Aged}}},
		{"both at once", Rules{Idle: time.Second, MaxDuration: time.Second}, 0, []step{{advance: sec, over: true}}},
		{"never", Rules{}, 0, []step{{advance: math.MaxInt64 / 2}}},
		{"later than time itself", Rules{Idle: math.MaxInt64, MaxDuration: math.MaxInt64}, 1, []step{{advance: math.MaxInt64 / 2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := New[int](1, test.start)
			k := client(1)
			id, _ := table.Insert(&k, &test.rules, test.start)
			for i, s := range test.steps {
				last := table.Last(id)
				if s.arrive != 0 {
					last = s.arrive
					table.Arrive(&k, 1, last)
				}
				if s.answer != 0 {
					last = s.answer
					table.Answer(id, 1, last)
				}
				if table.Last(id) != last || table.Started(id) != test.start {
					t.Errorf("step %d: last %d, started %d, want %d, %d", i, table.Last(id), table.Started(id), last, test.start)
				}
				over := false
				table.Advance(s.advance, func(got ID, why Why) {
					if over = true; got != id || why != s.why {
						t.Errorf("step %d: ID %d is over, %d; want ID %d, %d", i, got, why, id, s.why)
					}
					table.Remove(got)
				})
				if over != s.over {
					t.Fatalf("step %d: over is %v, want %v", i, over, s.over)
				}
			}
			if _, ok := table.Next(); ok && table.Len() == 0 {
				t.Error("a timer runs for nobody")
			}
		})
	}
}

// Without an end in time a flow needs no timer.
func TestNoTimerForEver(t *testing.T) {
	table := New[int](1, 0)
	for i := range 100 {
		k := client(i)
		table.Insert(&k, &Rules{Responses: 1}, 0)
	}
	if at, ok := table.Next(); ok {
		t.Errorf("there is something to do at %d", at)
	}
}

// A busy flow has one timer, which fires once in each Idle whatever comes.
func TestDatagramsMoveNoTimer(t *testing.T) {
	table := New[int](1, 0)
	k := client(1)
	table.Insert(&k, &Rules{Idle: time.Second}, 0)
	wakes := 0
	for now := int64(0); now < 100*sec; now += 10 * ms {
		table.Arrive(&k, 1, now)
		if at, _ := table.Next(); at <= now {
			wakes++
			table.Advance(now, func(ID, Why) { t.Error("a busy flow is over") })
		}
	}
	if wakes > 500 { // each fires once, and comes down a few levels of the wheel first
		t.Errorf("%d wake-ups in 100 s", wakes)
	}
}

// Of flows that are due at once, the first that is heard of may take others with it and begin new ones.
func TestExpiredChangesOthers(t *testing.T) {
	table := New[int](1, 0)
	r := &Rules{Idle: time.Second}
	var ids []ID
	for i := range 6 {
		k := client(i)
		id, _ := table.Insert(&k, r, 0)
		ids = append(ids, id)
	}
	heard := map[ID]int{}
	table.Advance(sec, func(id ID, _ Why) {
		heard[id]++
		table.Remove(id)
		if len(heard) > 1 {
			return
		}
		for _, other := range ids[:3] {
			if other != id && table.Live(other) {
				table.Remove(other)
			}
		}
		k := client(9)
		table.Insert(&k, r, sec)
	})
	if n := 0; table.Len() != 1 {
		t.Errorf("%d live, want the new one", table.Len())
	} else if _, a := table.Arrive(new(client(9)), 1, sec); a != Forward {
		t.Error("the new one isn't there")
	} else {
		for id, calls := range heard {
			if n++; calls != 1 {
				t.Errorf("heard of ID %d %d times", id, calls)
			}
		}
		if n < 3 || n > 4 {
			t.Errorf("heard of %d flows, want the three that nobody took and perhaps the first", n)
		}
	}
}

func TestIDs(t *testing.T) {
	table := New[[2]uint64](1, 0)
	if table.Len() != 0 || table.Live(0) || table.Live(1) || table.Live(math.MaxUint32) {
		t.Error("an empty table has a flow")
	}
	a, b := client(1), client(2)
	first, value := table.Insert(&a, &Rules{Idle: time.Second}, 0)
	value[0] = 7
	second, _ := table.Insert(&b, &Rules{Idle: time.Second}, 0)
	if first == 0 || first == second || uint32(max(first, second)) >= table.Cap() || table.Len() != 2 {
		t.Errorf("IDs %d and %d, Cap %d, Len %d", first, second, table.Cap(), table.Len())
	}
	if table.At(first)[0] != 7 || *table.Key(first) != a || !table.Live(first) {
		t.Error("what the first flow holds has changed")
	}
	table.Remove(first)
	if table.Live(first) || !table.Live(second) || table.Len() != 1 {
		t.Error("the wrong flow ended")
	}
	if _, action := table.Arrive(&a, 1, 0); action != Open {
		t.Error("the removed flow is found")
	}
	c := client(3)
	third, value := table.Insert(&c, &Rules{}, 0)
	if third != first || *value != [2]uint64{} {
		t.Errorf("ID %d with %v, want %d again with zeros", third, *value, first)
	}
}

// Thousands of flows are all found again, at stable addresses, while the index grows under them.
func TestGrowth(t *testing.T) {
	const n = 20_000
	table := New[int](1, 0)
	r := &Rules{Idle: time.Minute}
	values := make([]*int, n)
	for i := range n {
		k := client(i)
		_, values[i] = table.Insert(&k, r, 0)
		*values[i] = i
	}
	checkIndex(t, &table.index)
	for i := range n {
		k := client(i)
		id, action := table.Arrive(&k, 1, 1)
		if action != Forward || table.At(id) != values[i] || *values[i] != i {
			t.Fatalf("flow %d: ID %d, %d", i, id, action)
		}
		if i%3 != 0 {
			table.Remove(id)
		}
	}
	checkIndex(t, &table.index)
	for i := range n {
		if _, action := table.Arrive(new(client(i)), 1, 2); (action == Forward) != (i%3 == 0) {
			t.Fatalf("flow %d: %d", i, action)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	table := New[state](1, 0)
	r := &Rules{Idle: time.Second, Responses: 1}
	now := int64(0)
	k := client(0)
	insert := func() {
		k.Tag++
		id, _ := table.Insert(&k, r, now)
		table.Owe(id, 1, now)
	}
	expired := 0
	cycle := func() {
		now += 10 * ms
		insert() // this one will expire
		insert()
		id, _ := table.Arrive(&k, 1, now)
		table.Answer(id, 1, now)
		if table.Answer(id, 1, now) == End {
			table.Remove(id)
		}
		if at, ok := table.Next(); ok && at <= now {
			table.Advance(now, func(id ID, _ Why) {
				expired++
				table.Remove(id)
			})
		}
	}
	for range 1000 {
		cycle()
	}
	if n := testing.AllocsPerRun(2000, cycle); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if expired < 2000 || table.Len() > 200 {
		t.Errorf("%d flows expired, %d are left", expired, table.Len())
	}
}

// What a flow with a T of 64 bytes takes at most: with the index as empty as growing leaves it, and once all have ended and begun again.
func TestMemory(t *testing.T) {
	const (
		timer = 32    // a node of eventloop.Wheel
		lists = 2 * 4 // the free lists of nodes and of entries
		place = 8 * 8 / 3
	)
	if n := unsafe.Sizeof(Key{}); n != 6*8 {
		t.Errorf("a Key has %d bytes, and its hash looks at 48", n)
	}
	if n := unsafe.Sizeof(bucket{}); n != 8 {
		t.Errorf("a bucket has %d bytes, want 8", n)
	}
	var e entry[state]
	if n := unsafe.Sizeof(e) + place + timer + lists; n >= 256 {
		t.Errorf("%d bytes a flow, of which the entry is %d", n, unsafe.Sizeof(e))
	}
	if end := unsafe.Offsetof(e.rules) + unsafe.Sizeof(e.rules); end > 64 {
		t.Errorf("what a datagram touches reaches to byte %d", end)
	}
}
