package l4

import (
	"sync"
	"sync/atomic"
	"testing"

	"weir/lb"
)

// retries of so many connections, by limits.
func TestRetries(t *testing.T) {
	for _, tc := range []struct {
		limits Limits
		active int64
		most   int64 // 0 = no limit
	}{
		{Limits{}, 1000, 0},
		{Limits{MaxRetries: 2}, 1000, 2},
		{Limits{RetryBudget: 0.2}, 0, 3},
		{Limits{RetryBudget: 0.2}, 15, 3},
		{Limits{RetryBudget: 0.2}, 19, 3},
		{Limits{RetryBudget: 0.2}, 20, 4},
		{Limits{RetryBudget: 1}, 1000, 1000},
		{Limits{RetryBudget: 0.2, MaxRetries: 2}, 1000, 2},
		{Limits{RetryBudget: 0.2, MaxRetries: 50}, 100, 20},
		{Limits{RetryBudget: 0.001, MaxRetries: 50}, 1, 3},
	} {
		var p Places
		p.active.Store(tc.active)
		n := int64(0)
		for n < 2000 && p.TakeRetry(&tc.limits) {
			n++
		}
		if want := tc.most; want == 0 && n != 2000 || want != 0 && n != want || p.Retrying() != n {
			t.Errorf("%+v with %d active: %d retries, want %d", tc.limits, tc.active, n, want)
		}
		p.GiveRetry()
		if !p.TakeRetry(&tc.limits) {
			t.Errorf("%+v: what was given back isn't there", tc.limits)
		}
	}
}

// The verdicts of Pick, and that it takes both places or none.
func TestPickTakesBothOrNone(t *testing.T) {
	c := placesCluster(t, Limits{MaxConnections: 3}, 2, 2)
	expect := func(what string, got, want Verdict, active int64) {
		t.Helper()
		if sum := c.Endpoints[0].Balance.Active() + c.Endpoints[1].Balance.Active(); got != want || c.Places.Active() != active || sum != active {
			t.Fatalf("%s: verdict %v, want %v; %d active, on the endpoints %d, want %d", what, got, want, c.Places.Active(), sum, active)
		}
	}
	pick := func() (int, Verdict) { return c.Pick(new(lb.Request)) }
	for n := range int64(3) {
		_, v := pick()
		expect("room", v, Picked, n+1)
	}
	_, v := pick()
	expect("the cluster is full", v, ClusterBusy, 3)
	if c.Take(0) || c.Take(1) {
		t.Fatal("took a place of a full cluster")
	}
	expect("after Take", ClusterBusy, ClusterBusy, 3)
	_, v = c.PickToMove(new(lb.Request))
	expect("who moves has a place already", v, Picked, 4)
	_, v = c.PickToMove(new(lb.Request))
	expect("but the endpoints are full", v, EndpointsBusy, 4)
	for c.Endpoints[0].Balance.Active() > 0 {
		c.Endpoints[0].Release()
	}
	expect("released", Picked, Picked, 2)
	c.Publish(placesSet(t, c.Set(), c.Endpoints, []int64{-1, 2}))
	_, v = pick()
	expect("the other is full", v, EndpointsBusy, 2)
	if !c.Take(0) {
		t.Fatal("took no place on an endpoint that has one, for what belongs to it")
	}
	expect("taken", Picked, Picked, 3)
	c.Endpoints[0].Release()
	if c.Take(1) {
		t.Fatal("took a place on a full endpoint")
	}
	expect("not taken", Picked, Picked, 2)
	c.Publish(placesSet(t, c.Set(), c.Endpoints, []int64{-1, -1}))
	_, v = pick()
	expect("nobody", v, NoneUsable, 2)
}

// Of a cluster that is replaced, those that wait go on with the last that has published a set.
func TestLatest(t *testing.T) {
	first := placesCluster(t, Limits{}, 1)
	second := first.Next(first.Endpoints, first.Set())
	third := second.Next(first.Endpoints, first.Set())
	if first.Latest() != first || second.Latest() != second {
		t.Fatal("a successor that has published nothing is not yet one")
	}
	third.Publish(third.Set())
	if first.Latest() != third || second.Latest() != third || third.Latest() != third {
		t.Fatal("not the last one")
	}
	second.Publish(second.Set()) // late
	if first.Latest() != third || third.Latest() != third {
		t.Fatal("an earlier one has replaced it")
	}
}

// A wait is not in vain when all that stood in its way was another's try: who takes a place and gives it back, because the other place isn't there,
// wakes those that have looked meanwhile.
func TestTryWakes(t *testing.T) {
	c := placesCluster(t, Limits{MaxPending: 9, MaxConnections: 2}, 2)
	for range 2 {
		if _, v := c.Pick(new(lb.Request)); v != Picked {
			t.Fatal(v)
		}
	}
	woken := 0
	w := Waiter{Wake: func() { woken++ }}
	if c.Places.Enter(&w, 9) != Tries || !c.Places.Rest(&w) {
		t.Fatal("does not wait")
	}
	c.Limits.MaxConnections = 3
	if c.Take(0) { // has a place of the cluster for a moment
		t.Fatal("took a place on a full endpoint")
	}
	if woken != 1 {
		t.Fatalf("woken %d times", woken)
	}
}

// The alarm rings at so many failures in a row and at each multiple, whichever loops meet them.
func TestConduct(t *testing.T) {
	var c Conduct
	var rang atomic.Int64
	c.failed()
	c.Forgive()
	c.Watch(5, func() { rang.Add(1) })
	for n := range 4 {
		c.failed()
		if c.Failures() != n+1 || rang.Load() != 0 {
			t.Fatalf("%d failures, rang %d times", c.Failures(), rang.Load())
		}
	}
	c.Succeeded()
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for range 1000 {
				c.failed()
			}
		})
	}
	loops.Wait()
	if c.Failures() != 4000 || rang.Load() != 800 {
		t.Fatalf("%d failures, rang %d times", c.Failures(), rang.Load())
	}
	c.Watch(0, nil)
	for range 10 {
		c.failed()
	}
	if rang.Load() != 800 {
		t.Fatal("it rings for nobody")
	}
}

// A connection takes no lock when nobody waits, and allocates nothing, nor does one that waits.
func TestPlacesCost(t *testing.T) {
	c := placesCluster(t, Limits{MaxConnections: 1, MaxPending: 9}, 0)
	connection := func() {
		i, v := c.Pick(new(lb.Request))
		if v != Picked || !c.Places.TakeRetry(&c.Limits) || c.Places.Waiting() != 0 {
			t.Fatal(v)
		}
		c.Places.GiveRetry()
		c.Endpoints[i].Release()
	}
	c.Places.mu.Lock() // or it would not come back
	if n := testing.AllocsPerRun(100, connection); n != 0 {
		t.Errorf("a connection allocates %v times", n)
	}
	c.Places.mu.Unlock()
	woken := 0
	w := Waiter{Wake: func() { woken++ }}
	wait := func() {
		i, _ := c.Pick(new(lb.Request))
		if c.Places.Enter(&w, 9) != Tries || !c.Places.Rest(&w) {
			t.Fatal("does not wait")
		}
		c.Endpoints[i].Release()
		if !c.Places.Claim(&w) {
			t.Fatal("was not woken")
		}
		i, _ = c.Pick(new(lb.Request))
		c.Places.Leave(&w, true)
		c.Endpoints[i].Release()
	}
	if n := testing.AllocsPerRun(100, wait); n != 0 || woken != 101 {
		t.Errorf("a wait allocates %v times; woken %d times", n, woken)
	}
}
