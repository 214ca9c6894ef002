package flow

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
	return &seeded{rand.New(rand.NewPCG(seed, 0x666c6f77)), steps}
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

// held is a T: what the caller wrote into it, with a pointer as the real ones have.
type held struct {
	number int
	self   *modelFlow
}

// modelFlow is what the reference knows of a live flow.
type modelFlow struct {
	key           Key
	rules         Rules
	id            ID
	value         *held
	number        int
	started, last int64
	owed          int64
}

// due is the definition: the tick that a flow is over at unless a datagram comes, and why.
func (f *modelFlow) due() (tick int64, why Why) {
	ends := func(at int64, d time.Duration) int64 {
		switch {
		case d == 0 || int64(d) >= math.MaxInt64-max(at, 0): // the end of time is never
			return math.MaxInt64
		case (at+int64(d))%ms > 0:
			return (at+int64(d))/ms + 1
		}
		return (at + int64(d)) / ms
	}
	idle, aged := ends(f.last, f.rules.Idle), ends(f.started, f.rules.MaxDuration)
	switch {
	case aged < idle:
		return aged, Aged
	case aged == idle && aged != math.MaxInt64 && f.started+int64(f.rules.MaxDuration) < f.last+int64(f.rules.Idle):
		return aged, Aged // within the same tick, but earlier
	}
	return idle, Idle
}

// model checks a Table against a list that is searched from end to end.
type model struct {
	t     *testing.T
	pick  choices
	table *Table[held]
	rules []*Rules // a few that flows share
	keys  int      // how many different keys there are
	now   int64
	tick  int64 // of the last Advance
	live  []*modelFlow
	peak  int
	began int
	left  int // changes that may still be made from callbacks in this Advance
}

func simulate(t *testing.T, pick choices) {
	start := []int64{0, ms - 1, -5, -3*sec - 1, 1 << 40, -1 << 40}[pick.below(6)]
	m := &model{t: t, pick: pick, table: New[held](uint64(pick.below(256)), start), now: start}
	m.tick = floorTick(start)
	if pick.below(3) == 0 {
		// Factors of zero: all keys of IPv4 clients of socket 0 have one hash, so that equality of keys and long probes are all there is.
		m.table.secret = secret{}
	}
	m.keys = []int{3, 20, 128, 250}[pick.below(4)]
	for range 1 + pick.below(3) {
		m.rules = append(m.rules, &Rules{m.span(), m.span(), []int64{0, 1, 2, 5, math.MaxInt64}[pick.below(5)]})
	}
	for !pick.done() {
		if pick.below(8) == 0 {
			m.advance()
		} else {
			m.change()
		}
		m.check()
	}
}

func floorTick(now int64) int64 {
	if now < 0 && now%ms != 0 {
		return now/ms - 1
	}
	return now / ms
}

// span chooses a duration for a rule, or a time to pass.
func (m *model) span() time.Duration {
	n := int64(m.pick.below(200))
	switch m.pick.below(8) {
	case 0:
		return 0
	case 1:
		return time.Duration(n)
	case 2:
		return time.Duration(n * ms / 8)
	case 3:
		return time.Duration(n*ms + int64(m.pick.below(3)) - 1).Abs()
	case 4:
		return time.Duration(n*sec/4 + 1)
	case 5:
		return time.Duration(n) * time.Minute
	case 6:
		return time.Duration(n) * time.Hour // up to eight days
	}
	if m.rules == nil {
		return math.MaxInt64 - time.Duration(n)
	}
	return 30 * time.Second
}

// count chooses a number of datagrams.
func (m *model) count() int {
	switch m.pick.below(8) {
	case 0:
		return 0
	case 1:
		return []int{64, 1 << 31, 1 << 62, math.MaxInt64 - 1, math.MaxInt64}[m.pick.below(5)]
	}
	return 1 + m.pick.below(3)
}

