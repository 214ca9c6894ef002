package load

import "errors"

// UDPFlood keeps a window of datagrams under way on each flow.
type UDPFlood struct {
	Addr    string  // udpecho service, IPv4:PORT
	Flows   int     // sockets; 0 = 8
	Window  int     // datagrams under way on each; 0 = 32
	Size    int     // bytes per datagram, 16 to 65,507; 0 = 64
	Total   int64   // round trips in all; 0 = 100,000
	Reorder float64 // share of datagrams that may be overtaken, 0 to 1
	Tolerance
	Gate Gate
}

// Run does the work.
func (u UDPFlood) Run() (Result, error) { return Result{}, errors.New("not there yet") }
