package l4

import "sync/atomic"

// Shared is what the proxies of all loops have in common: the limits of the process and how to wake a loop that waits for a place.
type Shared struct {
	_           [64]byte
	active      atomic.Int64
	descriptors atomic.Int64 // taken by sessions and flows
	_           [64]byte

	max            atomic.Int64 // 0 = no limit
	maxDescriptors atomic.Int64 // 0 = no limit
	each           atomic.Int64 // descriptors that the next one takes
	waiters        atomic.Int64 // loops with listeners that wait for a place
	wakes          []func()     // by loop; complete before the first session
	waits          []atomic.Bool
}

// NewShared returns the common state of so many loops' proxies. max is the most sessions and flows at once over the process, 0 = no limit.
func NewShared(loops int, max int64) *Shared {
	s := &Shared{wakes: make([]func(), loops), waits: make([]atomic.Bool, loops)}
	s.max.Store(max)
	return s
}

// OnPlace has wake called, from anywhere, when a place was given back while the loop waits for one. Once for each loop, before it runs.
func (s *Shared) OnPlace(loop int, wake func()) { s.wakes[loop] = wake }

// Loops returns how many loops share it.
func (s *Shared) Loops() int { return len(s.waits) }

// Active returns the sessions and flows under way over all loops.
func (s *Shared) Active() int64 { return s.active.Load() }

// SetMax changes the limits, of sessions and flows and of the descriptors that they take, 0 = no limit. Those above a lower one go on. each is how many
// descriptors the next one will take: SessionDescriptors unless there are only flows.
func (s *Shared) SetMax(max, descriptors, each int64) {
	s.max.Store(max)
	s.maxDescriptors.Store(descriptors)
	s.each.Store(each)
	s.wake()
}

// SessionDescriptors and FlowDescriptors are what a TCP session and a UDP flow take: one of the client's and one of the endpoint's; one of the endpoint's.
const (
	SessionDescriptors = 2
	FlowDescriptors    = 1
)

// Max returns the limit of sessions and flows; where descriptors bound them, how many there may be if those to come take as many as SetMax was
// told. 0 = no limit.
func (s *Shared) Max() int64 {
	most, descriptors := s.max.Load(), s.maxDescriptors.Load()
	if descriptors > 0 {
		room := s.active.Load() + max(0, descriptors-s.descriptors.Load())/max(1, s.each.Load())
		if most == 0 || room < most {
			return room
		}
	}
	return most
}

// DescriptorShare returns the share of the descriptors for sessions and flows that is taken; 0 if nothing bounds them.
func (s *Shared) DescriptorShare() float64 {
	if most := s.maxDescriptors.Load(); most > 0 {
		return float64(s.descriptors.Load()) / float64(most)
	}
	return 0
}

// Full reports whether there is no place for a session.
func (s *Shared) Full() bool {
	return !Below(s.active.Load(), s.max.Load()) || !Below(s.descriptors.Load()+SessionDescriptors-1, s.maxDescriptors.Load())
}

// Take takes the place of one session or flow that takes so many descriptors, or none.
func (s *Shared) Take(descriptors int64) bool {
	if !take(&s.active, 1, s.max.Load()) {
		return false
	}
	if !s.Hold(descriptors) {
		s.active.Add(-1)
		return false
	}
	return true
}

// Give gives a place back and wakes the loops that wait for one.
func (s *Shared) Give(descriptors int64) {
	s.active.Add(-1)
	s.Free(descriptors)
}

// Hold takes the places of so many descriptors, or none.
func (s *Shared) Hold(descriptors int64) bool {
	return descriptors == 0 || take(&s.descriptors, descriptors, s.maxDescriptors.Load())
}

// Free gives the places of so many descriptors back and wakes the loops that wait for one.
func (s *Shared) Free(descriptors int64) {
	if descriptors != 0 {
		s.descriptors.Add(-descriptors)
	}
	s.wake()
}

// wake wakes every loop that waits, once: it has to say again that it waits.
func (s *Shared) wake() {
	if s.waiters.Load() == 0 {
		return
	}
	for i, wake := range s.wakes {
		if wake != nil && s.waits[i].CompareAndSwap(true, false) {
			s.waiters.Add(-1)
			wake()
		}
	}
}

// Waiting notes whether the loop has listeners that wait for a place.
func (s *Shared) Waiting(loop int, waits bool) {
	if s.waits[loop].Swap(waits) != waits {
		if waits {
			s.waiters.Add(1)
		} else {
			s.waiters.Add(-1)
		}
	}
}

// Waiters returns how many loops wait for a place.
func (s *Shared) Waiters() int { return int(s.waiters.Load()) }

// take adds some to n if it stays within limit; 0 is no limit. It never overshoots.
func take(n *atomic.Int64, some, limit int64) bool {
	if limit <= 0 {
		n.Add(some)
		return true
	}
	for {
		have := n.Load()
		if have+some > limit {
			return false
		}
		if n.CompareAndSwap(have, have+some) {
			return true
		}
	}
}

// Below reports whether a limit leaves room; 0 is no limit.
func Below(n, limit int64) bool { return limit <= 0 || n < limit }
