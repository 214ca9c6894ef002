package eventloop

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// choices is where a simulation takes its decisions from: a seeded generator, or a fuzzer's bytes.
type choices interface {
	// below returns a number in [0, n).
	below(n int) int
	// done reports that there is nothing more to decide.
	done() bool
}

type seeded struct {
	*rand.Rand
	steps int
}

func newSeeded(seed uint64, steps int) *seeded {
	return &seeded{rand.New(rand.NewPCG(seed, 0x77656972)), steps}
}

func (s *seeded) below(n int) int { return s.IntN(n) }
func (s *seeded) done() bool      { s.steps--; return s.steps < 0 }

// script takes two bytes for each decision, so that every number the simulations ask for can be reached.
type script struct{ data []byte }

func (s *script) done() bool { return len(s.data) == 0 }

func (s *script) below(n int) int {
	v := 0
	for range min(2, len(s.data)) {
		v = v<<8 | int(s.data[0])
		s.data = s.data[1:]
	}
	return v % n
}

// modelTimer is what the reference knows of a running timer.
type modelTimer struct {
	id       TimerID
	deadline int64 // ns, as asked for
	due      int64 // the tick it has to fire at
	arg      uint32
}

// wheelModel checks a Wheel against a list that is searched from end to end.
type wheelModel struct {
	t       *testing.T
	pick    choices
	w       *Wheel
	tick    int64 // the last one that was handled
	now     int64 // ns, of the last Advance
	running []modelTimer
	dead    []TimerID
	nextArg uint32
	depth   int // calls that may still be made from callbacks in this Advance
}

const (
	testHandler = HandlerID(3)
	modelMost   = 40
)

// span chooses a distance in time: all levels of the wheel, their edges, and what lies beyond its reach.
func (m *wheelModel) span() int64 {
	const ms = int64(time.Millisecond)
	level := m.pick.below(wheelLevels + 1)
	edge := int64(1) << (wheelBits * level)
	switch m.pick.below(6) {
	case 0:
		return int64(m.pick.below(1000)) * 1000 // below a tick
	case 1:
		return (edge + int64(m.pick.below(3)) - 1) * ms
	case 2:
		return edge*int64(m.pick.below(64))*ms + int64(m.pick.below(3))
	case 3:
		return int64(m.pick.below(70)) * ms
	case 4:
		return (edge + int64(m.pick.below(1<<12))) * ms
	default:
		return int64(m.pick.below(40)) * int64(24*time.Hour)
	}
}

func (m *wheelModel) deadline() int64 {
	switch m.pick.below(16) {
	case 0:
		return m.now - m.span()
	case 1:
		return math.MinInt64
	case 2:
		return math.MaxInt64
	}
	return m.now + m.span()
}

// due is the definition: the first whole millisecond at or after the deadline that has not been handled yet.
func (m *wheelModel) due(deadline int64) int64 {
	d := deadline / int64(time.Millisecond)
	if deadline%int64(time.Millisecond) > 0 {
		d++
	}
	return max(d, m.tick+1)
}

// change starts, moves or stops one timer.
func (m *wheelModel) change() {
	switch op := m.pick.below(5); {
	case op < 2 && len(m.running) < modelMost:
		at := m.deadline()
		m.nextArg++
		id := m.w.Start(at, testHandler, m.nextArg)
		m.running = append(m.running, modelTimer{id, at, m.due(at), m.nextArg})
	case op == 2 && len(m.running) > 0:
		r := &m.running[m.pick.below(len(m.running))]
		at := m.deadline()
		if !m.w.Move(r.id, at) {
			m.t.Fatalf("Move of the running timer %d reports that it is not", r.arg)
		}
		r.deadline, r.due = at, m.due(at)
	case op == 3 && len(m.running) > 0:
		i := m.pick.below(len(m.running))
		if !m.w.Stop(m.running[i].id) {
			m.t.Fatalf("Stop of the running timer %d reports that it is not", m.running[i].arg)
		}
		m.forget(i)
	case op == 4 && len(m.dead) > 0:
		id := m.dead[m.pick.below(len(m.dead))]
		if m.w.Stop(id) || m.w.Move(id, m.deadline()) {
			m.t.Fatalf("the ended timer %#x was stopped or moved", id)
		}
	}
}

func (m *wheelModel) forget(i int) {
	m.dead = append(m.dead, m.running[i].id)
	m.running[i] = m.running[len(m.running)-1]
	m.running = m.running[:len(m.running)-1]
}

