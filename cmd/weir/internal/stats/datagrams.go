package stats

import "weir/l4"

// Datagrams are UDP datagrams both ways, counted when they are sent on; none with TCP.
type Datagrams struct {
	ToUpstream       uint64  `json:"to_upstream"`
	ToDownstream     uint64  `json:"to_downstream"`
	ToUpstreamRate   float64 `json:"to_upstream_per_second"`
	ToDownstreamRate float64 `json:"to_downstream_per_second"`
}

// add sums.
func (d *Datagrams) add(o Datagrams) {
	d.ToUpstream += o.ToUpstream
	d.ToDownstream += o.ToDownstream
	d.ToUpstreamRate += o.ToUpstreamRate
	d.ToDownstreamRate += o.ToDownstreamRate
}

func datagramsReport(n *counts, v *rate) Datagrams {
	return Datagrams{
		ToUpstream: n.datagramsUp, ToDownstream: n.datagramsDown,
		ToUpstreamRate: v.datagramsUp, ToDownstreamRate: v.datagramsDown,
	}
}

// Batches are how many datagrams at a time a UDP listener handled.
type Batches struct {
	Received BatchSizes `json:"received"` // that came with one system call
	Sent     BatchSizes `json:"sent"`     // that went through the kernel as one
}

// BatchSizes are distributions of batches both ways.
type BatchSizes struct {
	ToUpstream   Sizes `json:"to_upstream"`
	ToDownstream Sizes `json:"to_downstream"`
}

// Sizes is a distribution of batches by the datagrams in each.
type Sizes struct {
	Count   uint64                 `json:"count"`   // batches
	Mean    float64                `json:"mean"`    // datagrams a batch
	Buckets [l4.SizeBuckets]uint64 `json:"buckets"` // batches of 1, 2, up to 4, 8, 16, 32 and 64 datagrams, and of more

	sum uint64 // datagrams
}

func newSizes(r *l4.SizesReading) Sizes {
	s := Sizes{Count: r.Count(), Buckets: r.Buckets, sum: r.Sum}
	if s.Count > 0 {
		s.Mean = float64(s.sum) / float64(s.Count)
	}
	return s
}

func newBatchSizes(r *[2]l4.SizesReading) BatchSizes {
	return BatchSizes{ToUpstream: newSizes(&r[l4.ToUpstream]), ToDownstream: newSizes(&r[l4.ToDownstream])}
}

// Buffers are the sizes (bytes) that the kernel gave the buffers of a UDP listener's sockets, of each of them, as SO_RCVBUF and SO_SNDBUF are
// asked for; 0 = unknown.
type Buffers struct {
	Receive int `json:"receive"`
	Send    int `json:"send"`
}

// protocolUDP is the Protocol of UDP listeners.
const protocolUDP = "udp"

// UDP reports whether the listener's connections are flows of datagrams.
func (l *ListenerReport) UDP() bool { return l.Protocol == protocolUDP }

// anyUDP reports whether there is a UDP listener.
func (r *Report) anyUDP() bool {
	for i := range r.Listeners {
		if r.Listeners[i].UDP() {
			return true
		}
	}
	return false
}

// datagrams fills in what only a UDP listener has.
func (l *ListenerReport) datagrams(of *Listener, n *listenerReading, v *rate) {
	l.Dropped = make(map[string]uint64, l4.NumDrops)
	for reason, dropped := range n.dropped {
		l.Dropped[l4.Drop(reason).String()] = dropped
		l.DroppedRate += v.dropped[reason]
	}
	l.dropRates = v.dropped
	l.Batches = &Batches{Received: newBatchSizes(&n.received), Sent: newBatchSizes(&n.sent)}
	l.Buffers = &Buffers{Receive: of.ReceiveBuffer, Send: of.SendBuffer}
}
