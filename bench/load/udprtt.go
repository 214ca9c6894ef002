package load

import "errors"

// UDPRTT is a closed loop over UDP.
type UDPRTT struct {
	Addr  string // udpecho service, IPv4:PORT
	Conns int    // sockets, one datagram under way on each; 0 = 64
	Size  int    // bytes per datagram, 8 to 65,507; 0 = 64
	Total int64  // round trips in all; 0 = 100,000
	Tolerance
	Gate Gate
}

// Run does the work.
func (u UDPRTT) Run() (Result, error) { return Result{}, errors.New("not there yet") }
