package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The verdict on a round. Who suffers must have a reason, which is a fault that this test has made, at a time that it has measured:
//
//	a connection that was answered    fails only while its backend has a fault (faulty): from before it is ordered until it is certainly over, or until
//	and fails                         the checks that failed during it have taken the endpoint down
//	a new connection fails            only where a fault does harm to newcomers (harmful): as long as weir's log has the endpoint up; of one that takes
//	                                  no connections, only as it begins, or if all three attempts may have met such a one. Which backend it came to
//	                                  the backends know, if any
//	a datagram is lost                the same; its flow moves when its endpoint refuses it or goes down
//	a request waits                   no longer than checks take to take an endpoint down (downBy), and two connect_timeouts on a new connection
//	a request comes to a backend      never to one that is down; a new client never to one that drains
//	an endpoint goes down, or up      once each, in turns; within downBy and upBy, and a grace of one interval and timeout; never without a fault
//	weir counts something bad of it   only while it has a fault
//
// What may be a little late is given slack: by how much this machine was late at that time, which is measured too.

// blame is something bad that weir has counted of an endpoint in some time.
type blame struct {
	cluster string
	backend int
	n       int
	when    span
}

// complain tells of something that must not be, with the annals of backends that have to do with it.
func (c *chaos) complain(who []int, format string, args ...any) {
	c.t.Helper()
	const most = 20
	if c.complaints++; c.complaints > most {
		return
	}
	text := fmt.Sprintf(format, args...)
	for _, b := range who {
		if b != unknown {
			text += "\n" + c.tell(b)
		}
	}
	c.t.Errorf("WEIR_CHAOS_SEED=%d: %s", c.seed, text)
}

// judge holds what clients and weir have seen in a round against what the test did.
func (c *chaos) judge() {
	c.t.Helper()
	c.follow()
	l := c.load
	l.mu.Lock()
	defer l.mu.Unlock()
	c.receivers()
	for _, text := range l.wrong {
		c.complain(nil, "%s", text)
	}
	var explained [2]int
	for i := range l.failures {
		if f := &l.failures[i]; c.judgeFailure(f) {
			explained[0]++
		}
	}
	for i := range l.slow {
		c.inTime(&l.slow[i])
	}
	for i := range l.losses {
		if c.judgeLoss(&l.losses[i]) {
			explained[1]++
		}
	}
	for _, p := range l.picks {
		c.judgePick(p)
	}
	for _, b := range c.blames {
		if !slices.ContainsFunc(c.faulty(b.cluster, b.backend), b.when.since(connect).meets) {
			c.complain([]int{b.backend}, "weir counted %d failures of backend %d in %s in %s, which had no fault", b.n, b.backend, b.cluster, b.when)
		}
	}
	turns := c.judgeTurns()
	late := time.Duration(0)
	for _, l := range c.lags {
		late = max(late, l.by)
	}
	c.t.Logf("%d faults, %s; %d connections, %d flows, %d requests answered; failed in faults: %d requests over TCP, %d datagrams; this machine was late by %s at most",
		len(c.faults), turns, l.connected, l.flows, l.requests, explained[0], explained[1], late)
	if len(c.faults) < len(kinds) {
		c.t.Errorf("only %d faults", len(c.faults))
	}
	c.forget()
	l.failures, l.slow, l.losses, l.picks, l.wrong, c.blames = nil, nil, nil, nil, nil, nil
}

// receivers asks the backends what they were asked. Nothing may have come to one that was down, on whatever connection or flow. Only those who were killed
// don't know of their last moments.
func (c *chaos) receivers() {
	c.t.Helper()
	c.receiver = map[string]int{}
	for i, b := range c.backends {
		if err := b.tell(); err != nil {
			c.t.Fatal(err)
		}
		for _, key := range b.asked {
			cluster := streamCluster
			if strings.HasPrefix(key, ofFlow) {
				cluster = packetCluster
			}
			c.receiver[key] = i
			sent, ok := c.sent[key]
			came := span{sent, sent}
			if cluster == streamCluster && strings.HasSuffix(key, "/0") {
				came.to += 2 * connect // the third attempt to connect may have been the first one to be answered
			}
			if ok && c.settledDown(cluster, i, came) {
				c.complain([]int{i}, "request %s of %s came to backend %d in %s, which was down", key, stamp(sent), i, cluster)
			}
		}
		b.asked = nil
	}
	c.sent = map[string]time.Duration{}
}

// stuckSince is when a request came to wait: when it was sent. But one that its backend was slow to answer in one fault, and that then fell into a second
// one of that backend, waits for checks to see the second.
func (c *chaos) stuckSince(f *failure) time.Duration {
	first, second := false, f.sent
	for _, o := range c.faults {
		if o.backend != f.backend {
			continue
		}
		if o.begin <= f.sent && f.sent <= o.ended {
			first = true
		} else if o.begin > f.sent && o.began <= f.failed {
			second = max(second, o.began)
		}
	}
	if first {
		return second
	}
	return f.sent
}

// inTime reports whether a request has not waited for longer than it takes to take an endpoint down; on a new connection, after two attempts to connect
// that had to time out.
func (c *chaos) inTime(f *failure) bool {
	c.t.Helper()
	when := span{c.stuckSince(f), f.failed}
	most := downBy + c.slack(when)
	if f.well == f.sent {
		most += 2 * connect
	}
	if when.to-when.from > most {
		c.complain(append(c.nearby(when), f.backend), "%v: that took %s, more than %s", f, when.to-when.from, most)
		return false
	}
	return true
}

