package health

import (
	"fmt"
	"testing"
	"time"

	"weir/lb"
)

var benchRules = &Rules{Interval: 2 * time.Second, FastInterval: 500 * time.Millisecond, Rise: 2, Fall: 3}

// BenchmarkMachine is what a result costs.
func BenchmarkMachine(b *testing.B) {
	var m Machine
	rand := lb.NewRand(1)
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(benchRules, rand.Below(4) > 0)
		m.Wait(benchRules, rand)
	}
}

// crowd returns a Schedule with n endpoints.
func crowd(n int, rand *lb.Rand) *Schedule {
	s := new(Schedule)
	for i := range n {
		s.Put(uint32(i), int64(Spread(i, n, benchRules.Interval, rand)))
	}
	return s
}

// BenchmarkSchedule takes the first and puts it in again, as each check does.
func BenchmarkSchedule(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var m Machine
			rand := lb.NewRand(1)
			s := crowd(n, rand)
			b.ReportAllocs()
			for b.Loop() {
				now, _ := s.Next()
				id, _ := s.Pop(now)
				s.Put(id, now+int64(m.Wait(benchRules, rand)))
			}
		})
	}
}

func TestAllocatesNothing(t *testing.T) {
	const n = 1000
	rand := lb.NewRand(1)
	s := crowd(n, rand)
	machines := make([]Machine, n)
	if allocs := testing.AllocsPerRun(10_000, func() {
		now, _ := s.Next()
		id, _ := s.Pop(now)
		machines[id].Observe(benchRules, rand.Below(4) > 0)
		s.Put(id, now+int64(machines[id].Wait(benchRules, rand)))
		other := uint32(rand.Below(n))
		s.Put(other, now+int64(Spread(0, 1, benchRules.Interval, rand)))
		s.Remove(other)
		s.Put(other, now+sec)
	}); allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
	if s.Len() != n {
		t.Errorf("%d are left of %d", s.Len(), n)
	}
}
