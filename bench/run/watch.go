package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"weir/bench/measure"
)

// watch tells how far the run is: on a terminal in one line that is written
// anew, elsewhere in a line for each sample.
type watch struct {
	out   io.Writer
	width int // of the terminal; 0 = it is none
	step  measure.Step
}

func newWatch(out io.Writer) *watch {
	w := &watch{out: out}
	if f, ok := out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			w.width = max(int(size.Col), 40)
		}
	}
	return w
}

const clearLine = "\r\x1b[K"

func (w *watch) before(s measure.Step) {
	w.step = s
	if w.width > 0 {
		line := s.String()
		fmt.Fprint(w.out, clearLine+line[:min(len(line), w.width-1)])
	}
}

// sample keeps, on a terminal, what is out of the ordinary.
func (w *watch) sample(s measure.Sample) {
	switch {
	case w.width == 0:
		fmt.Fprintf(w.out, "%s: %s\n", w.step, s.Outcome())
	case s.Failed != "" || s.Discarded != "" || s.Note != "":
		fmt.Fprintf(w.out, "%sround %d, %s, %s: %s\n", clearLine, s.Round, s.Workload, s.Contender, s.Outcome())
		w.before(w.step)
	}
}

func (w *watch) end() {
	if w.width > 0 {
		fmt.Fprint(w.out, clearLine)
	}
}
