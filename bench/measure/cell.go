package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Sample is one measured cell: one contender, one workload, one round.
type Sample struct {
	Workload  string          `json:"workload"`
	Contender string          `json:"contender"`
	Round     int             `json:"round"`
	Amount    int64           `json:"amount"`
	Busy      float64         `json:"busy_seconds"`        // the machine's busy time over the work
	Wall      float64         `json:"wall_seconds"`        // elapsed
	Process   float64         `json:"process_seconds"`     // user and system time of the contender's processes
	Foreign   float64         `json:"foreign_seconds"`     // CPU time of processes that aren't the run's
	Steal     float64         `json:"steal_share"`         // of all time, 0 to 1
	PssFew    float64         `json:"pss_few_kib"`         // idle: the contender's memory at the smaller number
	PssMany   float64         `json:"pss_many_kib"`        // idle: at the larger
	Load      json.RawMessage `json:"load,omitempty"`      // what the generator printed
	Discarded string          `json:"discarded,omitempty"` // why the sample doesn't count
	Failed    string          `json:"failed,omitempty"`    // why the contender has no figure here
	Note      string          `json:"note,omitempty"`      // what was odd and changes nothing

	refused bool // Failed, because the contender didn't start
}

// Lost is how many datagrams the generator missed.
func (s Sample) Lost() int64 {
	var r struct{ Lost int64 }
	_ = json.Unmarshal(s.Load, &r) // there may be nothing
	return r.Lost
}

// Outcome says in a few words what came of it.
func (s Sample) Outcome() string {
	what := fmt.Sprintf("busy %.2f s, wall %.2f s", s.Busy, s.Wall)
	if s.PssMany > 0 {
		what = fmt.Sprintf("%.0f KiB, then %.0f KiB", s.PssFew, s.PssMany)
	}
	if n := s.Lost(); n > 0 {
		what += fmt.Sprintf(", %d lost", n)
	}
	if s.Failed != "" {
		what = "failed: " + s.Failed
	}
	if s.Discarded != "" {
		what += ", thrown away: " + s.Discarded
	}
	if s.Note != "" {
		what += " (" + s.Note + ")"
	}
	return what
}

// cell is the processes of one measurement.
type cell struct {
	ctx      context.Context
	dir      string
	load     string // path of cmd/load
	backend  *child
	target   *child // nil for direct
	addr     string // what the generator connects to
	sessions map[int]bool
	pids     map[int]bool
}

// cellLimit bounds a cell: a generator that stalls gives up by itself in 10 s.
const cellLimit = 2 * time.Minute

// measureCell sets up, measures and tears down. What the contender does wrong
// is in Failed; an error is the run's own trouble.
func measureCell(ctx context.Context, bin Binaries, free *ports, c Contender, w Workload) (s Sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	// NGINX's workers give up root, and look for nothing in here.
	if err := os.Chmod(dir, 0o755); err != nil {
		return s, err
	}
	s = Sample{Workload: w.Name, Contender: c.Name, Amount: w.Amount}
	m := &cell{
		ctx: ctx, dir: dir, load: bin.Load, sessions: map[int]bool{},
		pids: map[int]bool{os.Getpid(): true, os.Getppid(): true},
	}
	defer func() { err = errors.Join(err, m.close(&s)) }()
	if err := m.startBackend(w); err != nil {
		return s, err
	}
	if !c.isDirect() {
		if m.target, m.addr, err = c.start(ctx, free, dir, w, m.addr); err != nil {
			if ctx.Err() == nil {
				s.Failed, s.refused, err = "doesn't start: "+err.Error(), true, nil
			}
			return s, err
		}
		m.sessions[m.target.session()] = true
	}
	if w.Figure == Memory {
		err = m.memory(w, &s)
	} else {
		err = m.work(w, &s)
	}
	if err != nil && ctx.Err() == nil {
		s.Failed, err = err.Error(), nil
	}
	return s, err
}

