package stats

import (
	"sync"
	"time"
)

// Options configure a Sampler.
type Options struct {
	View    func() *View     // what runs now; nil, or a nil View, is nothing
	Version string           // of weir
	Now     func() time.Time // nil = time.Now
}

// Sampler makes Reports, and for their rates samples the counters every two seconds from Start to Close. It is safe for
// concurrent use.
type Sampler struct {
	// Immutable.
	options Options
	stop    chan struct{}

	stopOnce sync.Once
	running  sync.WaitGroup

	mu     sync.Mutex
	window window
}

// NewSampler returns a Sampler at rest: its Reports are whole, but for the rates.
func NewSampler(o Options) *Sampler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.View == nil {
		o.View = func() *View { return nil }
	}
	return &Sampler{options: o, stop: make(chan struct{})}
}

// Start takes the first sample and goes on in the background. It is called once.
func (s *Sampler) Start() {
	s.Sample()
	s.running.Go(s.run)
}

// Close ends what Start began and returns when it has ended. It may be called again.
func (s *Sampler) Close() {
	s.stopOnce.Do(func() { close(s.stop) })
	s.running.Wait()
}

func (s *Sampler) run() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Sample()
		case <-s.stop:
			return
		}
	}
}

// Sample reads the counters once, for the rates of later Reports.
func (s *Sampler) Sample() {
	v := s.options.View()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window.sample(s.options.Now(), func(add func(any, counts)) { eachCounted(v, add) })
}

// Report reads all counters. View is nil-safe: a process that has none yet reports itself and nothing else.
func (s *Sampler) Report() *Report {
	v := s.options.View()
	if v == nil {
		v = &View{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collector{now: s.options.Now(), window: &s.window}
	r := c.report(v)
	r.Process.Version = s.options.Version
	readProcess(&r.Process)
	return r
}
