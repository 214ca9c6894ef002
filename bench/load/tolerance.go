package load

import "time"

// Tolerance is what the UDP generators take from a path that may lose.
type Tolerance struct {
	Loss    float64       // share of datagrams that may be lost before the run fails, 0 to 1
	Timeout time.Duration // a datagram not answered for so long is lost; 0 = 1 s
	Stall   time.Duration // the longest time without progress; 0 = 10 s
}