// key chooses one of the keys there are, which differ in one part each.
func (m *model) key() Key {
	n := m.pick.below(m.keys)
	k := client(n / 5)
	switch n % 5 {
	case 1:
		k.Tag = 1
	case 2:
		k.Socket = 1
	case 3:
		k.Zone = 1
	case 4:
		k.Local[15] = 1
	}
	return k
}

func (m *model) any() *modelFlow {
	if len(m.live) == 0 {
		return nil
	}
	return m.live[m.pick.below(min(len(m.live), 256))]
}

// change does what a proxy does to the table when datagrams come or a flow ends.
func (m *model) change() {
	m.now += int64(m.pick.below(3)) * 300_000
	f := m.any()
	switch op := m.pick.below(8); {
	case op < 4 || f == nil:
		m.arrive()
	case op == 4:
		n := m.count()
		m.table.Owe(f.id, n, m.now)
		m.asked(f, n)
	case op < 7:
		m.answer(f)
	default:
		m.remove(f)
	}
}

// arrive has datagrams come, and begins the flow if there is none.
func (m *model) arrive() {
	k, n := m.key(), m.count()
	id, action := m.table.Arrive(&k, n, m.now)
	i := slices.IndexFunc(m.live, func(f *modelFlow) bool { return f.key == k })
	if (action == Forward) != (i >= 0) || action == End {
		m.t.Fatalf("Arrive says %d, the flow is number %d in the list", action, i)
	}
	if i >= 0 {
		if id != m.live[i].id {
			m.t.Fatalf("Arrive says ID %d, want %d", id, m.live[i].id)
		}
		m.asked(m.live[i], n)
		return
	}
	if id != 0 {
		m.t.Fatalf("no such flow, but ID %d", id)
	}
	if m.pick.below(8) == 0 {
		return // turned away
	}
	r := m.rules[m.pick.below(len(m.rules))]
	f := &modelFlow{key: k, rules: *r, started: m.now, last: m.now, number: m.began}
	f.id, f.value = m.table.Insert(&k, r, m.now)
	k = Key{} // the table has its own
	if *f.value != (held{}) {
		m.t.Fatalf("a new flow holds %v", *f.value)
	}
	if f.id == 0 || uint32(f.id) >= m.table.Cap() || slices.ContainsFunc(m.live, func(o *modelFlow) bool { return o.id == f.id }) {
		m.t.Fatalf("Insert says ID %d, which is none or another's", f.id)
	}
	*f.value = held{f.number, f}
	m.live = append(m.live, f)
	m.peak = max(m.peak, len(m.live))
	m.began++
	if m.pick.below(4) > 0 {
		m.table.Owe(f.id, n, m.now)
		m.asked(f, n)
	}
}

func (m *model) asked(f *modelFlow, n int) {
	f.last = m.now
	for range min(n, 3) { // exact for a few, and what is more saturates with the largest Responses, or is divided
		if f.owed > math.MaxInt64-f.rules.Responses {
			f.owed = math.MaxInt64
			return
		}
		f.owed += f.rules.Responses
	}
	if rest := int64(n) - 3; rest > 0 && f.rules.Responses > 0 {
		if rest > (math.MaxInt64-f.owed)/f.rules.Responses {
			f.owed = math.MaxInt64
			return
		}
		f.owed += rest * f.rules.Responses
	}
}

func (m *model) answer(f *modelFlow) {
	n, want := m.count(), Forward
	if f.rules.Responses > 0 {
		if f.owed = max(0, f.owed-int64(n)); f.owed == 0 {
			want = End
		}
	}
	f.last = m.now
	if got := m.table.Answer(f.id, n, m.now); got != want {
		m.t.Fatalf("Answer says %d, want %d, with %d owed", got, want, f.owed)
	}
	if want == End && m.pick.below(4) > 0 {
		m.remove(f)
	}
}

