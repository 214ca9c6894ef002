package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/cmd/weir/internal/build"
	"weir/cmd/weir/internal/stats"
	"weir/config"
	"weir/l4"
)

// inPart is the error of a change that holds, though not all of it could be done. It is tried again once a second until it is done.
type inPart struct{ error }

func (e inPart) Error() string { return "applied in part: " + e.error.Error() }
func (e inPart) Unwrap() error { return e.error }

// InPart reports whether an error of Apply says that the configuration runs, though not all of it yet.
func InPart(err error) bool {
	var part inPart
	return errors.As(err, &part)
}

// Apply makes the process run another configuration. An error means that nothing has changed, save one that is InPart. It waits up to three seconds for
// the first answers of discovery, and while it does, Shutdown may be called; then the error is ErrDraining.
func (c *Control) Apply(s *config.Snapshot) error { return c.change(context.Background(), s) }

// change is Apply. ctx bounds the wait.
func (c *Control) change(ctx context.Context, s *config.Snapshot) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if err := c.look(ctx, s); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		c.seek(c.configured)
		return ErrDraining
	}
	first := c.view.Load() == nil
	change := config.Diff(c.configured, s)
	err := c.apply(c.withFound(s), true)
	if err == nil || InPart(err) {
		c.configured, c.behindWhy = s, reason(err)
		c.warnUnknown()
	} else {
		c.seek(c.configured)
	}
	if first {
		if err == nil {
			c.publish()
			c.logListeners(nil)
		}
		return err
	}
	c.note(err)
	c.publish()
	if err == nil {
		c.logChange(&change)
	}
	return err
}

// Refuse counts a change that failed before it could be tried: its configuration could not be read.
func (c *Control) Refuse(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(err)
	c.publish()
}

func (c *Control) note(err error) {
	c.reloads.Last, c.reloads.LastError = time.Now(), ""
	if err != nil {
		c.reloads.Failed++
		c.reloads.LastError = err.Error()
		return
	}
	c.reloads.Applied++
}

// apply opens all that can fail, and then hands over. reload has the files that the configuration names read again. With the mutex held.
func (c *Control) apply(s *config.Snapshot, reload bool) error {
	translate := c.running.Next
	if reload {
		translate = c.running.Reload
	}
	next, err := translate(s)
	if err != nil {
		return err
	}
	opened, err := c.open(next)
	if err != nil {
		return err
	}
	server, err := c.openAdmin(s.Admin)
	if err != nil {
		opened.close()
		return err
	}
	over := s.Process.DrainTimeout
	plan := c.plan(next, opened)
	opened.tune()
	c.noteDrained(opened.sockets, over)
	c.sockets, c.bound = opened.sockets, opened.bound
	leaving := c.running.Leaving(next)
	c.running = next
	c.monitor.Follow(next.Plans)
	c.measureBuffers()
	c.replaceAdmin(server)
	c.shared.SetMax(c.limits())
	var failed []error
	// The last loop comes first: when a socket of a UDP address leaves, the kernel puts the youngest in its place. So the new sockets of an address
	// whose flows still drain come to stand where those of their loops stood, and the flows' datagrams go on coming to their loops.
	for i := len(c.loops) - 1; i >= 0; i-- {
		on := &c.loops[i]
		err := on.Loop.Do(func() { failed = append(failed, plan.do(on, i, over, leaving)) })
		failed = append(failed, err)
		// A loop closes what was given up at the end of its turn; this waits for the next one.
		_ = on.Loop.Do(func() {})
	}
	c.behind = false
	if err := errors.Join(failed...); err != nil {
		// The kernel has no memory for a registration, or a loop has ended. The proxy has closed what it could not use, so
		// that those descriptors are nobody's; they are opened again with the next try.
		for _, l := range plan.listen {
			for _, key := range keys(l.Listener) {
				delete(c.sockets, key)
			}
		}
		c.behind = true
		return inPart{err}
	}
	return nil
}

// plan is what every loop has to do to get from one configuration to the next.
type plan struct {
	listen   []listen
	update   []*build.Listener
	unlisten []*build.Listener
}

type listen struct {
	*build.Listener
	sockets [][]int // by loop
}

func (c *Control) plan(next *build.Running, o *opened) plan {
	var p plan
	for _, l := range next.Listeners {
		if fds, ok := o.listen[l.Name]; ok {
			p.listen = append(p.listen, listen{l, fds})
		} else if !l.Same(c.running.Listener(l.Name)) {
			p.update = append(p.update, l)
		}
	}
	for _, l := range c.running.Listeners {
		if n := next.Listener(l.Name); n == nil || n.State != l.State {
			p.unlisten = append(p.unlisten, l)
		}
	}
	return p
}

// do is a loop's part. Sockets are taken over before those they replace are closed.
func (pl *plan) do(on *stats.Loop, loop int, over time.Duration, leaving []*l4.Endpoint) error {
	var failed []error
	for _, l := range pl.listen {
		var err error
		if l.UDP != nil {
			err = on.UDP.Rebind(l.State, l.UDP, l.sockets[loop])
		} else {
			err = on.TCP.Rebind(l.State, l.TCP, l.sockets[loop])
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("loop %d: listener %q: %w", loop, l.Name, err))
		}
	}
	for _, l := range pl.update {
		if l.UDP != nil {
			on.UDP.Update(l.State, l.UDP)
		} else {
			on.TCP.Update(l.State, l.TCP)
		}
	}
	for _, l := range pl.unlisten {
		if l.UDP != nil {
			on.UDP.Unlisten(l.State)
			on.UDP.DrainListener(l.State, over)
		} else {
			on.TCP.Unlisten(l.State)
			on.TCP.DrainListener(l.State, over)
		}
	}
	for _, e := range leaving {
		on.TCP.DrainEndpoint(e, over)
		on.UDP.DrainEndpoint(e, over)
	}
	return errors.Join(failed...)
}
