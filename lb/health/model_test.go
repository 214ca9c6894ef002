package health

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"weir/lb"
)

// choices is where a simulation takes its decisions from: a seeded generator, or a fuzzer's bytes.
type choices interface {
	// below returns a number in [0, n), n at most 256.
	below(n int) int
	// done reports that there is nothing more to decide.
	done() bool
}

type seeded struct {
	*rand.Rand
	steps int
}

func newSeeded(seed uint64, steps int) *seeded {
	return &seeded{rand.New(rand.NewPCG(seed, 0x6865616c7468)), steps}
}

func (s *seeded) below(n int) int { return s.IntN(n) }
func (s *seeded) done() bool      { s.steps--; return s.steps < 0 }

// script takes a byte for each decision, and zeros after its end.
type script struct{ data []byte }

func (s *script) done() bool { return len(s.data) == 0 }

func (s *script) below(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

// everySeed runs a simulation with many seeds, and says which one failed.
func everySeed(t *testing.T, simulate func(*testing.T, choices)) {
	seed := uint64(0)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < 200; seed++ {
		simulate(t, newSeeded(seed, 1000))
	}
}

// simulateMachine holds a Machine against all that was ever observed: a string with a + or - for each result. A state
// changes exactly when that string ends in enough results of the other kind.
func simulateMachine(t *testing.T, pick choices) {
	var m Machine
	numbers := lb.NewRand(uint64(pick.below(256)))
	r := &Rules{Rise: 1, Fall: 1}
	history, state := "", Unknown
	mostly := '+'
	for !pick.done() {
		switch pick.below(40) {
		case 0:
			r = &Rules{
				Interval:     time.Duration(pick.below(200)) * time.Second / 7,
				FastInterval: time.Duration(pick.below(3)) * time.Second / 9,
				Rise:         pick.below(6) - 1,
				Fall:         pick.below(6) - 1,
			}
		case 1, 2:
			mostly ^= '+' ^ '-' // the endpoint breaks, or is mended
		}
		result := mostly
		if pick.below(4) == 0 {
			result ^= '+' ^ '-'
		}
		history += string(result)

		was := state
		switch {
		case was == Unknown && result == '+', was == Down && strings.HasSuffix(history, strings.Repeat("+", max(r.Rise, 1))):
			state = Up
		case was == Unknown, was == Up && strings.HasSuffix(history, strings.Repeat("-", max(r.Fall, 1))):
			state = Down
		}
		if changed := m.Observe(r, result == '+'); changed != (state != was) || m.State() != state {
			t.Fatalf("after %s, rise %d, fall %d: %v, changed %v; want %v, after %v", history, r.Rise, r.Fall, m.State(), changed, state, was)
		}
		against := map[State]string{Up: "-", Down: "+"}[state]
		streak := len(history) - len(strings.TrimRight(history, against))
		if m.Streak() != streak || m.Changing() != (streak > 0) {
			t.Fatalf("after %s: %v, streak %d, changing %v; want %d", history, state, m.Streak(), m.Changing(), streak)
		}
		d := r.Interval
		if streak > 0 && r.FastInterval > 0 {
			d = r.FastInterval
		}
		if wait := m.Wait(r, numbers); (wait - d).Abs() > d/10 {
			t.Fatalf("after %s: wait for %v, want %v", history, wait, d)
		}
	}
}

func TestMachineAgainstHistory(t *testing.T) {
	everySeed(t, simulateMachine)
}

func FuzzMachine(f *testing.F) {
	f.Add([]byte("up, going down, down, going up"))
	f.Fuzz(func(t *testing.T, data []byte) {
		simulateMachine(t, &script{data[:min(len(data), 4096)]})
	})
}

// simulateSchedule holds a Schedule against a map that is searched from end to end.
func simulateSchedule(t *testing.T, pick choices) {
	var s Schedule
	want := map[uint32]int64{}
	first := func() (id uint32, at int64, ok bool) {
		for i, due := range want {
			if !ok || due < at || due == at && i < id {
				id, at, ok = i, due, true
			}
		}
		return id, at, ok
	}
	ids := []int{1, 3, 20, 250}[pick.below(4)]
	now := []int64{0, -5, 1 << 60}[pick.below(3)]
	later := func() int64 {
		return now + []int64{0, 1, int64(pick.below(10)), int64(pick.below(256)), int64(pick.below(256)) * ms, -int64(pick.below(20))}[pick.below(6)]
	}
	for !pick.done() {
		id := uint32(pick.below(ids))
		switch pick.below(8) {
		case 0, 1, 2, 3:
			want[id] = later()
			s.Put(id, want[id])
		case 4:
			delete(want, id)
			s.Remove(id)
		case 5:
			now = max(now, later())
		default: // as a caller does: all that are due
			if _, at, ok := first(); ok && pick.below(2) == 0 {
				now = max(now, at)
			}
			for {
				id, at, ok := first()
				ok = ok && at <= now
				got, due := s.Pop(now)
				if due != ok || ok && got != id {
					t.Fatalf("at %d: Pop says %d, %v, want %d, %v", now, got, due, id, ok)
				}
				if !ok {
					break
				}
				delete(want, id)
			}
		}
		_, at, ok := first()
		if got, due := s.Next(); due != ok || ok && got != at {
			t.Fatalf("Next says %d, %v, want %d, %v", got, due, at, ok)
		}
		if s.Len() != len(want) {
			t.Fatalf("Len is %d, want %d", s.Len(), len(want))
		}
		checkHeap(t, &s)
	}
}

func TestScheduleAgainstMap(t *testing.T) {
	everySeed(t, simulateSchedule)
}

func FuzzSchedule(f *testing.F) {
	f.Add([]byte("put, put, move, remove, pop"))
	f.Fuzz(func(t *testing.T, data []byte) {
		simulateSchedule(t, &script{data[:min(len(data), 4096)]})
	})
}
