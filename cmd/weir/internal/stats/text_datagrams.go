package stats

import (
	"cmp"
	"slices"
	"strings"
)

// writeDatagrams writes what only UDP listeners have; nothing if there is none.
func writeDatagrams(b *strings.Builder, r *Report) {
	if !r.anyUDP() {
		return
	}
	heading(b, "DATAGRAMS (came, went: how many at a time, with one system call and through the kernel as one)")
	t := textTable{left: 1}
	t.row("listener", "in/s", "out/s", "in", "out", "dropped/s", "dropped", "in: came", "went", "out: came", "went", "receive buffer", "send buffer")
	for i := range r.Listeners {
		l := &r.Listeners[i]
		if !l.UDP() {
			continue
		}
		batches, buffers := l.batches()
		d := &l.Datagrams
		t.row(printable(l.Name), humanRate(d.ToUpstreamRate), humanRate(d.ToDownstreamRate), shortCount(d.ToUpstream), shortCount(d.ToDownstream),
			humanRate(l.DroppedRate), shortCount(total(l.Dropped)),
			batches.Received.ToUpstream.meanText(), batches.Sent.ToUpstream.meanText(),
			batches.Received.ToDownstream.meanText(), batches.Sent.ToDownstream.meanText(),
			bufferText(buffers.Receive), bufferText(buffers.Send))
	}
	t.write(b)
	writeReasons(b, r, "WHY DATAGRAMS WERE DROPPED", "none was dropped", func(l *ListenerReport) (map[string]uint64, bool) { return l.Dropped, l.UDP() })
}

// batches returns what a UDP listener has, also where nothing was read.
func (l *ListenerReport) batches() (Batches, Buffers) {
	var batches Batches
	var buffers Buffers
	if l.Batches != nil {
		batches = *l.Batches
	}
	if l.Buffers != nil {
		buffers = *l.Buffers
	}
	return batches, buffers
}

func (s *Sizes) meanText() string { return ratio(s.sum, s.Count) }

func bufferText(bytes int) string {
	if bytes <= 0 {
		return "-"
	}
	return humanBytes(float64(bytes))
}

func total(counts map[string]uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// writeReasons writes a line or more for each listener that has such counts by reason, the most frequent reasons first, or none.
func writeReasons(b *strings.Builder, r *Report, title, none string, of func(*ListenerReport) (map[string]uint64, bool)) {
	heading(b, title)
	width := 0
	for i := range r.Listeners {
		if _, has := of(&r.Listeners[i]); has {
			width = max(width, len([]rune(r.Listeners[i].Name)))
		}
	}
	for i := range r.Listeners {
		counts, has := of(&r.Listeners[i])
		if !has {
			continue
		}
		name := printable(r.Listeners[i].Name)
		line := name + strings.Repeat(" ", width-len([]rune(name)))
		indent := strings.Repeat(" ", width)
		for _, entry := range reasonsOf(counts, none) {
			if len([]rune(line))+2+len(entry) > textWidth {
				b.WriteString(line + "\n")
				line = indent
			}
			line += "  " + entry
		}
		b.WriteString(line + "\n")
	}
}

// reasonsOf returns the reasons that were counted, the most frequent ones first, or none.
func reasonsOf(counts map[string]uint64, none string) []string {
	var reasons []string
	for reason, n := range counts {
		if n > 0 {
			reasons = append(reasons, reason)
		}
	}
	if len(reasons) == 0 {
		return []string{none}
	}
	slices.SortFunc(reasons, func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	for i, reason := range reasons {
		reasons[i] = reason + " " + shortCount(counts[reason])
	}
	return reasons
}

// datagramsRow adds those of the process, if there is a UDP listener.
func datagramsRow(t *textTable, r *Report) {
	if !r.anyUDP() {
		return
	}
	d := &r.Process.Datagrams
	t.row("datagrams", "in "+humanRate(d.ToUpstreamRate)+"/s", "out "+humanRate(d.ToDownstreamRate)+"/s",
		"in "+humanCount(d.ToUpstream)+", out "+humanCount(d.ToDownstream)+" since start")
}
