package outlier

import (
	"math"
	"math/big"
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
	return &seeded{rand.New(rand.NewPCG(seed, 0x6f75746c696572)), steps}
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

// event is something that happened to a record.
type event struct {
	kind    byte // E ejected, B back, J judged
	reaches int  // of E: the multiplier that reached the limit then
}

// past is all that happened to one record. What the record should be now is worked out from that each time.
type past struct {
	record *Record
	events []event
	began  int64 // of the last ejection
	lasts  int64
	why    Why
}

func (p *past) out() bool {
	for _, e := range slices.Backward(p.events) {
		if e.kind != 'J' {
			return e.kind == 'E'
		}
	}
	return false
}

// until is the definition: when it began and how long it lasts; never 0, and not past the end of time.
func (p *past) until() int64 {
	if !p.out() {
		return 0
	}
	at := new(big.Int).Add(big.NewInt(p.began), big.NewInt(p.lasts))
	switch {
	case !at.IsInt64():
		return math.MaxInt64
	case at.Sign() == 0:
		return 1
	}
	return at.Int64()
}

// multiplier counts ejections up, and intervals without any part of one down.
func (p *past) multiplier() (n int) {
	out, used := false, true // used: in use since the last J
	for _, e := range p.events {
		switch e.kind {
		case 'E':
			n, out, used = min(n+1, e.reaches), true, false
		case 'B':
			out = false
		case 'J':
			if used && n > 0 {
				n--
			}
			used = !out
		}
	}
	return n
}

// model checks Rules and Records against what they did so far.
type model struct {
	t       *testing.T
	pick    choices
	rules   *Rules
	pool    []*past // every endpoint there is
	members []*past // those of the cluster, in some order
	now     int64
}

func simulate(t *testing.T, pick choices) {
	m := &model{t: t, pick: pick, now: []int64{0, -5, -100 * sec, 1 << 50, math.MaxInt64 - 500*sec}[pick.below(5)]}
	for range []int{1, 2, 6, 12, 30}[pick.below(5)] {
		m.pool = append(m.pool, &past{record: new(Record)})
	}
	m.members = slices.Clone(m.pool)
	m.setRules()
	for !pick.done() {
		m.step()
		m.check()
	}
	m.end()
}

func (m *model) setRules() {
	span := func() time.Duration {
		n := time.Duration(m.pick.below(100))
		return []time.Duration{n * time.Second, n * time.Millisecond, n, 0, -n, math.MaxInt64 - n}[m.pick.below(6)]
	}
	m.rules = &Rules{
		Stdev:      []float64{1.9, 1, 0.5, 2, 1e-3, 0, math.NaN(), math.Inf(1)}[m.pick.below(8)],
		Ejection:   span(),
		MaxEjected: []float64{0.1, 0, 0.5, 0.3, 1, 2, math.NaN()}[m.pick.below(7)],
	}
	if m.rules.MaxEjection = span(); m.pick.below(2) == 0 {
		m.rules.MaxEjection = time.Duration(m.pick.below(12)) * m.rules.Ejection / 2
	}
}

func (m *model) records() (records []*Record) {
	for _, p := range m.members {
		records = append(records, p.record)
	}
	return records
}

func (m *model) step() {
	m.now += min(int64(m.pick.below(3)), math.MaxInt64-m.now)
	switch op := m.pick.below(16); {
	case op == 0:
		m.setRules()
	case op == 1:
		m.change()
	case op < 7:
		m.ejectOne()
	case op < 10:
		m.judge()
	case op < 12:
		m.returnOne()
	default:
		m.due()
	}
}

// change makes a cluster of some of the endpoints, in another order.
func (m *model) change() {
	m.members = nil
	for _, p := range m.pool {
		if m.pick.below(4) > 0 {
			m.members = slices.Insert(m.members, m.pick.below(len(m.members)+1), p)
		}
	}
}

// room is the definition: how many more members may be ejected. It counts up while the share allows another.
func (m *model) room() int {
	n, out := len(m.members), 0
	for _, p := range m.members {
		if p.out() {
			out++
		}
	}
	most := 0
	for most < n && float64(most+1)/float64(n) <= m.rules.MaxEjected+1e-12 {
		most++
	}
	return min(max(most, 1), n-1) - out
}

// ejected writes down an ejection: its time is the base added up, as often as the multiplier says, while the limit allows.
func (m *model) ejected(p *past, why Why) {
	base, limit := max(int64(m.rules.Ejection), 1), int64(m.rules.MaxEjection)
	if limit <= 0 {
		limit = math.MaxInt64
	}
	times := p.multiplier() + 1
	lasts, reaches := int64(0), 0
	for reaches < times && lasts < limit {
		if reaches++; limit-lasts > base {
			lasts += base
		} else {
			lasts = limit
		}
	}
	p.events = append(p.events, event{'E', reaches})
	p.began, p.lasts, p.why = m.now, lasts, why
}

func (m *model) ejectOne() {
	if len(m.members) == 0 {
		return
	}
	i := m.pick.below(len(m.members))
	p, why := m.members[i], []Why{ConsecutiveFailures, SuccessRate}[m.pick.below(2)]
	want := !p.out() && m.room() > 0
	if got := m.rules.Eject(m.records(), i, m.now, why); got != want {
		m.t.Fatalf("Eject says %v, want %v: ejected %v, room for %d", got, want, p.out(), m.room())
	}
	if want {
		m.ejected(p, why)
	}
}

func (m *model) returnOne() {
	p := m.pool[m.pick.below(len(m.pool))]
	if got := p.record.Return(); got != p.out() {
		m.t.Fatalf("Return says %v, want %v", got, p.out())
	} else if got {
		p.events = append(p.events, event{kind: 'B'})
	}
}

func (m *model) due() {
	switch at, ok := Next(m.records()); m.pick.below(3) {
	case 0:
		m.now += min(int64(m.pick.below(256))*sec, math.MaxInt64-m.now)
	case 1: // as a caller does: to when the next one ends
		if ok && at > m.now && at-m.now < 1000*sec {
			m.now = at
		}
	default: // not quite
		if ok && at > m.now && at-m.now < 1000*sec {
			m.now = at - 1
		}
	}
	var want []int
	for i, p := range m.members {
		if p.out() && p.until() <= m.now {
			want = append(want, i)
			p.events = append(p.events, event{kind: 'B'})
		}
	}
	if got := m.rules.Due(m.records(), m.now, nil); !slices.Equal(got, want) {
		m.t.Fatalf("at %d: %v are due, want %v", m.now, got, want)
	}
}

// sample chooses outcomes. Whatever the factor, floating point holds their success rate as well as small ones'.
func (m *model) sample() Sample {
	n := uint64(m.pick.below(256))
	switch m.pick.below(8) {
	case 0:
		return Sample{uint64(m.pick.below(100)), uint64(m.pick.below(3))}
	case 1:
		return Sample{math.MaxUint64, []uint64{0, math.MaxUint64}[m.pick.below(2)]}
	case 2:
		return Sample{n << 40, uint64(m.pick.below(4)) << 40}
	case 3:
		return Sample{n, 255}
	}
	return Sample{255 - n/64, n / 32}
}

func (m *model) judge() {
	samples := make([]Sample, len(m.members))
	for i := range samples {
		samples[i] = m.sample()
	}
	before := m.room()
	got := m.rules.Judge(m.records(), samples, m.now, nil)
	want := m.outliers(samples, got)
	if len(want) > max(before, 0) {
		want = want[:max(before, 0)]
	}
	if !slices.Equal(got, want) {
		m.t.Fatalf("of %v, %v are ejected, want %v; room for %d", samples, got, want, before)
	}
	for _, i := range want {
		m.ejected(m.members[i], SuccessRate)
	}
	for _, p := range m.members {
		p.events = append(p.events, event{kind: 'J'})
	}
}

// outliers is the definition, in numbers that are exact, but for a root of 300 bits: who is further below the mean than
// Stdev deviations and MinGap, the worst first. Where that is too close to call, what Judge said will do.
func (m *model) outliers(samples []Sample, said []int) (found []int) {
	if !(m.rules.Stdev > 0) || math.IsInf(m.rules.Stdev, 1) {
		return nil
	}
	rates := map[int]*big.Rat{}
	mean, square := new(big.Rat), new(big.Rat)
	for i, p := range m.members {
		s, f := new(big.Int).SetUint64(samples[i].Successes), new(big.Int).SetUint64(samples[i].Failures)
		if all := new(big.Int).Add(s, f); !p.out() && all.Cmp(big.NewInt(100)) >= 0 {
			rates[i] = new(big.Rat).SetFrac(s, all)
			mean.Add(mean, rates[i])
			square.Add(square, new(big.Rat).Mul(rates[i], rates[i]))
		}
	}
	if len(rates) < 5 {
		return nil
	}
	n := new(big.Rat).SetInt64(int64(len(rates)))
	mean.Quo(mean, n)
	// The mean of the squares less the square of the mean.
	variance := new(big.Rat).Sub(square.Quo(square, n), new(big.Rat).Mul(mean, mean))
	deviation := new(big.Float).SetPrec(300).SetRat(variance)
	deviation.Sqrt(deviation).Mul(deviation, big.NewFloat(m.rules.Stdev))
	for i, rate := range rates {
		below := new(big.Float).SetPrec(300).SetRat(new(big.Rat).Sub(mean, rate))
		least := deviation
		if gap := big.NewFloat(MinGap); gap.Cmp(least) > 0 {
			least = gap
		}
		switch by, _ := below.Sub(below, least).Float64(); {
		case math.Abs(by-rounding) < 1e-11:
			if slices.Contains(said, i) {
				found = append(found, i)
			}
		case by > rounding:
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b int) int {
		if order := rates[a].Cmp(rates[b]); order != 0 {
			return order
		}
		return a - b
	})
	return found
}

func (m *model) check() {
	first, any := int64(0), false
	for i, p := range m.pool {
		r := p.record
		if r.Ejected() != p.out() || r.Until() != p.until() || r.Multiplier() != p.multiplier() || r.Why() != p.why {
			m.t.Fatalf("endpoint %d: ejected %v until %d, multiplier %d, %v; want %v, %d, %d, %v", i,
				r.Ejected(), r.Until(), r.Multiplier(), r.Why(), p.out(), p.until(), p.multiplier(), p.why)
		}
		if r.Ejected() && (r.Multiplier() < 1 || r.Until() < p.began) {
			m.t.Fatalf("endpoint %d: ejected since %d until %d, multiplier %d", i, p.began, r.Until(), r.Multiplier())
		}
		if p.out() && slices.Contains(m.members, p) && (!any || p.until() < first) {
			first, any = p.until(), true
		}
	}
	if at, ok := Next(m.records()); at != first || ok != any {
		m.t.Fatalf("Next says %d, %v, want %d, %v", at, ok, first, any)
	}
}

// end: all ejections end, and all are forgotten.
func (m *model) end() {
	m.members = m.pool
	if m.rules.Due(m.records(), math.MaxInt64, nil); len(ejected(m.records())) > 0 {
		m.t.Fatal("an ejection doesn't end")
	}
	most := 0
	for _, p := range m.pool {
		most = max(most, p.multiplier())
	}
	for range most + 1 { // one for the interval of the ejection
		m.rules.Judge(m.records(), make([]Sample, len(m.pool)), math.MaxInt64, nil)
	}
	for i, p := range m.pool {
		if *p.record != (Record{why: p.why}) {
			m.t.Fatalf("endpoint %d isn't forgotten: %+v", i, *p.record)
		}
	}
}

func TestAgainstPast(t *testing.T) {
	seed := uint64(0)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < 200; seed++ {
		simulate(t, newSeeded(seed, 300))
	}
}

func FuzzDetector(f *testing.F) {
	f.Add([]byte("eject, judge, return, due, change"))
	f.Fuzz(func(t *testing.T, data []byte) {
		simulate(t, &script{data[:min(len(data), 2048)]})
	})
}
