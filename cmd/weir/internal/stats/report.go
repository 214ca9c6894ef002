package stats

import (
	"net/netip"
	"time"

	"weir/l4"
)

// Report is how weir did at one time. Field names in JSON are stable: fields are added, never renamed. Durations are seconds,
// sizes bytes, rates a second and over the last ten seconds or so; totals count from the start of the process, or of the thing counted.
type Report struct {
	Time      time.Time        `json:"time"`
	Process   Process          `json:"process"`
	Listeners []ListenerReport `json:"listeners"` // by name
	Clusters  []ClusterReport  `json:"clusters"`  // by name
	Loops     []LoopReport     `json:"loops"`
}

// Process is what concerns the process as a whole.
type Process struct {
	Version     string         `json:"version"`
	Go          string         `json:"go"`
	PID         int            `json:"pid"`
	Started     time.Time      `json:"started"`
	Uptime      float64        `json:"uptime_seconds"`
	Draining    bool           `json:"draining"`
	Connections Connections    `json:"connections"`
	Bytes       Bytes          `json:"bytes"`
	Datagrams   Datagrams      `json:"datagrams"`
	Descriptors Descriptors    `json:"descriptors"`
	Resident    uint64         `json:"resident_bytes"` // 0 = unknown
	Reloads     ReloadsReport  `json:"reloads"`
	Overload    OverloadReport `json:"overload"`
	Checks      ChecksReport   `json:"checks"`
}

// Connections are those of clients: accepted and not yet ended. Flows of UDP count as connections, everywhere.
type Connections struct {
	Active    int64   `json:"active"`
	Max       int64   `json:"max"` // 0 = no limit
	Total     uint64  `json:"total"`
	PerSecond float64 `json:"per_second"`
}

// Bytes are payload both ways.
type Bytes struct {
	ToUpstream   Flow `json:"to_upstream"`   // from clients to endpoints
	ToDownstream Flow `json:"to_downstream"` // from endpoints to clients
}

// Flow is payload one way.
type Flow struct {
	Copied    uint64  `json:"copied"`  // through weir's memory
	Spliced   uint64  `json:"spliced"` // inside the kernel
	PerSecond float64 `json:"per_second"`
}

// Total is all that went this way.
func (f Flow) Total() uint64 { return f.Copied + f.Spliced }

// Descriptors are the process's file descriptors. 0 = unknown.
type Descriptors struct {
	Open  uint64 `json:"open"`
	Limit uint64 `json:"limit"`
}

// ReloadsReport tells how changes of the configuration went.
type ReloadsReport struct {
	Applied   uint64    `json:"applied"`
	Failed    uint64    `json:"failed"`
	Last      time.Time `json:"last,omitzero"`        // of the last attempt
	LastError string    `json:"last_error,omitempty"` // absent = the last one was applied
}

// ListenerReport is one listener.
type ListenerReport struct {
	Name         string            `json:"name"`
	Protocol     string            `json:"protocol"`
	Binds        []netip.AddrPort  `json:"binds"`
	Connections  Connections       `json:"connections"`
	Bytes        Bytes             `json:"bytes"`
	Datagrams    Datagrams         `json:"datagrams"`
	Refused      uint64            `json:"refused"` // connections that never reached an endpoint, those not let in among them; with UDP also datagrams for which no flow could begin
	RefusedRate  float64           `json:"refused_per_second"`
	Closed       map[string]uint64 `json:"closed"`            // ended connections by reason, every reason
	Dropped      map[string]uint64 `json:"dropped,omitempty"` // datagrams by reason, every reason; absent with TCP
	DroppedRate  float64           `json:"dropped_per_second"`
	Batches      *Batches          `json:"batches,omitempty"` // absent with TCP
	Buffers      *Buffers          `json:"buffers,omitempty"` // absent with TCP
	AcceptErrors uint64            `json:"accept_errors"`
	AcceptPauses AcceptPauses      `json:"accept_pauses"`
	Duration     Histogram         `json:"duration"`          // of ended connections
	Sources      *SourcesReport    `json:"sources,omitempty"` // absent as long as there has been no rule about them

	closeRates [l4.NumReasons]float64
	dropRates  [l4.NumDrops]float64
}

// AcceptPauses are the times that accepting rested, by what there was none of.
type AcceptPauses struct {
	Descriptors    uint64  `json:"descriptors"`
	MaxConnections uint64  `json:"max_connections"` // the listener's limit or the process's
	PerSecond      float64 `json:"per_second"`
}

