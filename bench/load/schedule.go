package load

import (
	"fmt"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// schedule is when the messages of an open loop are to go, and what came of
// them. A message carries its number, so that the answer tells its intended time.
type schedule struct {
	interval float64 // ns
	total    uint64
	sent     uint64
	done     uint64
	start    time.Time
	latency  *hdrhistogram.Histogram
	lag      *hdrhistogram.Histogram
}

func newSchedule(rate float64, total int64) schedule {
	return schedule{interval: 1e9 / rate, total: uint64(total), latency: newLatencies(), lag: newLatencies()}
}

// sharpTimers takes the kernel's slack from this thread's timers: the default of
// 50 us would send late what is due in between. It fails where a wait can't be
// bounded in nanoseconds.
func sharpTimers() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	p, err := newPoller()
	if err != nil {
		return err
	}
	defer p.close()
	if _, e := p.pwait2(0); e != 0 && e != syscall.EINTR {
		return fmt.Errorf("epoll_pwait2, which Linux has since 5.11: %w", e)
	}
	return nil
}

// intended is when message k is to go, since the start.
func (s *schedule) intended(k uint64) time.Duration {
	return time.Duration(float64(k) * s.interval)
}

// sendDue sends what is due by now and returns how long nothing more is.
func (s *schedule) sendDue(send func(k uint64) error) (time.Duration, error) {
	for now := time.Since(s.start); s.sent < s.total; {
		wait := s.intended(s.sent) - now
		if wait > 0 {
			return wait, nil
		}
		record(s.lag, -wait)
		if err := send(s.sent); err != nil {
			return 0, err
		}
		s.sent++
	}
	return maxWait * time.Millisecond, nil // all are sent
}

// arrived notes that the answer to message k is there, so long after the start.
func (s *schedule) arrived(k uint64, now time.Duration) {
	s.done++
	record(s.latency, now-s.intended(k))
}

// report puts what was recorded into the result.
func (s *schedule) report(res *Result) {
	res.LatencyUS, res.Curve, res.SendLagUS = spread(s.latency), curve(s.latency), spread(s.lag)
}
