package e2e

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"
)

// The two clusters of the chaos test have the same endpoints.
const (
	streamCluster = "stream"
	packetCluster = "packets"
)

// harm is what a fault does to those who come to a backend that has it.
type harm uint8

const (
	harmless   harm = iota
	asItBegins      // only who is there already: nobody can connect any more, and other endpoints are tried
	unlessDown      // everybody, until checks have taken it down
	sometimes       // everybody, and checks don't see it
)

// kind is a kind of fault.
type kind struct {
	name    string
	streams harm
	packets harm
	deaf    bool // new connections can't be made
	begin   func(*backend) error
	end     func(*backend) error
}

func (k *kind) harms(cluster string) harm {
	if cluster == streamCluster {
		return k.streams
	}
	return k.packets
}

// seen reports whether the checks of the cluster fail.
func (k *kind) seen(cluster string) bool {
	h := k.harms(cluster)
	return h == asItBegins || h == unlessDown
}

var kinds = []*kind{
	{
		name: "killed", streams: asItBegins, packets: unlessDown, deaf: true,
		begin: func(b *backend) error {
			defer b.kill()
			return b.tell()
		},
		end: (*backend).start,
	},
	{
		name: "stopped", streams: unlessDown, packets: unlessDown,
		begin: func(b *backend) error { return b.signal(syscall.SIGSTOP) },
		end: func(b *backend) error {
			if err := b.signal(syscall.SIGCONT); err != nil {
				return err
			}
			return b.become(wellBehaved) // it is as it was; the answer says that it runs
		},
	},
	ill("refusing", refusing, asItBegins, unlessDown, true),
	ill("blackholing", blackholing, asItBegins, unlessDown, true),
	ill("resetting before the first byte", resetsEarly, unlessDown, harmless, false),
	ill("resetting in the middle of answers", resetsLate, unlessDown, harmless, false),
	ill("resetting all but checks", resetsTraffic, sometimes, harmless, false),
	ill("slow", slow, unlessDown, unlessDown, false),
	ill("dribbling", dribbling, unlessDown, unlessDown, false),
}

// ill is a fault that a backend has by its manners.
func ill(name string, m manners, streams, packets harm, deaf bool) *kind {
	return &kind{
		name: name, streams: streams, packets: packets, deaf: deaf,
		begin: func(b *backend) error { return b.become(m) },
		end:   func(b *backend) error { return b.become(wellBehaved) },
	}
}

// fault is one that a backend had, or has. Times are since the test's start.
type fault struct {
	*kind
	backend int
	begin   time.Duration // before it was ordered
	began   time.Duration // when it had certainly taken effect
	end     time.Duration // before it was ordered to be over; not yet = noEnd
	ended   time.Duration // when it was certainly over; not yet = noEnd
}

const noEnd = time.Duration(1<<63 - 1)

func (f *fault) String() string {
	over := "goes on"
	if f.ended != noEnd {
		over = fmt.Sprintf("over from %s to %s", stamp(f.end), stamp(f.ended))
	}
	return fmt.Sprintf("%s from %s to %s, %s", f.name, stamp(f.begin), stamp(f.began), over)
}

