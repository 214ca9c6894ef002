package outlier

// Why is what an endpoint was ejected for.
type Why uint8

const (
	ConsecutiveFailures Why = iota // Rules.Consecutive failures in a row
	SuccessRate                    // a success rate far below the others'
)

var whyNames = [...]string{ConsecutiveFailures: "consecutive_failures", SuccessRate: "success_rate"}

// String is the reason's name in statistics and logs.
func (w Why) String() string {
	if int(w) < len(whyNames) {
		return whyNames[w]
	}
	return "invalid"
}

// Record is what is remembered of one endpoint. The zero value has never been ejected. The caller keeps it as long as it
// knows the endpoint, through all changes of the cluster, so that no reload makes a bad endpoint look new.
type Record struct {
	until      int64 // 0 = not ejected
	multiplier int   // ejections that aren't forgotten yet
	why        Why   // of the last ejection
	recent     bool  // ejected at some time since the last Judge
}

// Ejected reports whether an ejection is under way. Only Due and Return end it.
func (r *Record) Ejected() bool { return r.until != 0 }

// Until returns when the ejection ends (nanoseconds); 0 = not ejected.
func (r *Record) Until() int64 { return r.until }

// Multiplier returns how many ejections aren't forgotten yet: the next one lasts that many times Rules.Ejection and once
// more. It stops at the number that reaches Rules.MaxEjection.
func (r *Record) Multiplier() int { return r.multiplier }

// Why returns what the last ejection was for.
func (r *Record) Why() Why { return r.why }

// Return ends an ejection ahead of its time, because an active check passed; false if there was none. The multiplier
// stays: if the endpoint fails again, it is out for longer.
func (r *Record) Return() bool {
	if !r.Ejected() {
		return false
	}
	r.until = 0
	return true
}

// forget lets the multiplier go down if the endpoint was in use all the time since the last call.
func (r *Record) forget() {
	switch {
	case r.Ejected():
	case r.recent:
		r.recent = false
	case r.multiplier > 0:
		r.multiplier--
	}
}
