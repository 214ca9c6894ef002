package stats

import (
	"net/netip"
	"time"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/tcp"
)

// View is a picture of what runs: which loops, listeners and clusters there are. It is immutable and published anew by every
// change; the counters behind its pointers go on counting.
type View struct {
	Started   time.Time
	Loops     []Loop
	TCP       *tcp.Shared
	Listeners []Listener // by name
	Clusters  []*l4.Cluster
	Draining  bool
	Reloads   Reloads
}

// Loop is one reactor and what runs on it.
type Loop struct {
	Loop *eventloop.Loop
	TCP  *tcp.Proxy
}

// Listener is one listener and where it listens in fact.
type Listener struct {
	Name           string
	Binds          []netip.AddrPort
	MaxConnections int64 // 0 = no limit
	TCP            *tcp.Listener
}

// Reloads tell how changes of the configuration went.
type Reloads struct {
	Applied, Failed uint64
	Last            time.Time // of the last attempt; zero = none
	LastError       string    // "" = it was applied
}
