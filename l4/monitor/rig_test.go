package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/l4"
	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// rig is a Monitor in a bubble of fake time, whose checks have the results that the test gives them.
type rig struct {
	t *testing.T
	m *Monitor

	mu    sync.Mutex
	text  bytes.Buffer // of the log
	asked map[netip.AddrPort]chan error
	downs []string
	down  func(e *l4.Endpoint, closeSessions bool) // nil = it is only noted
}

// bubble runs a test with a Monitor that ends with it.
func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, asked: map[netip.AddrPort]chan error{}}
		log := slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		r.m = New(Options{Log: log, Seed: 1, Down: func(e *l4.Endpoint, closeSessions bool) {
			r.mu.Lock()
			r.downs = append(r.downs, fmt.Sprint(e.Address, " close=", closeSessions))
			then := r.down
			r.mu.Unlock()
			if then != nil {
				then(e, closeSessions)
			}
		}})
		defer r.m.Close()
		f(r)
	})
}

// Write takes what is logged.
func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

// Run is a check: it waits for the result that the test gives.
func (r *rig) Run(ctx context.Context, at netip.AddrPort) error {
	select {
	case err := <-r.of(at):
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *rig) of(at netip.AddrPort) chan error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked[at] == nil {
		r.asked[at] = make(chan error)
	}
	return r.asked[at]
}

var errSick = errors.New("sick")

// give gives the next check of an endpoint its result, when it comes, and waits until all is done that follows from it.
func (r *rig) give(e *l4.Endpoint, results ...error) {
	r.t.Helper()
	for _, err := range results {
		select {
		case r.of(e.Address) <- err:
		case <-time.After(24 * time.Hour):
			r.t.Fatalf("endpoint %v isn't checked", e.Address)
		}
		synctest.Wait()
	}
}

// pass lets time pass, and waits until all is done that was due.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// follow follows plans and waits until they are published.
func (r *rig) follow(plans ...*Plan) {
	var all []Plan
	for _, p := range plans {
		all = append(all, *p)
	}
	r.m.Follow(all)
	synctest.Wait()
}

// said returns what was logged since the last call, a line for each.
func (r *rig) said() (lines []string) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := strings.TrimSpace(r.text.String()); s != "" {
		lines = strings.Split(s, "\n")
	}
	r.text.Reset()
	return lines
}

// wantSaid checks what was logged since the last look.
func (r *rig) wantSaid(want ...string) {
	r.t.Helper()
	got := r.said()
	for i := range want {
		if i >= len(got) || !strings.Contains(got[i], want[i]) {
			r.t.Fatalf("line %d: want %s in\n%s", i, want[i], strings.Join(got, "\n"))
		}
	}
	if len(got) != len(want) {
		r.t.Fatalf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
}

// wantDowns checks who was told to be down since the last look.
func (r *rig) wantDowns(want ...string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.downs)
	if got := strings.Join(r.downs, "\n"); got != strings.Join(want, "\n") {
		r.t.Fatalf("told that these are down:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	r.downs = nil
}

// addr is the address of endpoint i; clusters differ by port.
func addr(i, port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(port))
}

func endpoints(n, port int) (all []*l4.Endpoint) {
	for i := range n {
		all = append(all, l4.NewEndpoint(addr(i, port), 2))
	}
	return all
}

// newPlan plans a cluster of these endpoints without checks.
func newPlan(t testing.TB, name string, all []*l4.Endpoint, o lb.Options) *Plan {
	t.Helper()
	p := &Plan{Options: o}
	for _, e := range all {
		p.Members = append(p.Members, lb.Member{Endpoint: e.Balance, Weight: 1})
	}
	set, err := lb.NewSet(o, p.Members)
	if err != nil {
		t.Fatal(err)
	}
	p.Cluster = l4.NewCluster(name, all, set, 2)
	return p
}

// with returns the plan with other endpoints: the successor of its cluster.
func (p *Plan) with(t testing.TB, all []*l4.Endpoint) *Plan {
	t.Helper()
	next := *p
	next.Members = nil
	for _, e := range all {
		next.Members = append(next.Members, lb.Member{Endpoint: e.Balance, Weight: 1})
	}
	set, err := p.Cluster.Set().Next(p.Options, next.Members)
	if err != nil {
		t.Fatal(err)
	}
	next.Cluster = p.Cluster.Next(all, set)
	return &next
}

// check is one each second, that takes two failures to go down and three successes to come up.
func (r *rig) check() *Check {
	return &Check{Check: r, Rules: health.Rules{Interval: time.Second, Fall: 2, Rise: 3}}
}

// outliers are rules that eject after three failures in a row, half of a cluster at most.
func outliers() *outlier.Rules {
	return &outlier.Rules{Consecutive: 3, Interval: 10 * time.Second, Ejection: 30 * time.Second, MaxEjection: 70 * time.Second, MaxEjected: 0.5}
}

// uses says which members are picked from, and whether the cluster panics.
func (p *Plan) uses() string {
	set := p.Cluster.Set()
	s := ""
	for i := range set.Len() {
		if set.Uses(i) {
			s += fmt.Sprint(i)
		}
	}
	if set.Panics() {
		s += " panics"
	}
	return s
}

func (r *rig) wantUses(p *Plan, want string) {
	r.t.Helper()
	if got := p.uses(); got != want {
		r.t.Fatalf("%s uses %q, want %q", p.Cluster.Name, got, want)
	}
	set := p.Cluster.Set()
	for i, e := range p.Cluster.Endpoints {
		if set.Member(i).Endpoint != e.Balance {
			r.t.Fatalf("member %d isn't endpoint %d", i, i)
		}
	}
}

// wantState checks an endpoint's condition: its state, the results so far, and its changes.
func (r *rig) wantState(e *l4.Endpoint, state health.State, checks, failed, down, up uint64) {
	r.t.Helper()
	c := e.Condition()
	if c.Check != state || c.Checks != checks || c.ChecksFailed != failed || c.WentDown != down || c.CameUp != up {
		r.t.Fatalf("endpoint %v: %+v", e.Address, c)
	}
}

// ramps returns the ramps of all members.
func (p *Plan) ramps() (all []uint8) {
	for i := range p.Cluster.Set().Len() {
		all = append(all, p.Cluster.Set().Member(i).Ramp)
	}
	return all
}