// ClusterReport is one cluster. Its connections, bytes and datagrams are the sums of its endpoints'.
type ClusterReport struct {
	Name           string           `json:"name"`
	Connections    Connections      `json:"connections"` // to endpoints; active includes those being connected, max is always 0
	Bytes          Bytes            `json:"bytes"`
	Datagrams      Datagrams        `json:"datagrams"`
	InUse          int              `json:"in_use"` // endpoints that new connections go to
	Panic          bool             `json:"panic"`  // too few endpoints are healthy, so that unhealthy ones are used as well
	Limits         LimitsReport     `json:"limits"`
	NoEndpoint     uint64           `json:"no_endpoint"`         // connections for which no endpoint was ready
	Full           uint64           `json:"full"`                // connections for which all endpoints stood at their max_connections
	ClusterFull    uint64           `json:"cluster_full"`        // connections refused because the cluster stood at its limits.max_connections
	PendingFull    uint64           `json:"pending_full"`        // connections refused because limits.max_pending waited already
	PendingTimeout uint64           `json:"pending_timeout"`     // connections that have waited for a place in vain
	Waited         uint64           `json:"waited"`              // connections that had to wait for a place
	WaitTime       *Histogram       `json:"wait_time,omitempty"` // of those that got a place after waiting; absent = none has
	Retries        uint64           `json:"retries"`             // connect attempts after the first one of a connection
	RetriesRefused uint64           `json:"retries_refused"`     // connections that ended because the limits left no other attempt
	ConnectTime    Histogram        `json:"connect_time"`
	Discovery      *DiscoveryReport `json:"discovery,omitempty"` // absent = the endpoints are configured
	Endpoints      []EndpointReport `json:"endpoints"`           // in the order of the configuration

	closeRates [l4.NumReasons]float64
}

// EndpointReport is one endpoint of a cluster.
type EndpointReport struct {
	Address         netip.AddrPort  `json:"address"`
	State           string          `json:"state"`  // as configured: ready, drain or maint
	Health          string          `json:"health"` // as the balancer sees it: healthy, unknown or unhealthy
	InUse           bool            `json:"in_use"` // new connections go there
	Weight          uint32          `json:"weight"`
	WeightPercent   int             `json:"weight_percent,omitempty"` // the part of weight that it gets in its slow start; absent = all
	Priority        uint16          `json:"priority"`
	Backup          bool            `json:"backup"`
	Check           *CheckReport    `json:"check,omitempty"`   // absent = it isn't checked
	Outlier         *OutlierReport  `json:"outlier,omitempty"` // absent = it was never ejected
	Connections     Connections     `json:"connections"`
	Bytes           Bytes           `json:"bytes"`
	Datagrams       Datagrams       `json:"datagrams"`
	Attempts        uint64          `json:"connect_attempts"`
	ConnectFailures ConnectFailures `json:"connect_failures"`
	FailureRate     float64         `json:"connect_failures_per_second"`
	FailuresInARow  int             `json:"failures_in_a_row"`
	Resets          uint64          `json:"resets"`       // connections that the endpoint reset
	EarlyResets     uint64          `json:"early_resets"` // those of them that it reset before its first byte

	name string // Address as text
}

// Usable reports whether the endpoint is meant to take new connections.
func (e *EndpointReport) Usable() bool { return e.State == "ready" && e.Weight > 0 }

// ConnectFailures are failed connects by kind.
type ConnectFailures struct {
	Refused  uint64 `json:"refused"`
	TimedOut uint64 `json:"timed_out"`
	Other    uint64 `json:"other"`
}

// Total is the failures of any kind.
func (f ConnectFailures) Total() uint64 { return f.Refused + f.TimedOut + f.Other }

// LoopReport is one reactor loop.
type LoopReport struct {
	ID            int         `json:"id"`
	Connections   Connections `json:"connections"` // max is always 0
	Bytes         Bytes       `json:"bytes"`
	Datagrams     Datagrams   `json:"datagrams"`
	AcceptPauses  uint64      `json:"accept_pauses"`
	Batches       uint64      `json:"batches"`
	Events        uint64      `json:"events"`
	StaleEvents   uint64      `json:"stale_events"` // dropped, because their connection had ended
	Continued     uint64      `json:"continued"`    // callbacks for work that a budget had left over
	Posted        uint64      `json:"posted"`       // functions run for other goroutines
	Waits         uint64      `json:"waits"`
	BlockingWaits uint64      `json:"blocking_waits"` // waits that gave the processor to the Go scheduler
	Yields        uint64      `json:"yields"`         // waits that the Go runtime interrupted
	JointWrites   uint64      `json:"joint_writes"`   // that shared a system call; none where io_uring is not to be had
	Pipes         int64       `json:"pipes"`
}

// Histogram is a distribution of durations, in seconds. Quantiles are upper bounds, at most twice the true value.
type Histogram struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum_seconds"`
	Mean  float64 `json:"mean_seconds"`
	P50   float64 `json:"p50_seconds"`
	P90   float64 `json:"p90_seconds"`
	P99   float64 `json:"p99_seconds"`

	reading l4.HistogramReading
}

func newHistogram(r l4.HistogramReading) Histogram {
	h := Histogram{Count: r.Count(), Sum: r.Sum.Seconds(), reading: r}
	if h.Count > 0 {
		h.Mean = h.Sum / float64(h.Count)
		h.P50, h.P90, h.P99 = r.Quantile(0.5).Seconds(), r.Quantile(0.9).Seconds(), r.Quantile(0.99).Seconds()
	}
	return h
}