func (m *model) remove(f *modelFlow) {
	m.table.Remove(f.id)
	if *f.value != (held{}) || m.table.Live(f.id) {
		m.t.Fatalf("ID %d is removed, but live or holds %v", f.id, *f.value)
	}
	i := slices.Index(m.live, f)
	m.live[i] = m.live[len(m.live)-1]
	m.live = m.live[:len(m.live)-1]
}

func (m *model) earliest() int64 {
	first := int64(math.MaxInt64)
	for _, f := range m.live {
		tick, _ := f.due()
		first = min(first, tick)
	}
	return first
}

func (m *model) expired(id ID, why Why) {
	i := slices.IndexFunc(m.live, func(f *modelFlow) bool { return f.id == id })
	if i < 0 {
		m.t.Fatalf("ID %d is over, which is not live", id)
	}
	f := m.live[i]
	if tick, because := f.due(); tick > m.tick || why != because {
		m.t.Fatalf("a flow is over at tick %d, %d; want %d, %d", m.tick, why, tick, because)
	}
	m.remove(f)
	for m.left > 0 && m.pick.below(3) == 0 {
		m.left--
		if f := m.any(); f == nil || m.pick.below(2) == 0 {
			m.arrive()
		} else {
			m.remove(f)
		}
	}
}

func (m *model) advance() {
	switch m.pick.below(4) {
	case 0:
		m.now += int64(m.span())
	case 1:
		m.now += int64(m.pick.below(256)) * 7919
	default: // as the loop does: to when the table asks for it
		if at, ok := m.table.Next(); ok && at > m.now && at < m.now+int64(1000*24*time.Hour) {
			m.now = at
		}
	}
	m.tick, m.left = floorTick(m.now), 8
	m.table.Advance(m.now, m.expired)
	if first := m.earliest(); first <= m.tick {
		m.t.Fatalf("at tick %d a flow that was due at %d is live", m.tick, first)
	}
}

func (m *model) check() {
	if m.table.Len() != len(m.live) || int(m.table.Cap()) != m.peak+1 || m.table.Live(0) {
		m.t.Fatalf("Len %d, Cap %d; want %d, %d", m.table.Len(), m.table.Cap(), len(m.live), m.peak+1)
	}
	if m.pick.below(4) > 0 {
		return
	}
	checkIndex(m.t, &m.table.index)
	timers := false
	for _, f := range m.live {
		switch {
		case !m.table.Live(f.id) || *m.table.Key(f.id) != f.key || !m.table.index.find(m.table.secret.hash(&f.key), f.id):
			m.t.Fatalf("ID %d can't be found", f.id)
		case m.table.At(f.id) != f.value || *f.value != (held{f.number, f}):
			m.t.Fatalf("ID %d holds %v at %p, want flow %d at %p", f.id, *f.value, m.table.At(f.id), f.number, f.value)
		case m.table.Started(f.id) != f.started || m.table.Last(f.id) != f.last:
			m.t.Fatalf("ID %d: started %d, last %d; want %d, %d", f.id, m.table.Started(f.id), m.table.Last(f.id), f.started, f.last)
		}
		timers = timers || f.rules.Idle > 0 || f.rules.MaxDuration > 0
	}
	at, ok := m.table.Next()
	if first := m.earliest(); ok && !timers || !ok && first != math.MaxInt64 || ok && (at/ms > first || at/ms <= m.tick) {
		m.t.Fatalf("Next says %d, %v; a flow is due at tick %d, tick is %d", at, ok, first, m.tick)
	}
}

func TestTableAgainstList(t *testing.T) {
	seeds := uint64(1000)
	if testing.Short() {
		seeds = 100
	}
	seed := uint64(0)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < seeds; seed++ {
		simulate(t, newSeeded(seed, 600))
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("arrive, owe, answer, remove, advance"))
	f.Fuzz(func(t *testing.T, data []byte) {
		simulate(t, &script{data[:min(len(data), 4096)]})
	})
}
