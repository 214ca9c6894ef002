package stats

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weir/l4"
)

// well is an endpoint that nothing is wrong with, named a.
func well() EndpointReport {
	return EndpointReport{State: "ready", Health: "healthy", Weight: 1, InUse: true, name: "a"}
}

// as is a well endpoint that was changed.
func as(changes ...func(e *EndpointReport)) EndpointReport {
	e := well()
	for _, change := range changes {
		change(&e)
	}
	return e
}

func called(name string) func(*EndpointReport) { return func(e *EndpointReport) { e.name = name } }
func unused(e *EndpointReport)                 { e.InUse = false }
func backup(e *EndpointReport)                 { e.Backup = true }
func isUp(e *EndpointReport)                   { e.Check = &CheckReport{State: "up"} }
func unseen(e *EndpointReport)                 { e.Check = &CheckReport{State: "unknown"} }
func starting(e *EndpointReport)               { e.WeightPercent = 40 }
func weightless(e *EndpointReport)             { e.Weight, e.InUse = 0, false }
func drained(e *EndpointReport)                { e.State, e.InUse = "drain", false }

func isDown(e *EndpointReport) {
	e.InUse, e.Check = false, &CheckReport{State: "down", Since: now.Add(-200 * time.Second), Result: "connection refused"}
}

func isOut(e *EndpointReport) {
	e.InUse, e.Outlier = false, &OutlierReport{Ejected: true, Why: "success_rate", Until: now.Add(28 * time.Second), Ejections: 1}
}

func wasOut(e *EndpointReport) { e.Outlier = &OutlierReport{Why: "success_rate", Ejections: 1} }
func used(e *EndpointReport)   { e.InUse = true }

// blinded is an endpoint whose check failed for want of something here.
func blinded(e *EndpointReport) {
	e.Check = &CheckReport{State: "up", Result: "could not check: out of descriptors"}
}

func TestEndpointState(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		e    EndpointReport
		want string
	}{
		{as(), "ready"},
		{as(isUp), "ready"},
		{as(wasOut), "ready"},
		{as(unused), "standby"},
		{as(unused, backup), "backup"},
		{as(backup), "ready, backup in use"},
		{as(starting), "starting 40%"},
		{as(starting, backup), "starting 40%, backup in use"},
		{as(starting, unused), "standby"},
		{as(unseen), "unchecked"},
		{as(unseen, unused), "unchecked"},
		{as(unseen, unused, backup), "unchecked, backup"},
		{as(drained), "drain"},
		{as(drained, backup), "drain, backup"},
		{as(drained, isDown), "drain"},
		{as(weightless), "weight 0"},
		{as(isDown), "down 3m20s: connection refused"},
		{as(isDown, used), "down 3m20s, in use: connection refused"},
		{as(isDown, func(e *EndpointReport) { e.Check.Since, e.Check.Result = time.Time{}, "" }), "down"},
		{as(isDown, func(e *EndpointReport) { e.Check.Result = "a\x1b[31m" }), "down 3m20s: a [31m"},
		{as(isDown, func(e *EndpointReport) { e.Check.Result = long }), "down 3m20s: " + long},
		{as(isOut), "ejected 28s: success_rate"},
		{as(isOut, func(e *EndpointReport) { e.Outlier.Until = now.Add(-time.Second) }), "ejected 0s: success_rate"},
		{as(isOut, isDown), "down 3m20s: connection refused"},
	} {
		if got := c.e.stateText(now); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	for _, c := range []struct {
		text string
		most int
		want string
	}{{"", 3, ""}, {"abcd", 4, "abcd"}, {"abcde", 4, "a..."}, {"ключик", 5, "кл..."}} {
		if got := cut(c.text, c.most); got != c.want {
			t.Errorf("%q cut to %d: %q, want %q", c.text, c.most, got, c.want)
		}
	}
}