func (m *cell) startBackend(w Workload) error {
	args := []string{m.load, "backend"}
	if w.Realtime {
		args = append(args, "-realtime")
	}
	b, err := startChild(m.ctx, filepath.Join(m.dir, "backend.log"), args, true)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	m.backend = b
	m.sessions[b.session()] = true
	line, err := b.line()
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	var services map[string]string
	if err := json.Unmarshal([]byte(line), &services); err != nil {
		return fmt.Errorf("backend: %q: %w", line, err)
	}
	m.addr = services[w.service]
	return nil
}

// close ends the processes. Nobody needs the backend's answer any more; but it
// must have lived until now.
func (m *cell) close(s *Sample) error {
	var err error
	if m.target != nil {
		if e := m.target.stop(); e != nil {
			s.Note = e.Error()
		}
	}
	if m.backend != nil {
		select {
		case <-m.backend.exited:
			err = fmt.Errorf("backend ended: %w%s", errOr(m.backend.err), m.backend.complaint())
		default:
		}
		err = errors.Join(err, m.backend.stop())
	}
	return err
}

// generator starts a gated load and returns when it is ready.
func (m *cell) generator(name string, args []string) (*child, error) {
	g, err := startChild(m.ctx, filepath.Join(m.dir, name+".log"), append([]string{m.load}, args...), true)
	if err != nil {
		return nil, err
	}
	m.sessions[g.session()] = true
	line, err := g.line()
	if err == nil && line != "ready" {
		err = fmt.Errorf("%s: %s%s", g.name, line, g.complaint())
	}
	if err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

// work measures a fixed amount of work, after a twentieth of it as a warm-up.
func (m *cell) work(w Workload, s *Sample) error {
	for _, args := range [][]string{w.warmUp(m.addr), w.args(m.addr, w.Amount, true)} {
		g, err := m.generator("load", args)
		if err != nil {
			return err
		}
		if err := m.window(g, s); err != nil {
			return errors.Join(err, g.stop())
		}
		if err := g.finish(); err != nil {
			return fmt.Errorf("load: %w%s", err, g.complaint())
		}
	}
	if _, ok := w.latency(*s); w.Figure == Latency && !ok {
		return fmt.Errorf("load: no %s of latency in %s", w.Percentile, s.Load)
	}
	return nil
}

// window is what is measured: from the word to go to the result.
func (m *cell) window(g *child, s *Sample) error {
	before, err := readProcesses()
	if err != nil {
		return err
	}
	start := time.Now()
	from, err := readCPU()
	if err != nil {
		return err
	}
	if _, err := g.in.Write([]byte("\n")); err != nil {
		return err
	}
	line, err := g.line()
	if err != nil {
		return err
	}
	to, err := readCPU()
	if err != nil {
		return err
	}
	s.Wall = time.Since(start).Seconds()
	after, err := readProcesses()
	if err != nil {
		return err
	}
	spent := to.Sub(from)
	s.Busy, s.Steal = spent.Busy, spent.StealShare()
	s.Foreign = max(foreignTime(after, m.sessions, m.pids)-foreignTime(before, m.sessions, m.pids), 0)
	if m.target != nil {
		id := m.target.session()
		s.Process = sessionTime(after, id) - sessionTime(before, id)
	}
	return verify(line, s)
}

// verify keeps what the generator printed, and fails where that is an error.
func verify(line string, s *Sample) error {
	var r struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return fmt.Errorf("load: %q: %w", line, err)
	}
	s.Load = json.RawMessage(line)
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

// memory takes the contender's memory at two numbers of idle connections.
func (m *cell) memory(w Workload, s *Sample) error {
	few, err := m.generator("few", w.args(m.addr, idleFew, false))
	if err != nil {
		return err
	}
	if s.PssFew, err = sessionPss(m.target.session()); err != nil {
		return errors.Join(err, few.stop())
	}
	more, err := m.generator("more", w.args(m.addr, w.Amount, false))
	if err != nil {
		return errors.Join(err, few.stop())
	}
	s.PssMany, err = sessionPss(m.target.session())
	for _, g := range []*child{more, few} {
		if e := g.finish(); e != nil {
			err = errors.Join(err, fmt.Errorf("idle connections: %w%s", e, g.complaint()))
		}
	}
	return err
}
