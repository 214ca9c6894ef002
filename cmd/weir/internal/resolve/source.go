package resolve

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"weir/config"
)

// origin is where a source's endpoints come from.
type origin interface {
	// look finds them out; looked false says that there was nothing to be done.
	look(ctx context.Context, d *config.Discover) (o outcome, looked bool)
	// pause is how long to wait for the next look, after so many failures in a row.
	pause(o *outcome, d *config.Discover, failures int) time.Duration
}

// names is the origin that asks DNS. Its fields belong to the source's goroutine.
type names struct {
	client *client
	conf   *resolvConf
	pace   pace
	random *rand.Rand

	name   string
	lookup lookup
}

func (n *names) look(ctx context.Context, d *config.Discover) (o outcome, looked bool) {
	a := asker{client: n.client, grace: n.pace.grace}
	var list []string
	var err error
	if len(d.Servers) > 0 {
		a.servers = servers{addrs: d.Servers, timeout: n.pace.timeout, attempts: serverAttempts}
		list, err = candidates(nil, n.name)
	} else {
		conf := n.conf.get()
		a.servers = n.conf.servers(conf)
		list, err = candidates(conf, n.name)
	}
	if err != nil {
		return outcome{err: err}, true
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxLookupTime, errLookupTime)
	defer cancel()
	if d.Mode == config.DiscoverSRV {
		return n.lookup.services(ctx, &a, list), true
	}
	return n.lookup.addresses(ctx, &a, list, d.Mode == config.DiscoverFirst), true
}

func (n *names) pause(o *outcome, d *config.Discover, failures int) time.Duration {
	wait := nextIn(o.ttl, d.Refresh, d.MaxRefresh, failures, n.random.Float64())
	if o.answered && failures > 0 {
		// A part has failed, and the rest has a TTL as ever.
		wait = min(wait, nextIn(o.ttl, d.Refresh, d.MaxRefresh, 0, n.random.Float64()))
	}
	return wait
}

// source is a cluster's discovery: a goroutine that looks, reports and waits.
type source struct {
	r       *Resolver
	cluster string
	origin  origin
	ctx     context.Context // ends with the source
	stop    context.CancelFunc
	changed chan struct{} // holds one when settings are others
	tried   chan struct{} // closed after the first look

	// Under Resolver.mu.
	settings config.Discover
	version  uint64             // of settings
	abort    context.CancelFunc // ends the look under way
	known    []config.Endpoint  // never changed in place
	answered bool
	untold   bool              // known is others than what Found was called with
	told     []config.Endpoint // what Found was called with
	toldAny  bool
	status   Status

	// Of the source's goroutine.
	failures int    // in a row
	said     string // the error that is in the log
	saidMore bool
}

func (s *source) run() {
	defer s.r.running.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.changed:
		case <-timer.C:
		}
		timer.Reset(s.turn())
	}
}

// turn looks once, and returns how long to wait for the next time.
func (s *source) turn() time.Duration {
	s.r.mu.Lock()
	d, version := s.settings, s.version
	ctx, abort := context.WithCancel(s.ctx)
	s.abort = abort
	s.r.mu.Unlock()
	o, looked := s.origin.look(ctx, &d)
	abort()
	failures := 0
	if o.err != nil {
		failures = s.failures + 1
	}
	wait := s.origin.pause(&o, &d, failures)
	before, known, ok := s.keep(version, &o, looked, wait)
	if ok && looked {
		s.failures = failures
		s.log(&o, before, known)
	}
	return wait // not for long if !ok: then the source has ended, or changed holds one
}

// keep notes what came of a look, unless the source has ended, or is another one, by now. It returns what was known before and what is known.
func (s *source) keep(version uint64, o *outcome, looked bool, wait time.Duration) (before, known []config.Endpoint, ok bool) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.ctx.Err() != nil || version != s.version {
		return nil, nil, false
	}
	now := time.Now()
	s.status.Next = now.Add(wait)
	if !looked {
		return s.known, s.known, true
	}
	before = s.known
	s.status.Queries++
	s.status.LastError = ""
	if o.err != nil {
		s.status.Failures++
		s.status.LastError = o.err.Error()
	}
	if o.answered {
		s.status.Answered, s.status.TTL, s.status.Endpoints = now, o.ttl, len(o.endpoints)
		s.known, s.answered = o.endpoints, true
		if s.untold = !s.toldAny || !slices.Equal(s.told, s.known); s.untold {
			r.wake()
		}
	}
	select {
	case <-s.tried:
	default:
		close(s.tried)
	}
	return before, s.known, true
}

// log says what is new.
func (s *source) log(o *outcome, before, known []config.Endpoint) {
	log := s.r.log.With("cluster", s.cluster)
	if o.answered && !slices.Equal(before, known) {
		added, removed := difference(before, known)
		log.Info("endpoints discovered", "endpoints", len(known), "added", added, "removed", removed)
	}
	if o.answered && o.more != s.saidMore {
		if s.saidMore = o.more; o.more {
			log.Warn("discovery finds more endpoints than are taken", "taken", len(known))
		}
	}
	said := ""
	if o.err != nil {
		said = o.err.Error()
	}
	switch {
	case said == s.said:
	case said != "":
		log.Warn("discovery fails", "error", said, "keeping", len(known))
	default:
		log.Info("discovery works again")
	}
	s.said = said
}
