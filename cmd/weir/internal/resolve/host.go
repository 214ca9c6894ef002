package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// families are the types of the records with a name's addresses.
var families = [2]uint16{dns.TypeA, dns.TypeAAAA}

// verdict is what came of a question for one family of a name's addresses.
type verdict uint8

const (
	failed verdict = iota // nobody could tell
	absent                // there is no such name
	empty                 // the name has no address of this family
	found
)

// reply is a verdict, and the addresses of one that found some.
type reply struct {
	family
	verdict verdict
	err     error // of one that failed
}

func (r *reply) String() string {
	switch r.verdict {
	case failed:
		return r.err.Error()
	case absent:
		return "no such name"
	case empty:
		return "no address"
	}
	return "found"
}

// host is the addresses of one name as far as they are known: those of each family from its last good answer.
type host struct {
	name  string // whose they are, of the names that were to be tried
	known [2][]netip.Addr
}

// take merges what was found out about a name, and returns the TTL of that; not ok is that nothing was found, and changes nothing. A family that has an answer is as it says. When the other one has
// addresses, "no address" is an answer, too; otherwise it is taken for the failure that it mostly is. A family without an answer stays
// as it was, if it was the same name's. The error says which families these are.
func (h *host) take(name string, got *[2]reply) (ttl time.Duration, ok bool, err error) {
	if got[0].verdict != found && got[1].verdict != found {
		return 0, false, whyNone(name, got)
	}
	ttl = maxTTL
	for i := range got {
		r := &got[i]
		switch {
		case r.verdict == found:
			h.known[i], ttl = r.addrs, min(ttl, r.ttl)
			continue
		case r.verdict == empty:
			h.known[i] = nil
			continue
		case h.name != name:
			h.known[i] = nil
		}
		err = fmt.Errorf("%s: %s: %v", name, dns.TypeToString[families[i]], r)
	}
	h.name = name
	return ttl, true, err
}

// addrs are all addresses, those of A first.
func (h *host) addrs() []netip.Addr {
	all := slices.Concat(h.known[0], h.known[1])
	if len(h.known[0]) == 0 || len(h.known[1]) == 0 {
		return all
	}
	// An IPv4 address may be there twice: as an A record, and mapped in an AAAA record.
	seen := make(map[netip.Addr]struct{}, len(all))
	return slices.DeleteFunc(all, func(a netip.Addr) bool {
		_, twice := seen[a]
		seen[a] = struct{}{}
		return twice
	})
}

func whyNone(name string, got *[2]reply) error {
	a, b := got[0].String(), got[1].String()
	if a == b {
		return fmt.Errorf("%s: %s", name, a)
	}
	return fmt.Errorf("%s: A: %s, AAAA: %s", name, a, b)
}

// asker asks the servers of one lookup.
type asker struct {
	client  *client
	servers servers
	// grace is how long one family's answer is waited for once the other's is there.
	grace time.Duration
}

// addresses asks for those families of a name's addresses that are still missing, at the same time.
func (a *asker) addresses(ctx context.Context, name string, got *[2]reply, missing ...int) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan int, len(missing))
	var late *time.Timer
	for _, i := range missing {
		go func() {
			got[i] = a.family(ctx, name, families[i])
			done <- i
		}()
	}
	for range missing {
		// What is known of one family should not wait for the other's servers to run out of attempts: that one is asked for again soon.
		if i := <-done; got[i].verdict == found && late == nil {
			late = time.AfterFunc(a.grace, func() { cancel(fmt.Errorf("no answer %v after that of the other family", a.grace)) })
			defer late.Stop()
		}
	}
}

func (a *asker) family(ctx context.Context, name string, qtype uint16) reply {
	m, err := a.client.ask(ctx, a.servers, name, qtype)
	if err != nil {
		return reply{verdict: failed, err: err}
	}
	return readReply(m, name, qtype)
}

func readReply(m *dns.Msg, name string, qtype uint16) reply {
	if m.Rcode == dns.RcodeNameError {
		return reply{verdict: absent}
	}
	addrs, ttl, err := readAddresses(m, name, qtype)
	switch {
	case err != nil:
		return reply{verdict: failed, err: err}
	case len(addrs) == 0:
		return reply{verdict: empty}
	}
	return reply{verdict: found, family: family{addrs: addrs, ttl: ttl}}
}

// find asks for the first of the names that has addresses, and has the host take them. A name of which that can't be told ends the search:
// the next one may be that of something else.
func (h *host) find(ctx context.Context, a *asker, names []string) (ttl time.Duration, ok bool, err error) {
	for i, name := range names {
		var got [2]reply
		a.addresses(ctx, name, &got, 0, 1)
		if ttl, ok, err = h.take(name, &got); ok {
			return ttl, true, err
		}
		none := got[0].verdict == absent || got[1].verdict == absent || got[0].verdict == empty && got[1].verdict == empty
		err = alsoTried(err, names[:i])
		if !none {
			break
		}
	}
	return 0, false, err
}

// alsoTried adds to an error about a name those that were tried before it.
func alsoTried(err error, names []string) error {
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w (before it: %s)", err, strings.Join(names, ", "))
}

// candidates are the names that a name may stand for, in the order in which they are to be tried.
func candidates(conf *dns.ClientConfig, name string) ([]string, error) {
	list := []string{dns.Fqdn(name)}
	if conf != nil {
		list = conf.NameList(name)
	}
	list = slices.DeleteFunc(list, func(name string) bool {
		_, ok := dns.IsDomainName(name)
		return !ok
	})
	if len(list) == 0 {
		return nil, errors.New("not a name that DNS can have")
	}
	return list, nil
}
