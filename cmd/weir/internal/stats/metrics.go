package stats

import (
	"io"

	"github.com/VictoriaMetrics/metrics"
)

// MetricsContentType is the media type of WriteMetrics: the Prometheus text format 0.0.4.
const MetricsContentType = "text/plain; version=0.0.4; charset=utf-8"

// WriteMetrics writes the Report in the Prometheus text format: weir's own families, each with HELP and TYPE, and then those of
// the process and the Go runtime (process_, go_). The error is w's.
func WriteMetrics(w io.Writer, r *Report) error {
	if err := writeFamilies(w, r); err != nil {
		return err
	}
	e := &errorWriter{w: w}
	metrics.WriteProcessMetrics(e)
	return e.err
}

// writeFamilies writes weir's own families.
func writeFamilies(w io.Writer, r *Report) error {
	x := exposition{w: w, text: make([]byte, 0, pieceSize+pieceSize/8)}
	for _, s := range sections() {
		for i := range s.families {
			x.family(&s.families[i], r)
		}
	}
	x.flush()
	return x.err
}

// errorWriter keeps the first error for a caller that doesn't look at errors.
type errorWriter struct {
	w   io.Writer
	err error
}

// Write writes until there was an error.
func (e *errorWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}
