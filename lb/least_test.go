package lb

import (
	"container/heap"
	"math"
	"testing"
)

// departures is a queue of ends of connections, soonest first.
type departures []departure

type departure struct {
	at     float64
	member int
}

func (d departures) Len() int           { return len(d) }
func (d departures) Less(i, j int) bool { return d[i].at < d[j].at }
func (d departures) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *departures) Push(x any)        { *d = append(*d, x.(departure)) }
func (d *departures) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// Connections come and last at random. At each pick the member taken has the
// least load there is, unless all are idle; and so it then has at most its share
// of all connections, counting one more for each member.
func TestLeastConnections(t *testing.T) {
	for _, weights := range [][]uint32{equal(2), equal(17), {1, 2, 3, 10}, {65535, 1, 30000}, equal(150)} {
		for seed := range uint64(3) {
			members := cluster(weights...)
			s := mustSet(t, Options{Policy: LeastConnections}, members)
			r := &Request{Rand: NewRand(seed)}
			var sum float64
			for _, w := range weights {
				sum += float64(w)
			}
			var ends departures
			now := 0.0
			for range 5000 {
				now += float64(r.Rand.Below(1000)) / 1000
				for len(ends) > 0 && ends[0].at <= now {
					members[heap.Pop(&ends).(departure).member].Endpoint.Release()
				}
				before := make([]int64, len(members))
				under := active(members)
				for i, m := range members {
					before[i] = m.Endpoint.Active()
				}
				got := mustPick(t, s, r)
				for i, n := range before {
					if under > 0 && (n+1)*int64(weights[got]) < (before[got]+1)*int64(weights[i]) {
						t.Fatalf("weights %v: of %v picked %d, but %d has less", weights, before, got, i)
					}
				}
				bound := float64(under+int64(len(members))) * float64(weights[got]) / sum
				if n := before[got] + 1; under > 0 && float64(n) > bound {
					t.Fatalf("weights %v: of %v picked %d, which then has more than %v", weights, before, got, bound)
				}
				// Exponential, of mean 40 arrivals per member.
				u := float64(r.Rand.Below(1<<53)+1) / (1 << 53)
				heap.Push(&ends, departure{now - math.Log(u)*20*float64(len(members)), got})
			}
		}
	}
}

// Among members that are equally loaded, but not idle, the choice is by weight.
func TestLeastConnectionsTies(t *testing.T) {
	members := cluster(1, 1, 2, 1)
	for i, n := range []int64{1, 1, 3, 5} { // loads 2, 2, 2, 6
		members[i].Endpoint.active.Store(n)
	}
	s := mustSet(t, Options{Policy: LeastConnections}, members)
	counts := pickCounts(t, s, 40_000, 13)
	for i, want := range []float64{10_000, 10_000, 20_000, 0} {
		if math.Abs(float64(counts[i])-want) > 400 {
			t.Errorf("picks %v, want about 10000 10000 20000 0", counts)
		}
	}
}
