package stats

import (
	"time"

	"weir/l4"
)

// sampleEvery and samplesKept make rates ten to twelve seconds wide.
const (
	sampleEvery = 2 * time.Second
	samplesKept = 6
	rateAfter   = time.Second // what is known for less than this has no rate yet
)

// counts are the counters of one thing that have a rate.
type counts struct {
	connections, toUpstream, toDownstream, failed, pauses uint64
	datagramsUp, datagramsDown                            uint64
	dropped                                               *[l4.NumDrops]uint64   // not written to any more; nil = of what drops nothing
	closed                                                *[l4.NumReasons]uint64 // the same, of listeners' connections, and of clusters' that got no endpoint
}

// rate is what counts grew by a second.
type rate struct {
	connections, toUpstream, toDownstream, failed, pauses float64
	datagramsUp, datagramsDown                            float64
	dropped                                               [l4.NumDrops]float64
	closed                                                [l4.NumReasons]float64
}

// window remembers counts of the last ten seconds. It has no clock of its own: the caller brings the time, and a lock.
type window struct {
	turn   uint64 // samples taken
	times  [samplesKept]time.Time
	tracks map[any]*track // by the thing counted, a pointer
}

// track is what the window remembers of one thing.
type track struct {
	first, last uint64 // turns
	counts      [samplesKept]counts
}

// sample remembers what there is now; each calls add for every thing. What each leaves out is forgotten.
func (w *window) sample(now time.Time, each func(add func(key any, c counts))) {
	if w.tracks == nil {
		w.tracks = make(map[any]*track)
	}
	turn, place := w.turn, w.turn%samplesKept
	w.times[place] = now
	each(func(key any, c counts) {
		t := w.tracks[key]
		if t == nil {
			t = &track{first: turn}
			w.tracks[key] = t
		}
		t.last, t.counts[place] = turn, c
	})
	for key, t := range w.tracks {
		if t.last != turn {
			delete(w.tracks, key)
		}
	}
	w.turn++
}

// rate returns how fast the thing grew to what it counts now, since the oldest sample kept; zero for what isn't known long enough.
func (w *window) rate(now time.Time, key any, c counts) rate {
	t := w.tracks[key]
	if t == nil {
		return rate{}
	}
	oldest := t.first
	if w.turn > samplesKept {
		oldest = max(oldest, w.turn-samplesKept)
	}
	place := oldest % samplesKept
	elapsed := now.Sub(w.times[place])
	if elapsed < rateAfter {
		return rate{}
	}
	was, s := t.counts[place], elapsed.Seconds()
	r := rate{
		connections: growth(was.connections, c.connections) / s,
		toUpstream:  growth(was.toUpstream, c.toUpstream) / s, toDownstream: growth(was.toDownstream, c.toDownstream) / s,
		failed: growth(was.failed, c.failed) / s, pauses: growth(was.pauses, c.pauses) / s,
		datagramsUp: growth(was.datagramsUp, c.datagramsUp) / s, datagramsDown: growth(was.datagramsDown, c.datagramsDown) / s,
	}
	if was.dropped != nil && c.dropped != nil {
		for reason := range r.dropped {
			r.dropped[reason] = growth(was.dropped[reason], c.dropped[reason]) / s
		}
	}
	if was.closed != nil && c.closed != nil {
		for reason := range r.closed {
			r.closed[reason] = growth(was.closed[reason], c.closed[reason]) / s
		}
	}
	return r
}

// growth is what a counter grew by; none when it began anew.
func growth(was, is uint64) float64 {
	if is < was {
		return 0
	}
	return float64(is - was)
}
