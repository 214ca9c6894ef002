package load

import "errors"

// UDPBulk moves datagrams from the backend to the client.
type UDPBulk struct {
	Addr     string  // udpbulk service, IPv4:PORT
	Flows    int     // sockets; 0 = 1
	Size     int     // bytes per datagram, 32 to 65,507; 0 = 1,200
	Segments int     // datagrams sent and acknowledged at once; 0 = 40
	Window   int     // batches under way on each flow; 0 = 2
	Bytes    int64   // in all, rounded up to whole datagrams; 0 = 1 GiB
	Reorder  float64 // share of datagrams that may be overtaken, 0 to 1
	Tolerance
	Gate Gate
}

// Run does the work.
func (u UDPBulk) Run() (Result, error) { return Result{}, errors.New("not there yet") }
