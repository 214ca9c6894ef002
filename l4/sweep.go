package l4

import (
	"time"

	"weir/eventloop"
)

// Sweep has a loop go through its sessions or flows while the process runs short of something, some at each tick. It belongs to the loop.
type Sweep struct {
	Stage Stage // that the process has come to

	// Immutable.
	loop  *eventloop.Loop
	timer eventloop.HandlerID
	step  func()

	running bool
	at      uint32
}

const sweepTick = 100 * time.Millisecond

// NewSweep returns a sweep at rest, of which step is a tick's share.
func NewSweep(loop *eventloop.Loop, step func()) *Sweep {
	s := &Sweep{loop: loop, step: step}
	s.timer = loop.HandleTimers(s)
	return s
}

// Enter notes another stage, and begins to sweep where that asks for it.
func (s *Sweep) Enter(stage Stage) {
	s.Stage = stage
	if stage >= StageShorten && !s.running {
		s.running = true
		s.loop.StartTimer(s.loop.Now(), s.timer, 0)
	}
}

// Running reports whether a tick is to come.
func (s *Sweep) Running() bool { return s.running }

// Expired takes the ticks: each does its share, and sets the next as long as the pressure lasts.
func (s *Sweep) Expired(uint32) {
	if s.running = s.Stage >= StageShorten; s.running {
		s.step()
		s.loop.StartTimer(s.loop.Now()+int64(sweepTick), s.timer, 0)
	}
}

// Next returns the one of n to look at next, round and round.
func (s *Sweep) Next(n uint32) uint32 {
	if s.at++; s.at >= n {
		s.at = 0
	}
	return s.at
}
