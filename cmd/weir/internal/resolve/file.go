package resolve

import (
	"context"
	"os"
	"time"

	"weir/config"
)

// lookEvery is how often a file is looked at.
const lookEvery = time.Second

// maxUnsettled is how many looks in a row may find another file each before it is read all the same: somebody may write it over and over.
const maxUnsettled = 5

// watched is a file of endpoints. It is read when it has changed since it was read, and then not from one look to the next: what is still being
// written is left alone. Looks follow symbolic links, so that a link that leads elsewhere is a changed file.
type watched struct {
	every time.Duration

	// Of the source's goroutine.
	began     bool
	read      os.FileInfo // as it was when it was read; nil = is to be read
	next      os.FileInfo // as it was at the last look
	unsettled int         // looks
}

func (w *watched) pause(*outcome, *config.Discover, int) time.Duration { return w.every }

func (w *watched) look(_ context.Context, d *config.Discover) (o outcome, looked bool) {
	now, err := os.Stat(d.File)
	if err != nil {
		w.began, w.read, w.next = true, nil, nil
		return outcome{err: err}, true
	}
	settled := sameFile(w.next, now)
	w.next = now
	if settled {
		w.unsettled = 0
	}
	switch {
	case !w.began: // nothing is known yet: read at once, and again when it has settled
	case sameFile(w.read, now):
		return outcome{}, false
	case !settled:
		if w.unsettled++; w.unsettled < maxUnsettled {
			return outcome{}, false
		}
		w.unsettled = 0
	}
	text, err := readRegular(d.File, config.MaxText)
	if err != nil {
		w.began = true
		return outcome{err: err}, true
	}
	if settled {
		if after, err := os.Stat(d.File); err != nil || !sameFile(now, after) {
			return outcome{}, false // somebody has begun to write
		}
		w.read = now
	}
	w.began = true
	endpoints, err := config.ParseEndpoints(config.Source{Name: d.File, Text: string(text), Kind: config.File})
	if err != nil {
		return outcome{err: err}, true
	}
	return outcome{answered: true, endpoints: endpoints}, true
}
