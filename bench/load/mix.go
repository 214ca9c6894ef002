package load

import (
	"errors"
	"time"
)

// Mix is bulk and small messages at the same time through the same address.
type Mix struct {
	Addr      string        // mix service, IPv4:PORT
	Bytes     int64         // of bulk in all, backend to client; 0 = 1 GiB
	BulkConns int           // connections of bulk; 0 = 2
	Conns     int           // connections of small messages; 0 = 16
	Rate      float64       // small messages per second; 0 = 2,000
	Size      int           // bytes per small message, 8 or more; 0 = 64
	Stall     time.Duration // the longest time without progress; 0 = 10 s
	Gate      Gate
}

// Run does the work.
func (u Mix) Run() (Result, error) { return Result{}, errors.New("not there yet") }