// TestHealthAttention holds what is said first of clusters and their endpoints, in one line each.
func TestHealthAttention(t *testing.T) {
	cluster := func(inUse int, all ...EndpointReport) ClusterReport {
		return ClusterReport{Name: "c", InUse: inUse, Endpoints: all}
	}
	in := func(clusters ...ClusterReport) *Report { return &Report{Time: now, Clusters: clusters} }
	panics := cluster(2, as(), as(isDown, used, called("b")))
	panics.Panic = true
	limited := func(reason l4.CloseReason, l LimitsReport) *Report {
		c := cluster(1, as())
		c.Limits = l
		c.closeRates[reason] = 2.5
		return in(c)
	}
	found := func(d DiscoveryReport, all ...EndpointReport) *Report {
		c := cluster(len(all), all...)
		c.Discovery = &d
		return in(c)
	}
	ends := func(rates [l4.NumReasons]float64) *Report {
		return &Report{Listeners: []ListenerReport{{Name: "l", Connections: Connections{PerSecond: 30}, closeRates: rates}}}
	}
	full := cluster(1, as())
	full.Limits = LimitsReport{Connections: 95, MaxConnections: 100}
	overload := func(o OverloadReport) *Report {
		o.Stage = o.stage.String()
		return &Report{Process: Process{Overload: o, Descriptors: Descriptors{Open: 99, Limit: 100}}}
	}
	for name, c := range map[string]struct {
		report *Report
		want   string // all that is said; "" = nothing stands out
	}{
		"well":             {in(cluster(1, as(isUp))), ""},
		"was ejected":      {in(cluster(1, as(wasOut))), ""},
		"backup stands by": {in(cluster(1, as(), as(unused, backup))), ""},
		"standby":          {in(cluster(1, as(), as(unused))), ""},
		"one unchecked":    {in(cluster(1, as(isUp), as(unseen, unused))), ""},
		"backup in use":    {in(cluster(1, as(isDown), as(backup))), "cluster c: 1 of 2 endpoints out of service: a (down 3m20s: connection refused)"},
		"none in use":      {in(cluster(0, as(weightless))), "cluster c: none of its 1 endpoints takes new connections: a (weight 0)"},
		"all down": {in(cluster(0, as(isDown), as(isOut, called("b")))),
			"cluster c: none of its 2 endpoints takes new connections: a (down 3m20s: connection refused), b (ejected 28s: success_rate)"},
		"all unchecked": {in(cluster(0, as(unseen, unused))), "cluster c: none of its 1 endpoints takes new connections: a (unchecked)"},
		"panic": {in(panics),
			"cluster c panics: too few endpoints are well, 1 of 2, so new connections go to others, too: b (down 3m20s, in use: connection refused)"},
		"some out, those first that should be in": {in(cluster(1, as(), as(drained, called("b")), as(isDown, called("d")))),
			"cluster c: 2 of 3 endpoints out of service: d (down 3m20s: connection refused), b (drain)"},
		"three out": {in(cluster(1, as(), as(drained), as(drained), as(drained))), "cluster c: 3 of 4 endpoints out of service: a (drain), a (drain), a (drain)"},
		"many out": {in(cluster(1, as(), as(drained), as(isOut, called("1")), as(isOut, called("2")), as(isOut, called("3")), as(isOut, called("4")), as(isOut, called("5")))),
			"cluster c: 6 of 7 endpoints out of service: 1 (ejected 28s: success_rate), 2 (ejected 28s: success_rate), 3 (ejected 28s: success_rate), ..."},
		"checks can't be made": {in(cluster(2, as(blinded), as())),
			"cluster c: the checks of 1 of 2 endpoints fail on this side, and say nothing: could not check: out of descriptors"},

		"discovery fails": {found(DiscoveryReport{Endpoints: 1, Answered: now.Add(-7 * time.Minute), LastError: "no answer\nat all"}, as()),
			"cluster c: discovery fails, the last good answer was 7m ago, keeping 1 endpoints: no answer (and 1 more)"},
		"discovery works": {found(DiscoveryReport{Endpoints: 1, Answered: now.Add(-time.Hour), Failures: 9}, as()), ""},
		"discovery never worked": {found(DiscoveryReport{LastError: "no answer"}),
			"cluster c has no endpoint: none is discovered yet\ncluster c: discovery fails, and has never had an answer: no answer"},

		"pending full": {limited(l4.PendingFull, LimitsReport{Pending: 20, MaxPending: 20}),
			"cluster c: 2.5 connections/s are refused for pending_full, 20 of 20 wait for a place: raise limits.max_pending, or add endpoints"},
		"pending for too long": {limited(l4.PendingTimeout, LimitsReport{Pending: 3, MaxPending: 20}),
			"cluster c: 2.5 connections/s are refused for pending_timeout, 3 wait for a place: add endpoints, raise their max_connections, or limits.pending_timeout"},
		"cluster full": {limited(l4.ClusterFull, LimitsReport{Connections: 100, MaxConnections: 100}),
			"cluster c: 2.5 connections/s are refused for cluster_full, 100 of 100 are taken: raise limits.max_connections"},
		"retries refused": {limited(l4.RetryLimit, LimitsReport{Retrying: 4, MaxRetries: 4}),
			"cluster c: 2.5 connections/s are refused for retry_limit, 4 retries are under way: endpoints fail more than limits.max_retries or limits.retry_budget make up for"},
		"cluster nearly full": {in(full), "cluster c: 95 of its 100 connections are taken"},

		"unserved": {ends([l4.NumReasons]float64{l4.DownstreamClosed: 20, l4.ConnectRefused: 1, l4.ConnectTimeout: 2}),
			"listener l: 3.0/s of 30.0/s connections reach no endpoint, 2.0 of them for connect_timeout"},
		"unserved, with advice": {ends([l4.NumReasons]float64{l4.EndpointsFull: 2}),
			"listener l: 2.0/s of 30.0/s connections reach no endpoint, 2.0 of them for endpoints_full: raise max_connections of the cluster's endpoints, add some, or let clients wait with limits.max_pending"},
		"strangers": {ends([l4.NumReasons]float64{l4.Denied: 25}), ""},
		"too fast": {ends([l4.NumReasons]float64{l4.Denied: 9, l4.RateLimited: 5, l4.SourceLimit: 1}),
			"listener l: 6.0/s of 30.0/s connections are turned away, 5.0 of them for rate_limited: the listener stands at rate.connections"},

		"calm": {&Report{Process: Process{Overload: OverloadReport{Stage: "calm", Memory: 0.89}}}, ""},
		"short of memory": {overload(OverloadReport{stage: l4.StageShed, Memory: 0.96, MemoryLimit: 1 << 30, Descriptors: 0.5}),
			"overload, stage shed: memory 96% of 1.00 GiB: what has rested longest is ended; raise its limit or lower max_connections"},
		"short of descriptors": {overload(OverloadReport{stage: l4.StageRefuse, Descriptors: 0.99}),
			"overload, stage refuse: descriptors 99%: nothing new is taken; raise RLIMIT_NOFILE or lower max_connections"},

		"late checks": {&Report{Process: Process{Checks: ChecksReport{PerSecond: 100, LateRate: 3}}},
			"health checks run late: 3.0 of 100/s begin more than a second after they are due: intervals are too short for so many, or processor time is short"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(attention(c.report), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestDeniedDatagrams holds that datagrams of strangers hide nothing and need no attention.
func TestDeniedDatagrams(t *testing.T) {
	l := ListenerReport{Name: "u", Protocol: protocolUDP, DroppedRate: 50, dropRates: [l4.NumDrops]float64{l4.DropDenied: 50}}
	if got := attention(&Report{Listeners: []ListenerReport{l}}); got != nil {
		t.Errorf("got %q, want nothing", got)
	}
	l.dropRates[l4.DropSourceRateLimited], l.dropRates[l4.DropRefused] = 4, 2
	want := "listener u: 6.0 datagrams/s are dropped, 4.0 of them for source_rate_limited: some clients stand at rate.per_source"
	if got := strings.Join(attention(&Report{Listeners: []ListenerReport{l}}), "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNothingWithoutChecks holds that who has no checks, and no limits, has nothing of them in JSON, in metrics and on the page.
func TestNothingWithoutChecks(t *testing.T) {
	s := newScene(t)
	r := s.report()
	text, err := json.Marshal(r.Clusters)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`"check"`, `"outlier"`, `"weight_percent"`, `"discovery"`, `"wait_time"`, `"sources"`} {
		if strings.Contains(string(text), name) {
			t.Errorf("%s in %s", name, text)
		}
	}
	parsed := parse(t, own(t, r))
	for name := range parsed {
		for _, part := range []string{"_check_", "endpoint_checks", "eject", "transitions", "slow_start", "in_a_row", "endpoint_priority", "discovery", "wait_seconds", "sources", "endpoints_down"} {
			if strings.Contains(name, part) && name != "weir_cluster_endpoints_ejected" && name != "weir_check_targets" {
				t.Errorf("%s has series", name)
			}
		}
	}
	var page strings.Builder
	if err := WriteText(&page, r); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"LIMITS", "DISCOVERY", "\nchecks", "sources"} {
		if strings.Contains(page.String(), part) {
			t.Errorf("%q on the page:\n%s", part, &page)
		}
	}
}

// TestTracking holds that who takes over the results of another has a state, and no counts of checks.
func TestTracking(t *testing.T) {
	s := newScene(t)
	s.endpoints[0].SetCondition(l4.Condition{Checked: true, Check: 1, At: now})
	parsed := parse(t, own(t, s.report()))
	if n := len(parsed["weir_endpoint_check_up"].GetMetric()); n != 1 {
		t.Errorf("%d series of weir_endpoint_check_up, want 1", n)
	}
	if parsed["weir_endpoint_checks_total"] != nil {
		t.Error("counts of checks that there were none of")
	}
}
