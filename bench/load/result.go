package load

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrCorrupt means that bytes came back altered, missing or in excess.
var ErrCorrupt = errors.New("data lost or altered")

// ErrStalled means that nothing came for the stall limit.
var ErrStalled = errors.New("stalled")

// ErrLost means that datagrams did not arrive: more than the run tolerates.
var ErrLost = errors.New("datagrams lost")

// ErrReordered means that datagrams of one flow overtook each other: more than
// the run tolerates.
var ErrReordered = errors.New("datagrams reordered")

// ErrForgotten means that a flow was held open by its client and not by the path.
var ErrForgotten = errors.New("flow forgotten")

// defaultStall is how long a run may go without progress.
const defaultStall = 10 * time.Second

// Result is what a generator did; cmd/load prints it as one line of JSON.
type Result struct {
	Work       string  `json:"work"`                  // the subcommand: rtt, bulk, ...
	Units      int64   `json:"units"`                 // round trips, bytes, connections or messages done and verified
	Seconds    float64 `json:"seconds"`               // wall time of the work, without setting up
	CPUSeconds float64 `json:"cpu_seconds"`           // user and system time of this thread over the work
	Resets     int64   `json:"resets,omitempty"`      // Conn: whole answers that ended in RST instead of FIN
	Messages   int64   `json:"messages,omitempty"`    // Mix: small messages answered, beside the Units of bulk
	Lost       int64   `json:"lost,omitempty"`        // UDP: datagrams, or their answers, that didn't come
	Reordered  int64   `json:"reordered,omitempty"`   // UDPFlood, UDPBulk, UDPOpen: datagrams that came after a later one
	LatencyUS  *Spread `json:"latency_us,omitempty"`  // Open, UDPOpen, Mix: from the intended send to the last byte of the answer
	Curve      []Point `json:"curve,omitempty"`       // LatencyUS in full, for a plot
	SendLagUS  *Spread `json:"send_lag_us,omitempty"` // Open, UDPOpen, Mix: how late the generator itself sent
	Error      string  `json:"error,omitempty"`       // why the run failed; empty when it did not
}

// Spread is percentiles of a distribution, in microseconds.
type Spread struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Point is one step of a distribution: so much of it, in percent, took at most
// so long.
type Point struct {
	Percent float64 `json:"percent"`
	US      float64 `json:"us"`
}

// Gate holds a generator between setting up and working, so that a measuring
// program can look at the machine's clocks in between: Ready is written to when
// all is set up, and work begins when a line can be read from Go. After the
// work Done is called, and what is connected stays so until then. The zero
// Gate is open.
type Gate struct {
	Ready io.Writer
	Go    io.Reader
	Done  func(Result)
}

func (g Gate) pass() error {
	if g.Ready != nil {
		if _, err := io.WriteString(g.Ready, "ready\n"); err != nil {
			return fmt.Errorf("gate: %w", err)
		}
	}
	if g.Go == nil {
		return nil
	}
	var b [1]byte
	for b[0] != '\n' {
		if _, err := io.ReadFull(g.Go, b[:]); err != nil {
			return fmt.Errorf("gate: %w", err)
		}
	}
	return nil
}

// meter times the work between start and result.
type meter struct {
	wall time.Time
	cpu  time.Duration
}

func startMeter() meter { return meter{wall: time.Now(), cpu: threadCPU()} }

func (m meter) result(work string, units int64) Result {
	return Result{
		Work:       work,
		Units:      units,
		Seconds:    time.Since(m.wall).Seconds(),
		CPUSeconds: (threadCPU() - m.cpu).Seconds(),
	}
}

func threadCPU() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(unix.RUSAGE_THREAD, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// watchdog notices a run that makes no progress. It is asked only when a wait
// returned nothing, so it costs a busy loop nothing.
type watchdog struct {
	limit time.Duration
	last  int64
	since time.Time
}

func newWatchdog(limit time.Duration) watchdog {
	if limit <= 0 {
		limit = defaultStall
	}
	return watchdog{limit: limit, since: time.Now()}
}

// stalled reports whether progress has stood still for the limit.
func (w *watchdog) stalled(progress int64) bool {
	if progress != w.last {
		w.last, w.since = progress, time.Now()
		return false
	}
	return time.Since(w.since) > w.limit
}

func (g Gate) done(r Result) {
	if g.Done != nil {
		g.Done(r)
	}
}

// hold is pass for a generator that has no work: it waits for a line or the end.
func (g Gate) hold() error {
	err := g.pass()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
