package l4

import "sync/atomic"

// Direction of bytes through a listener.
type Direction uint8

// The two directions.
const (
	ToUpstream   Direction = iota // from the client to the endpoint
	ToDownstream                  // from the endpoint to the client
)

// Method is how bytes went through.
type Method uint8

// The two methods.
const (
	Copied  Method = iota // through the loop's buffer
	Spliced               // through a pipe, inside the kernel
)

// Bytes counts payload bytes by direction and method, when they have been given to the receiving socket.
type Bytes [2][2]atomic.Uint64

// Add counts n bytes.
func (b *Bytes) Add(d Direction, m Method, n int) { b[d][m].Add(uint64(n)) }

// BytesReading is the sum of some Bytes at one time.
type BytesReading [2][2]uint64

// Add adds what b has counted.
func (r *BytesReading) Add(b *Bytes) {
	for d := range b {
		for m := range b[d] {
			r[d][m] += b[d][m].Load()
		}
	}
}

// Of returns the bytes of one direction, by any method.
func (r *BytesReading) Of(d Direction) uint64 { return r[d][Copied] + r[d][Spliced] }

// padding keeps what two loops write apart: two cache lines, because processors fetch them in pairs.
type padding [128]byte

// Datagrams counts datagrams by direction, when they have been given to the sending socket.
type Datagrams [2]atomic.Uint64

// Add counts n datagrams.
func (g *Datagrams) Add(d Direction, n int) { g[d].Add(uint64(n)) }

// LoopCounters are what one loop counts of everything that goes through it. One writer, the loop; any number of readers.
type LoopCounters struct {
	_         padding
	Bytes     Bytes
	Datagrams Datagrams
	Sessions  atomic.Uint64 // accepted, flows included
	Active    atomic.Int64
	Pauses    atomic.Uint64 // times accepting stopped for want of descriptors or places
	_         padding
}

// ListenerCounters are what one loop counts of one listener.
type ListenerCounters struct {
	Bytes        Bytes
	Datagrams    Datagrams
	Sessions     atomic.Uint64 // accepted; flows begun
	Active       atomic.Int64
	AcceptErrors atomic.Uint64 // accept4 failures other than want of descriptors
	PausesFiles  atomic.Uint64 // accept pauses: EMFILE or ENFILE
	PausesLimit  atomic.Uint64 // accept pauses: max_connections
	Closed       [NumReasons]atomic.Uint64
	Duration     Histogram
	Dropped      [NumDrops]atomic.Uint64 // datagrams
	Received     [2]Sizes                // datagrams that came with one system call, by direction
	Sent         [2]Sizes                // datagrams that went through the kernel as one, by direction
	_            padding
}

// ClusterCounters are what one loop counts of one cluster.
type ClusterCounters struct {
	NoEndpoint     atomic.Uint64 // connections for which no endpoint was ready
	Full           atomic.Uint64 // connections refused because all endpoints stood at their max_connections
	ClusterFull    atomic.Uint64 // connections refused because the cluster stood at its max_connections
	PendingFull    atomic.Uint64 // connections refused because max_pending waited already
	PendingTimeout atomic.Uint64 // connections that have waited for a place for pending_timeout
	Waited         atomic.Uint64 // connections that had to wait for a place
	Retries        atomic.Uint64 // connect attempts after the first one of a session
	RetriesRefused atomic.Uint64 // connections that ended because max_retries or retry_budget left no other attempt
	ConnectTime    Histogram
	WaitTime       Histogram // of those that got a place after waiting
	_              padding
}

// EndpointCounters are what one loop counts of one endpoint.
type EndpointCounters struct {
	Bytes         Bytes
	Datagrams     Datagrams
	Sessions      atomic.Uint64 // established; flows begun or moved here
	Attempts      atomic.Uint64 // connects begun
	Refused       atomic.Uint64 // ECONNREFUSED; of UDP: ICMP port unreachable
	TimedOut      atomic.Uint64 // no answer within connect_timeout, or ETIMEDOUT
	ConnectErrors atomic.Uint64 // any other failure to connect; of UDP: other ICMP errors, too
	Resets        atomic.Uint64 // sessions that the endpoint reset
	Early         atomic.Uint64 // those of them that it reset before its first byte
	Faults        atomic.Uint64 // what Endpoint.Failed was told
	_             padding
}
