package stats

import (
	"net/netip"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/probe"
	"weir/l4/tcp"
	"weir/l4/udp"
)

// View is a picture of what runs: which loops, listeners and clusters there are. It is immutable and published anew by every
// change; the counters behind its pointers go on counting.
type View struct {
	Started   time.Time
	Loops     []Loop
	Shared    *l4.Shared
	Listeners []Listener // by name
	Clusters  []*l4.Cluster
	Draining  bool
	Reloads   Reloads

	// What is asked for anew each time; nil = unknown.
	Checks    func() probe.RunnerStats
	Pressure  func() Pressure
	Discovery func(cluster string) (Discovery, bool) // false: its endpoints are configured
}

// Pressure is how much of what the process may run short of is taken.
type Pressure struct {
	Stage                   l4.Stage
	Entered                 [l4.NumStages]uint64 // times that a stage was entered from below
	Descriptors, Memory     float64              // shares; 0 = there is no limit
	MemoryUsed, MemoryLimit uint64               // bytes, of the nearest limit; 0 = there is none
}

// Discovery is how the discovery of a cluster's endpoints is doing.
type Discovery struct {
	Endpoints int           // known
	Answered  time.Time     // when there was the last good answer; zero = never
	Next      time.Time     // look
	TTL       time.Duration // of the last answer
	Queries   uint64
	Failures  uint64
	LastError string // of the last look; "" = it was well
}

// Loop is one reactor and what runs on it.
type Loop struct {
	Loop *eventloop.Loop
	TCP  *tcp.Proxy
	UDP  *udp.Proxy
}

// Listener is one listener and where it listens in fact.
type Listener struct {
	Name           string
	Protocol       string // "tcp" or "udp"
	Binds          []netip.AddrPort
	MaxConnections int64 // of sessions or flows; 0 = no limit
	State          *l4.Listener
	ReceiveBuffer  int // bytes that the kernel gave each socket of a UDP listener (SO_RCVBUF); 0 = unknown, or TCP
	SendBuffer     int // the same of SO_SNDBUF
}

// Reloads tell how changes of the configuration went.
type Reloads struct {
	Applied, Failed uint64
	Last            time.Time // of the last attempt; zero = none
	LastError       string    // "" = it was applied
}
