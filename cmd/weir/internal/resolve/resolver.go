package resolve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"weir/config"
)

// Options configure a Resolver.
type Options struct {
	// Log is told what is found and what fails; nil = nothing is logged.
	Log *slog.Logger
	// Found takes a cluster's endpoints each time they are others than those it has taken before: in order, distinct,
	// and its own. It is called by a goroutine of the Resolver, one call at a time for all clusters. While a call takes long, lookups go on, and the next
	// call has their latest result. nil = nobody is told.
	//
	// Set doesn't wait for a call that is under way, and so may be called from within Found, and under a lock that Found takes. A call that
	// Set has overtaken may have endpoints that are no longer wanted: take the lock, and then ask Known, which knows no more of what Set
	// has ended, and has the latest of the rest.
	Found func(cluster string, endpoints []config.Endpoint)
	// ResolvConf is a file as resolv.conf(5) has it; "" = /etc/resolv.conf.
	ResolvConf string
	// Seed is that of the jitter; 0 = drawn from crypto/rand.
	Seed uint64
}

// pace is times that tests have shorter.
type pace struct {
	timeout   time.Duration // for an answer of servers that the configuration names
	grace     time.Duration // see asker
	lookEvery time.Duration // at files
}

const (
	serverTimeout  = 2 * time.Second
	serverAttempts = 2
	familyGrace    = 2 * time.Second
)

var errLookupTime = fmt.Errorf("not done within %v", maxLookupTime)

// Resolver discovers endpoints. Its methods may be called from anywhere but from a loop: they take a mutex, though never for long.
type Resolver struct {
	// Immutable after New.
	log    *slog.Logger
	found  func(cluster string, endpoints []config.Endpoint)
	seed   uint64
	pace   pace
	client *client
	conf   *resolvConf
	ctx    context.Context
	cancel context.CancelFunc
	news   chan struct{} // holds one when a source is untold

	running sync.WaitGroup

	mu      sync.Mutex
	sources map[string]*source // by cluster
}

// Status is how the discovery of a cluster is doing.
type Status struct {
	Endpoints int           // known
	Answered  time.Time     // when they were, at last; zero = never
	Next      time.Time     // look
	TTL       time.Duration // of the last answer, as DNS has it
	Queries   uint64        // looks: lookups with all questions that they take, or times the file was read
	Failures  uint64        // of these, in whole or in part
	LastError string        // of the last look; "" = all is well
}

// New returns a Resolver that discovers nothing yet.
func New(o Options) *Resolver {
	return newResolver(o, 53, pace{timeout: serverTimeout, grace: familyGrace, lookEvery: lookEvery})
}

func newResolver(o Options, port uint16, p pace) *Resolver {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Found == nil {
		o.Found = func(string, []config.Endpoint) {}
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		o.Seed = binary.NativeEndian.Uint64(b[:])
	}
	r := &Resolver{
		log: o.Log, found: o.Found, seed: o.Seed, pace: p,
		client: newClient(), conf: &resolvConf{path: o.ResolvConf, port: port},
		news: make(chan struct{}, 1), sources: map[string]*source{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.running.Add(1)
	go r.tell()
	return r
}

// Set says what is to be discovered from now on, by cluster. What was discovered in the same way before goes on undisturbed; with other servers
// or times it keeps its endpoints, and looks again at once. Another name, mode or file begins with nothing known. The rest ends, and Known
// doesn't know it any more; for calls of Found that are under way see there.
func (r *Resolver) Set(clusters map[string]config.Discover) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	for cluster, s := range r.sources {
		if d := clusters[cluster]; !d.On() || !s.sameOrigin(&d) {
			s.stop()
			delete(r.sources, cluster)
		}
	}
	for _, cluster := range slices.Sorted(maps.Keys(clusters)) {
		d := clusters[cluster]
		d.Servers = slices.Clone(d.Servers)
		if !d.On() {
			continue
		}
		if s := r.sources[cluster]; s != nil {
			s.change(&d)
		} else {
			r.start(cluster, &d)
		}
	}
}

// start begins a source. With the mutex held.
func (r *Resolver) start(cluster string, d *config.Discover) {
	s := &source{
		r: r, cluster: cluster, settings: *d,
		changed: make(chan struct{}, 1), tried: make(chan struct{}),
	}
	s.ctx, s.stop = context.WithCancel(r.ctx)
	if d.File != "" {
		s.origin = &watched{every: r.pace.lookEvery}
	} else {
		s.origin = r.names(cluster, d)
	}
	r.sources[cluster] = s
	r.running.Add(1)
	go s.run()
}

func (r *Resolver) names(cluster string, d *config.Discover) *names {
	name, port := splitName(d.DNS)
	h := fnv.New64a()
	_, _ = h.Write([]byte(cluster)) // never fails (hash.Hash)
	return &names{
		client: r.client, conf: r.conf, pace: r.pace, random: mathrand.New(mathrand.NewPCG(r.seed, h.Sum64())),
		name: name, lookup: lookup{port: port},
	}
}

func (s *source) sameOrigin(d *config.Discover) bool {
	return s.settings.DNS == d.DNS && s.settings.Mode == d.Mode && s.settings.File == d.File
}

// change gives a source other settings. With the mutex held.
func (s *source) change(d *config.Discover) {
	old := &s.settings
	if old.Refresh == d.Refresh && old.MaxRefresh == d.MaxRefresh && slices.Equal(old.Servers, d.Servers) {
		return
	}
	s.settings = *d
	s.version++
	if s.abort != nil {
		s.abort()
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// First waits until each source that there is has had an answer, or has failed once, or ctx ends.
func (r *Resolver) First(ctx context.Context) {
	r.mu.Lock()
	sources := slices.Collect(maps.Values(r.sources))
	r.mu.Unlock()
	for _, s := range sources {
		select {
		case <-s.tried:
		case <-s.ctx.Done():
		case <-ctx.Done():
			return
		}
	}
}

// Known returns the endpoints of a cluster's last good answer, in order, as a copy. ok false: there has been no answer yet, or
// nothing is to be discovered.
func (r *Resolver) Known(cluster string) (endpoints []config.Endpoint, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sources[cluster]
	if s == nil || !s.answered {
		return nil, false
	}
	return slices.Clone(s.known), true
}

// Status returns how the discovery of a cluster is doing; ok false: nothing is to be discovered.
func (r *Resolver) Status(cluster string) (status Status, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sources[cluster]
	if s == nil {
		return Status{}, false
	}
	return s.status, true
}

// wake has tell look for untold sources. With the mutex held.
func (r *Resolver) wake() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// tell is the goroutine that calls Found.
func (r *Resolver) tell() {
	defer r.running.Done()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.news:
		}
		for _, cluster := range r.untold() {
			if endpoints, ok := r.take(cluster); ok {
				r.found(cluster, endpoints)
			}
		}
	}
}

func (r *Resolver) untold() (clusters []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for cluster, s := range r.sources {
		if s.untold {
			clusters = append(clusters, cluster)
		}
	}
	slices.Sort(clusters)
	return clusters
}

// take returns what Found is to be called with, if it still is.
func (r *Resolver) take(cluster string) ([]config.Endpoint, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sources[cluster]
	if s == nil || !s.untold || r.ctx.Err() != nil {
		return nil, false
	}
	s.untold, s.told, s.toldAny = false, s.known, true
	return slices.Clone(s.known), true
}

// Close ends all that goes on, and waits for that, so that it must not be called from within Found or under a lock that Found takes.
// Known and Status go on answering.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.running.Wait()
}
