package stats

import (
	"net/netip"
	"testing"
	"time"

	"weir/l4"
	"weir/l4/access"
	"weir/l4/probe"
	"weir/lb"
	"weir/lb/health"
	"weir/lb/outlier"
)

// named finds a cluster in a report of the scene.
func (*scene) named(r *Report, name string) *ClusterReport {
	for i := range r.Clusters {
		if r.Clusters[i].Name == name {
			return &r.Clusters[i]
		}
	}
	return &ClusterReport{}
}

// ailing is one endpoint with what is known of it, and how that is over its member.
type ailing struct {
	addr   string
	member lb.Member
	known  l4.Condition
}

// ail adds two clusters, in which each thing that can become of an endpoint has become of one, and what the process has to say of its checks and of what it
// runs short of.
func (s *scene) ail(t testing.TB) {
	t.Helper()
	at := now.Add(-700 * time.Millisecond)
	up := l4.Condition{Checked: true, Check: health.Up, Since: began.Add(time.Second), At: at, Took: 3 * time.Millisecond, Checks: 54_321, ChecksFailed: 12, WentDown: 1, CameUp: 1}
	down := up
	down.Check, down.Since, down.Result, down.WentDown, down.ChecksFailed = health.Down, now.Add(-200*time.Second), "connection refused", 2, 112
	answers := down
	answers.Result, answers.Since = `HTTP status 503, expected 200-399: "the database of this server is gone"`, now.Add(-5*time.Second)
	ejected := up
	ejected.Ejected, ejected.Why, ejected.Until, ejected.Ejections = true, outlier.ConsecutiveFailures, now.Add(28*time.Second), 3
	starting := up
	starting.Rose = now.Add(-12 * time.Second)
	unchecked := l4.Condition{Checked: true}
	s.ailing(t, "api", lb.Options{}, []ailing{
		{"10.0.3.1:9000", lb.Member{}, up},
		{"10.0.3.2:9000", lb.Member{}, down},
		{"10.0.3.3:9000", lb.Member{}, answers},
		{"10.0.3.4:9000", lb.Member{}, ejected},
		{"10.0.3.5:9000", lb.Member{Ramp: 40}, starting},
		{"10.0.3.6:9000", lb.Member{}, unchecked},
		{"10.0.3.7:9000", lb.Member{State: lb.Maint}, down},
		{"10.0.3.8:9000", lb.Member{Priority: 1}, up},
		{"10.0.3.9:9000", lb.Member{Backup: true}, up},
	})
	s.ailing(t, "cache", lb.Options{PanicThreshold: 0.5}, []ailing{
		{"10.0.4.1:11211", lb.Member{}, up},
		{"10.0.4.2:11211", lb.Member{}, down},
		{"10.0.4.3:11211", lb.Member{}, answers},
	})
	api, cache := s.view.Clusters[len(s.view.Clusters)-2], s.view.Clusters[len(s.view.Clusters)-1]
	api.Limits = l4.Limits{MaxConnections: 500, MaxPending: 2, PendingTimeout: time.Second, MaxRetries: 20, RetryBudget: 0.2}
	for range 2 {
		api.Places.Enter(&l4.Waiter{}, api.Limits.MaxPending)
	}
	api.Places.TakeRetry(&api.Limits)
	n := &api.Loops[0]
	n.ClusterFull.Store(7)
	n.PendingFull.Store(30)
	n.PendingTimeout.Store(4)
	n.Waited.Store(90)
	n.RetriesRefused.Store(2)
	for range 86 {
		n.WaitTime.Observe(90 * time.Millisecond)
	}
	ejectedOne := api.Endpoints[3]
	for range 5 {
		ejectedOne.Failed(0)
	}
	ejectedOne.Loops[0].Resets.Store(8)
	ejectedOne.Loops[0].Early.Store(5)

	s.ssh.Gate.Enter(&access.Rules{MaxPerSource: 5}, netip.MustParseAddr("192.0.2.1"), 0)
	checks := probe.RunnerStats{Targets: 12, Running: 2, Late: 3, Done: 651_852}
	s.view.Checks = func() probe.RunnerStats { return checks }
	s.view.Pressure = func() Pressure {
		return Pressure{
			Stage: l4.StageShed, Entered: [l4.NumStages]uint64{0, 4, 1, 0}, Descriptors: 0.12, Memory: 0.96,
			MemoryUsed: 983 << 20, MemoryLimit: 1 << 30,
		}
	}
	s.view.Discovery = func(cluster string) (Discovery, bool) {
		return Discovery{
			Endpoints: 3, Answered: now.Add(-7 * time.Minute), Next: now.Add(9 * time.Second), TTL: 30 * time.Second,
			Queries: 9876, Failures: 14, LastError: "no answer from 10.0.0.53:53 within 2s",
		}, cluster == cache.Name
	}
	s.worse = func() {
		checks.Done, checks.Late = checks.Done+120, checks.Late+4
		n.PendingFull.Add(25)
		s.ssh.Loops[0].Sessions.Add(920)
		s.ssh.Loops[0].Closed[l4.Denied].Add(900)
		s.ssh.Loops[0].Closed[l4.SourceRateLimited].Add(20)
	}
}

// ailing adds a cluster of such endpoints.
func (s *scene) ailing(t testing.TB, name string, o lb.Options, all []ailing) {
	t.Helper()
	var members []lb.Member
	for i := range all {
		m := &all[i].member
		m.Endpoint, m.Weight, m.Health = lb.NewEndpoint(netip.MustParseAddrPort(all[i].addr)), 1, all[i].known.Health()
		members = append(members, *m)
	}
	s.cluster(t, name, members...)
	c := s.view.Clusters[len(s.view.Clusters)-1]
	set, err := c.Set().Next(o, members)
	if err != nil {
		t.Fatal(err)
	}
	c.Publish(set)
	for i, e := range c.Endpoints {
		e.SetCondition(all[i].known)
	}
}
