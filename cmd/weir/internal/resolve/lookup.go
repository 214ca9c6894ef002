package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"

	"weir/config"
)

// Bounds of what SRV records may lead to.
const (
	maxTargets     = 256 // names asked for
	maxPerTarget   = 256 // addresses of one family
	targetsAtOnce  = 8   // questions for targets, times two families
	maxLookupTime  = time.Minute
	maxTargetsTold = 3 // errors
)

// outcome is what came of one look at a source.
type outcome struct {
	answered  bool // else what is known stays
	endpoints []config.Endpoint
	ttl       time.Duration
	err       error // of all, or when answered of a part
	more      bool  // there were more endpoints than are taken
}

// lookup is what a source of names keeps from one look to the next.
type lookup struct {
	port    uint16
	host    host             // of modes all and first
	present netip.Addr       // of mode first
	targets map[string]*host // of mode srv
}

// addresses is a look in the modes all and first.
func (l *lookup) addresses(ctx context.Context, a *asker, names []string, first bool) outcome {
	ttl, ok, err := l.host.find(ctx, a, names)
	if !ok {
		return outcome{err: err}
	}
	o := outcome{answered: true, ttl: ttl, err: err}
	addrs := l.host.addrs()
	if first {
		l.present = firstOf(addrs, l.present)
		addrs = []netip.Addr{l.present}
	}
	o.endpoints, o.more = allOf(addrs, l.port)
	return o
}

// services is a look in the mode srv.
func (l *lookup) services(ctx context.Context, a *asker, names []string) outcome {
	var none error
	for i, name := range names {
		m, err := a.client.ask(ctx, a.servers, name, dns.TypeSRV)
		if err != nil {
			return outcome{err: fmt.Errorf("%s: SRV: %w", name, err)}
		}
		if m.Rcode == dns.RcodeNameError {
			none = alsoTried(fmt.Errorf("%s: no such name", name), names[:i])
			continue
		}
		list, ttl, err := readServices(m, name)
		if err != nil {
			return outcome{err: fmt.Errorf("%s: SRV: %w", name, err)}
		}
		if len(list) > 0 {
			return l.resolve(ctx, a, list, ttl, readAdditional(m))
		}
		none = alsoTried(fmt.Errorf("%s: SRV: no service", name), names[:i])
	}
	return outcome{err: none}
}

// resolve finds the targets' addresses.
func (l *lookup) resolve(ctx context.Context, a *asker, list []service, ttl time.Duration, extra map[string]*[2]family) outcome {
	o := outcome{ttl: ttl}
	targets := make(map[string]*host)
	var names []string
	for _, s := range list {
		if targets[s.target] != nil {
			continue
		}
		if len(names) == maxTargets {
			o.more = true
			continue
		}
		h := l.targets[s.target]
		if h == nil {
			h = new(host)
		}
		targets[s.target] = h
		names = append(names, s.target)
	}
	l.targets = targets

	ttls, good, errs := make([]time.Duration, len(names)), make([]bool, len(names)), make([]error, len(names))
	places := make(chan struct{}, targetsAtOnce)
	var wg sync.WaitGroup
	for i, name := range names {
		places <- struct{}{}
		wg.Go(func() {
			ttls[i], good[i], errs[i] = targets[name].target(ctx, a, name, extra[name])
			<-places
		})
	}
	wg.Wait()
	for i, name := range names {
		if good[i] {
			o.ttl = min(o.ttl, ttls[i])
		}
		o.more = targets[name].cut() || o.more
	}
	o.err = joined(errs)
	endpoints, more := servedBy(list, func(target string) []netip.Addr {
		if h := targets[target]; h != nil {
			return h.addrs()
		}
		return nil
	})
	// Without any endpoint every target has failed, and what is known stays.
	o.endpoints, o.more, o.answered = endpoints, o.more || more, len(endpoints) > 0
	return o
}

// target finds the addresses of an SRV record's target: those that came with it, else those that a question brings.
func (h *host) target(ctx context.Context, a *asker, name string, extra *[2]family) (ttl time.Duration, ok bool, err error) {
	var got [2]reply
	var missing []int
	for i := range got {
		switch {
		case extra != nil && len(extra[i].addrs) > 0:
			got[i] = reply{verdict: found, family: extra[i]}
		case extra != nil && len(extra[1-i].addrs) > 0 && len(h.known[i]) == 0:
			// The other family came along. This one may have had no room, but most probably there is none.
			got[i] = reply{verdict: empty}
		default:
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 {
		a.addresses(ctx, name, &got, missing...)
	}
	return h.take(name, &got)
}

// cut leaves the host no more addresses than a target may have, and reports whether there were more.
func (h *host) cut() (more bool) {
	for i := range h.known {
		if len(h.known[i]) > maxPerTarget {
			slices.SortFunc(h.known[i], netip.Addr.Compare)
			h.known[i], more = slices.Clone(h.known[i][:maxPerTarget]), true
		}
	}
	return more
}

// joined is the first few of the errors and how many more there are.
func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	text := errs[0].Error()
	for _, err := range errs[1:min(len(errs), maxTargetsTold)] {
		text += "; " + err.Error()
	}
	if n := len(errs) - maxTargetsTold; n > 0 {
		text += "; " + moreNames(n)
	}
	return errors.New(text)
}

// splitName returns the name and port of "host:port". SRV records have the ports themselves.
func splitName(dns string) (name string, port uint16) {
	host, text, err := net.SplitHostPort(dns)
	if err != nil {
		return dns, 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return host, 0
	}
	return host, uint16(n)
}