func (m *wheelModel) earliest() int64 {
	due := int64(math.MaxInt64)
	for _, r := range m.running {
		due = min(due, r.due)
	}
	return due
}

func (m *wheelModel) fired(h HandlerID, arg uint32) {
	if h != testHandler {
		m.t.Fatalf("fired for handler %d, want %d", h, testHandler)
	}
	for i, r := range m.running {
		if r.arg != arg {
			continue
		}
		if r.deadline > m.now {
			m.t.Fatalf("timer %d fired at %d, %d ns early", arg, m.now, r.deadline-m.now)
		}
		if first := m.earliest(); r.due != first {
			m.t.Fatalf("timer %d of tick %d fired before one of tick %d", arg, r.due, first)
		}
		m.tick = r.due
		m.forget(i)
		for m.depth > 0 && m.pick.below(3) > 0 {
			m.depth--
			m.change()
		}
		return
	}
	m.t.Fatalf("fired for %d, which is not running", arg)
}

func (m *wheelModel) advance() {
	switch m.pick.below(4) {
	case 0:
		m.now += m.span()
	case 1:
		m.now += int64(m.pick.below(3_000_000))
	default: // as the loop does: to when the wheel asks for it
		if at, ok := m.w.Next(); ok && at > m.now && at < m.now+int64(1000*24*time.Hour) {
			m.now = at
		}
	}
	m.depth = 8
	m.w.Advance(m.now, m.fired)
	m.tick = max(m.tick, ticksDown(m.now))
	if due := m.earliest(); due <= m.tick {
		m.t.Fatalf("at tick %d the timer of tick %d has not fired", m.tick, due)
	}
}

func (m *wheelModel) check() {
	if m.w.Len() != len(m.running) {
		m.t.Fatalf("Len is %d, want %d", m.w.Len(), len(m.running))
	}
	at, ok := m.w.Next()
	if ok != (len(m.running) > 0) {
		m.t.Fatalf("Next says %v with %d timers", ok, len(m.running))
	}
	if !ok {
		return
	}
	tick := at / int64(time.Millisecond)
	if due := m.earliest(); tick > due {
		m.t.Fatalf("Next is tick %d, but a timer is due at %d", tick, due)
	}
	if tick <= m.tick {
		m.t.Fatalf("Next is tick %d, which was handled: tick is %d", tick, m.tick)
	}
}

func simulateWheel(t *testing.T, start int64, pick choices) {
	m := &wheelModel{t: t, pick: pick, w: NewWheel(start), tick: ticksDown(start), now: start}
	for !pick.done() {
		if pick.below(3) == 0 {
			m.advance()
		} else {
			m.change()
		}
		m.check()
	}
}

func TestWheelAgainstList(t *testing.T) {
	seeds := uint64(4000)
	if testing.Short() {
		seeds = 400
	}
	seed := uint64(0)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < seeds; seed++ {
		pick := newSeeded(seed, 120)
		start := []int64{0, 999_999, -5, -1_500_000, 1 << 40, int64(1<<30-2) * int64(time.Millisecond)}[pick.below(6)]
		simulateWheel(t, start, pick)
	}
}

func FuzzWheel(f *testing.F) {
	f.Add([]byte("start, move, stop, advance"))
	f.Fuzz(func(t *testing.T, data []byte) {
		simulateWheel(t, 0, &script{data[:min(len(data), 4096)]})
	})
}

func TestWheelEdges(t *testing.T) {
	const ms = int64(time.Millisecond)
	tests := []struct {
		name    string
		start   int64
		at      int64
		steps   []int64 // Advance to each
		firesAt int     // index into steps; -1 = never
	}{
		{name: "rounded up", at: 1, steps: []int64{0, ms - 1, ms}, firesAt: 2},
		{name: "on the tick", at: 5 * ms, steps: []int64{5*ms - 1, 5 * ms}, firesAt: 1},
		{name: "in the past", start: 10 * ms, at: 3 * ms, steps: []int64{11*ms - 1, 11 * ms}, firesAt: 1},
		{name: "skipped over", at: 5 * ms, steps: []int64{int64(time.Hour)}, firesAt: 0},
		{name: "before zero", start: -2_500_000, at: -400_000, steps: []int64{-900_000, -500_000, 0}, firesAt: 2},
		{name: "at the wheel's reach", at: wheelReach * ms, steps: []int64{wheelReach*ms - 1, wheelReach * ms}, firesAt: 1},
		{name: "beyond the wheel's reach", at: 3 * wheelReach * ms, steps: []int64{wheelReach * ms, 3*wheelReach*ms - 1, 3 * wheelReach * ms}, firesAt: 2},
		{name: "never", at: math.MaxInt64, steps: []int64{ms, wheelReach * ms, 1 << 60}, firesAt: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := NewWheel(tt.start)
			id := w.Start(tt.at, 1, 2)
			at := -1
			for i, now := range tt.steps {
				w.Advance(now, func(HandlerID, uint32) {
					if at >= 0 {
						t.Errorf("fired twice")
					}
					at = i
				})
			}
			if at != tt.firesAt {
				t.Errorf("fired in step %d, want %d", at, tt.firesAt)
			}
			if stopped := w.Stop(id); stopped != (tt.firesAt < 0) {
				t.Errorf("Stop says %v", stopped)
			}
			if w.Len() != 0 {
				t.Errorf("Len is %d at the end", w.Len())
			}
		})
	}
}