// stamp is a time of the test for people.
func stamp(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// span is a time with its ends.
type span struct{ from, to time.Duration }

func (s span) meets(o span) bool { return s.from <= o.to && o.from <= s.to }

// since is the time from so much before it: what was counted in s, an attempt to connect that wasn't answered, say, may have begun then.
func (s span) since(before time.Duration) span { return span{s.from - before, s.to} }

func (s span) String() string { return stamp(s.from) + ".." + stamp(s.to) }

// later is a + b, of which a may have no end.
func later(a, b time.Duration) time.Duration {
	if a == noEnd {
		return noEnd
	}
	return a + b
}

// annals is what the test did to the backends and what weir's log says of them. All of it belongs to the test's goroutine.
type annals struct {
	faults  []*fault
	turns   map[string][][]turn         // by cluster and backend
	sums    map[string][]map[string]int // of turns that are forgotten, by cluster, backend and kind
	lags    []lag
	reloads []span // of the configuration, from before the signal until it was applied
}

// turn is an endpoint that went down ("down"), came "up", was "ejected" or "returns".
type turn struct {
	at   time.Duration
	what string
}

// lag is a time in which this machine was late, by so much.
type lag struct {
	span
	by time.Duration
}

func newAnnals(backends int) *annals {
	h := &annals{turns: map[string][][]turn{}, sums: map[string][]map[string]int{}}
	for _, cluster := range []string{streamCluster, packetCluster} {
		h.turns[cluster] = make([][]turn, backends)
		for range backends {
			h.sums[cluster] = append(h.sums[cluster], map[string]int{})
		}
	}
	return h
}

// forget forgets all but sums, while all endpoints are up.
func (h *annals) forget() {
	for cluster, turns := range h.turns {
		for b := range turns {
			h.sums[cluster][b] = h.logged(cluster, b)
			turns[b] = nil
		}
	}
	h.faults, h.lags, h.reloads = nil, nil, nil
}

// logged is how often weir has logged each kind of turn of an endpoint.
func (h *annals) logged(cluster string, b int) map[string]int {
	sums := maps.Clone(h.sums[cluster][b])
	for _, t := range h.turns[cluster][b] {
		sums[t.what]++
	}
	return sums
}

// ups are the times that weir's log has an endpoint up. Each starts as one that is.
func (h *annals) ups(cluster string, b int) (ups []span) {
	up, since := true, time.Duration(0)
	for _, t := range h.turns[cluster][b] {
		switch {
		case t.what == "down" && up:
			up, ups = false, append(ups, span{since, t.at})
		case t.what == "up" && !up:
			up, since = true, t.at
		}
	}
	if up {
		ups = append(ups, span{since, noEnd})
	}
	return ups
}

// downs are the times between.
func (h *annals) downs(cluster string, b int) (downs []span) {
	ups := h.ups(cluster, b)
	for i, u := range ups {
		switch {
		case i+1 < len(ups):
			downs = append(downs, span{u.to, ups[i+1].from})
		case u.to != noEnd:
			downs = append(downs, span{u.to, noEnd})
		}
	}
	return downs
}

// late is by how much this machine was late at most, near that time.
func (h *annals) late(s span) (most time.Duration) {
	const near = time.Second
	s = span{s.from - near, later(s.to, near)}
	for _, l := range h.lags {
		if l.meets(s) {
			most = max(most, l.by)
		}
	}
	return most
}

// underWay is how long something that has happened may have its effect after it: what was read of a socket or is queued for another thread.
const underWay = 50 * time.Millisecond

// slack is how much longer than it should something may take near that time: underWay, and a few waits for the processor.
func (h *annals) slack(s span) time.Duration { return underWay + 4*h.late(s) }

// tail is when the last effect of a fault is over: at its end, or when the checks that failed during it have taken the endpoint down.
func (h *annals) tail(f *fault, cluster string) time.Duration {
	over := f.ended
	if over == noEnd {
		return noEnd
	}
	grace := interval + timeout + h.slack(span{f.ended, f.ended})
	for _, t := range h.turns[cluster][f.backend] {
		if t.what == "down" && t.at > f.ended && t.at <= f.ended+grace {
			over = t.at
		}
	}
	return over + h.slack(span{over, over})
}

// faulty are the times in which a backend's fault may have an effect on those who are with it.
func (h *annals) faulty(cluster string, b int) (spans []span) {
	for _, f := range h.faults {
		if f.backend == b && f.harms(cluster) != harmless {
			spans = append(spans, span{f.begin, h.tail(f, cluster)})
		}
	}
	return spans
}

// settledDown reports whether an endpoint was down at that time, as weir's log has it, and not only just: its line may come a little before or after
// what it tells of.
func (h *annals) settledDown(cluster string, b int, at span) bool {
	return slices.ContainsFunc(h.downs(cluster, b), func(d span) bool {
		from, to := d.from+h.slack(span{d.from, d.from}), d.to
		if to != noEnd {
			to -= h.slack(span{to, to})
		}
		return at.from > from && at.to < to
	})
}

// unnoticed are the times of a fault in which weir's log has the endpoint up.
func (h *annals) unnoticed(f *fault, cluster string) (spans []span) {
	whole := span{f.begin, h.tail(f, cluster)}
	for _, u := range h.ups(cluster, f.backend) {
		if u.meets(whole) {
			s := span{max(u.from, whole.from), min(u.to, whole.to)}
			if s.to != noEnd {
				s.to += h.slack(span{s.to, s.to})
			}
			spans = append(spans, s)
		}
	}
	return spans
}

// harmful are the times in which somebody who is new may come to a backend and fail.
func (h *annals) harmful(cluster string, b int) (spans []span) {
	for _, f := range h.faults {
		if f.backend != b {
			continue
		}
		switch f.harms(cluster) {
		case asItBegins:
			spans = append(spans, span{f.begin, f.began + h.slack(span{f.begin, f.began})})
			if over := h.tail(f, cluster); f.ended != noEnd {
				spans = append(spans, span{f.ended, over})
			}
		case unlessDown:
			spans = append(spans, h.unnoticed(f, cluster)...)
		case sometimes:
			spans = append(spans, span{f.begin, h.tail(f, cluster)})
		}
	}
	return spans
}

// deaf is how many backends there were in that time that took no connections although weir's log had them up.
func (h *annals) deaf(s span) int {
	var who []int
	for _, f := range h.faults {
		if f.kind.deaf && !slices.Contains(who, f.backend) &&
			slices.ContainsFunc(h.unnoticed(f, streamCluster), s.meets) {
			who = append(who, f.backend)
		}
	}
	return len(who)
}

// tell is the annals of a backend for people.
func (h *annals) tell(b int) string {
	text := fmt.Sprintf("backend %d:\n", b)
	for _, f := range h.faults {
		if f.backend == b {
			text += fmt.Sprintf("  %s\n", f)
		}
	}
	for _, cluster := range []string{streamCluster, packetCluster} {
		text += "  " + cluster + ":"
		for _, t := range h.turns[cluster][b] {
			text += fmt.Sprintf(" %s %s", t.what, stamp(t.at))
		}
		text += "\n"
	}
	return text + fmt.Sprintf("  reloads: %s\n", h.reloads)
}