// judgeFailure reports whether a failed request has its reason in a fault: of its backend, if the client knows it; else of some backend to which it may
// have come and failed. And it must have failed in time.
func (c *chaos) judgeFailure(f *failure) bool {
	c.t.Helper()
	if !c.inTime(f) {
		return false
	}
	when := span{f.well, f.failed}
	if b, ok := c.receiver[f.key]; ok && f.backend == unknown {
		f.backend = b
	}
	if f.backend != unknown {
		if !slices.ContainsFunc(c.faulty(streamCluster, f.backend), when.meets) {
			c.complain([]int{f.backend}, "%v: but its backend had no fault", f)
			return false
		}
		return true
	}
	if c.anyHarmful(streamCluster, when) || c.deaf(when) >= 3 {
		return true
	}
	c.complain(c.nearby(when), "%v: but there was no fault that explains it", f)
	return false
}

func (c *chaos) anyHarmful(cluster string, when span) bool {
	for b := range c.backends {
		if slices.ContainsFunc(c.harmful(cluster, b), when.meets) {
			return true
		}
	}
	return false
}

// nearby are the backends that had a fault then, noticed or not.
func (c *chaos) nearby(when span) (who []int) {
	for b := range c.backends {
		if slices.ContainsFunc(c.faulty(streamCluster, b), when.meets) || slices.ContainsFunc(c.faulty(packetCluster, b), when.meets) {
			who = append(who, b)
		}
	}
	return who
}

// judgeLoss does it for a datagram: its backend had a fault that weir hadn't noticed; or it wasn't with its backend any more, or with none that is known,
// and some other had one.
func (c *chaos) judgeLoss(l *loss) bool {
	c.t.Helper()
	when := span{l.sent, l.sent + answerLate}
	if c.late(when) > answerLate/4 {
		return true // who knows what is lost, and what late
	}
	if b, ok := c.receiver[l.key]; ok {
		if !slices.ContainsFunc(c.harmful(packetCluster, b), when.meets) {
			c.complain([]int{b}, "%v: it came to backend %d, which had no fault", l, b)
			return false
		}
		return true
	}
	may := l.backend == unknown
	if !may {
		if slices.ContainsFunc(c.harmful(packetCluster, l.backend), when.meets) {
			return true
		}
		since := span{l.well, when.to}
		may = slices.ContainsFunc(c.turns[packetCluster][l.backend], func(t turn) bool { return t.what == "down" && since.meets(span{t.at, t.at}) })
	}
	if may && c.anyHarmful(packetCluster, when) {
		return true
	}
	c.complain(append(c.nearby(when), l.backend), "%v: but there was no fault that explains it", l)
	return false
}

// judgePick looks at a new connection or flow that came to a backend which was thought to get none.
func (c *chaos) judgePick(p pick) {
	c.t.Helper()
	for _, d := range c.drains[p.backend] {
		if p.from > d.from && p.to < d.to {
			c.complain([]int{p.backend}, "a client of %s came to backend %d in %s, which was drained in %s", p.cluster, p.backend, p.span, d)
		}
	}
}

// judgeTurns holds weir's log against the faults: each that lasts is noticed in time, nothing else is, and each end is noticed in time.
func (c *chaos) judgeTurns() string {
	c.t.Helper()
	sums := map[string]int{}
	for _, cluster := range []string{streamCluster, packetCluster} {
		for b := range c.backends {
			was := map[bool]string{}
			for _, t := range c.turns[cluster][b] {
				sums[t.what]++
				checks := t.what == "down" || t.what == "up"
				before, bad := was[checks], t.what == "down" || t.what == "ejected"
				was[checks] = t.what
				if before == t.what || before == "" && !bad {
					c.complain([]int{b}, "weir logged that backend %d in %s %s twice, or out of order: at %s", b, cluster, t.what, stamp(t.at))
				}
				if bad && !slices.ContainsFunc(c.faulty(cluster, b), (span{t.at, t.at}).since(connect).meets) {
					c.complain([]int{b}, "weir logged that backend %d in %s %s at %s, but it had no fault", b, cluster, t.what, stamp(t.at))
				}
			}
			c.judgeTimes(cluster, b)
		}
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(sums)) {
		parts = append(parts, fmt.Sprintf("%d %s", sums[what], what))
	}
	return strings.Join(parts, ", ")
}

func (c *chaos) judgeTimes(cluster string, b int) {
	c.t.Helper()
	const grace = interval + timeout
	var mine []*fault // of this backend
	for _, f := range c.faults {
		if f.backend != b || f.harms(cluster) == harmless {
			continue
		}
		mine = append(mine, f)
		if !f.seen(cluster) {
			continue
		}
		for _, u := range c.ups(cluster, b) {
			from, to := max(u.from, f.began), min(u.to, f.end)
			if most := downBy + grace + c.slack(span{from, to}); to-from > most {
				c.complain([]int{b}, "backend %d in %s had a fault and was up for %s, more than %s: from %s", b, cluster, to-from, most, stamp(from))
			}
		}
	}
	for _, d := range c.downs(cluster, b) {
		from := d.from
		for _, f := range mine {
			if (span{d.from, d.to}).meets(span{f.begin, f.ended}) {
				from = max(from, f.ended)
			}
		}
		to := min(d.to, c.load.now())
		if most := upBy + grace + c.slack(span{from, to}); to-from > most {
			c.complain([]int{b}, "backend %d in %s was well again and down for %s, more than %s: from %s", b, cluster, to-from, most, stamp(from))
		}
	}
}