func TestWheelForeignIDs(t *testing.T) {
	w := NewWheel(0)
	for _, id := range []TimerID{0, 1, 1 << 32, math.MaxUint64, 1<<32 | 7} {
		if w.Stop(id) || w.Move(id, 5) {
			t.Errorf("%#x names a timer of an empty wheel", id)
		}
	}
}

// Callbacks stop and move others that are due in the same tick.
func TestWheelChangesWithinTick(t *testing.T) {
	const ms = int64(time.Millisecond)
	w := NewWheel(0)
	ids := map[uint32]TimerID{}
	for arg := range uint32(6) {
		ids[arg] = w.Start(7*ms, 0, arg)
	}
	fired := map[uint32]int{}
	w.Advance(7*ms, func(_ HandlerID, arg uint32) {
		fired[arg]++
		delete(ids, arg)
		if len(fired) > 1 {
			return
		}
		victim, moved := uint32(2), uint32(4)
		if arg == victim || arg == moved {
			victim, moved = 0, 1
		}
		if !w.Stop(ids[victim]) || !w.Move(ids[moved], 8*ms) {
			t.Error("a timer of the same tick can't be changed")
		}
		w.Start(0, 0, 100) // due at once, which is the next tick
	})
	if len(fired) != 4 || fired[100] != 0 {
		t.Errorf("fired %v, want four of the six and not the new one", fired)
	}
	w.Advance(8*ms, func(_ HandlerID, arg uint32) { fired[arg]++ })
	if len(fired) != 6 || fired[100] != 1 || w.Len() != 0 {
		t.Errorf("fired %v, %d left; want the moved and the new one too", fired, w.Len())
	}
}

func TestWheelAllocatesNothing(t *testing.T) {
	w := NewWheel(0)
	now := int64(0)
	fire := func(_ HandlerID, arg uint32) { w.Start(now+int64(arg)*int64(time.Millisecond), 0, arg) }
	for arg := range uint32(300) {
		w.Start(now, 0, arg*arg)
	}
	if n := testing.AllocsPerRun(2000, func() {
		now += 3_700_000
		w.Advance(now, fire)
		id := w.Start(now+int64(time.Hour), 0, 1)
		w.Move(id, now+int64(time.Minute))
		w.Stop(id)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkWheelStartStop(b *testing.B) {
	w := NewWheel(0)
	b.ReportAllocs()
	for i := range b.N {
		w.Stop(w.Start(int64(i)*1000, 0, 0))
	}
}

// BenchmarkWheelMove moves one of 10,000 timers, as a session does that puts its idle deadline off.
func BenchmarkWheelMove(b *testing.B) {
	w := NewWheel(0)
	ids := make([]TimerID, 10_000)
	for i := range ids {
		ids[i] = w.Start(int64(i)*int64(time.Millisecond), 0, 0)
	}
	b.ReportAllocs()
	for i := range b.N {
		w.Move(ids[i%len(ids)], int64(i)*int64(time.Millisecond))
	}
}

// BenchmarkWheelAdvance fires and starts again 10,000 timers, each after a second; an operation is one tick.
func BenchmarkWheelAdvance(b *testing.B) {
	w := NewWheel(0)
	now := int64(0)
	fire := func(HandlerID, uint32) { w.Start(now+int64(time.Second), 0, 0) }
	for i := range 10_000 {
		w.Start(int64(i)*100_000, 0, 0)
	}
	b.ReportAllocs()
	for range b.N {
		now += int64(time.Millisecond)
		w.Advance(now, fire)
	}
}
