package l4

// Stage is how short the process has run of descriptors or memory, and what it does about that. Each stage does what those before it do.
//
//	         >= 0.90             >= 0.95           >= 0.99
//	calm ──────────────> shorten ──────────> shed ──────────> refuse
//	     <────────────── ... each 0.03 below where it began ...
type Stage uint8

// The stages.
const (
	StageCalm    Stage = iota
	StageShorten       // idle timeouts are an eighth of themselves
	StageShed          // of what has rested for a second, the oldest is ended
	StageRefuse        // accepting is paused, no flow begins

	NumStages
)

var stageNames = [NumStages]string{"calm", "shorten", "shed", "refuse"}

// String returns the name that stats and logs use.
func (s Stage) String() string {
	if s < NumStages {
		return stageNames[s]
	}
	return "unknown"
}

// stageFrom is the pressure from which on a stage is in force.
var stageFrom = [NumStages]float64{0, 0.90, 0.95, 0.99}

// stageHold is how far the pressure has to fall below that for the stage to end, so that what a stage frees doesn't end it at once.
const stageHold = 0.03

// Next returns the stage that follows s at a pressure, the share of the scarcest resource that is in use.
func (s Stage) Next(pressure float64) Stage {
	next := StageCalm
	for at := StageShorten; at < NumStages; at++ {
		from := stageFrom[at]
		if at <= s {
			from -= stageHold
		}
		if pressure >= from {
			next = at
		}
	}
	return next
}

// shortened divides idle timeouts.
const shortened = 8

// Shortened returns an idle timeout (ns, 0 = never) as it is under pressure: an eighth, but no less than a second. Where there is none it's as if it
// were an hour.
func Shortened(idle int64) int64 {
	const second = 1_000_000_000
	if idle == 0 {
		idle = 3600 * second
	}
	return min(idle, max(idle/shortened, second))
}

// Oldest keeps those that have rested longest of those offered. Its zero value is empty. It's a fixed size, on the stack of who sweeps.
type Oldest struct {
	n     int
	index [oldestMost]uint32
	since [oldestMost]int64 // sorted, the longest ago first
}

// oldestMost is how many an Oldest keeps.
const oldestMost = 32

// Offer takes one that has rested since then.
func (o *Oldest) Offer(index uint32, since int64) {
	at := o.n
	for at > 0 && o.since[at-1] > since {
		at--
	}
	if at == oldestMost {
		return
	}
	o.n = min(o.n+1, oldestMost)
	copy(o.index[at+1:o.n], o.index[at:o.n-1])
	copy(o.since[at+1:o.n], o.since[at:o.n-1])
	o.index[at], o.since[at] = index, since
}

// Due returns those that a tick of a sweep ends when there are so many in all, the one that has rested longest first: some hundredths, so that a little too
// many don't cost all of them.
func (o *Oldest) Due(of int) []uint32 { return o.index[:min(o.n, max(1, of/oldestShare))] }

// oldestShare divides those that there are.
const oldestShare = 64
