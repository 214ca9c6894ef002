package load

import "errors"

// DNS asks queries in a closed loop.
type DNS struct {
	Addr  string // dns service, IPv4:PORT
	Conns int    // queries at a time, each on a socket of its own; 0 = 64
	Reuse int    // queries after which a socket gives way to one with another port; 0 = never
	Total int64  // in all; 0 = 100,000
	Tolerance
	Gate Gate
}

// Run does the work.
func (u DNS) Run() (Result, error) { return Result{}, errors.New("not there yet") }
