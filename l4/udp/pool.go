package udp

import (
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// pool is the sockets that have no flow and the same options.
//
// A socket whose flow has ended stays connected for a while, late: the kernel gives its port to nobody, and what its endpoint answers too late comes here and is
// dropped, instead of to whom the port would be another's. Then it is disconnected and lies still, because another processor may just be
// delivering a datagram that it has found the socket for before. Then it is connected again, for another flow.
type pool struct {
	six     bool
	options eventloop.DatagramOptions
	late    row
	still   row
}

// row is sockets in the order in which they came.
type row struct {
	first, last uint32 // index+1, 0 = none
	n           int
}

const (
	lateFor   = time.Second           // at most; when many flows end, as long as lateMost of them take
	stillFor  = 20 * time.Millisecond // before a socket is connected again
	stillMost = 2 * time.Second       // before it is closed
	stillMany = 2048                  // most that lie still in a pool
	tidyEvery = time.Second
)

// lateMany is how many ports, which are the machine's, all loops together keep for late answers.
const lateMany = 2048

// poolOf returns the number of the pool of sockets with these options. There are as many as different options have been configured.
func (p *Proxy) poolOf(six bool, o eventloop.DatagramOptions) uint32 {
	for i := range p.pools {
		if q := &p.pools[i]; q.six == six && q.options == o {
			return uint32(i)
		}
	}
	p.pools = append(p.pools, pool{six: six, options: o})
	return uint32(len(p.pools) - 1)
}

// push puts a socket at the end of a row.
func (p *Proxy) push(q *row, i uint32) {
	u := p.upstreams.At(i)
	u.since, u.next = p.loop.Now(), 0
	if q.last != 0 {
		p.upstreams.At(q.last - 1).next = i + 1
	} else {
		q.first = i + 1
	}
	q.last = i + 1
	q.n++
	p.startTidying()
}

// shift takes the first socket out of a row that isn't empty.
func (p *Proxy) shift(q *row) uint32 {
	i := q.first - 1
	if q.first = p.upstreams.At(i).next; q.first == 0 {
		q.last = 0
	}
	p.upstreams.At(i).next = 0
	q.n--
	return i
}

// rest takes a socket from its flow.
func (p *Proxy) rest(i uint32) {
	u := p.upstreams.At(i)
	u.endpoint, u.counters, u.flow = nil, nil, 0
	q := &p.pools[u.pool].late
	p.push(q, i)
	if q.n > p.lateMost {
		p.lieStill(p.shift(q))
	}
}

// lieStill disconnects a socket that has no flow, or closes it when there are enough.
func (p *Proxy) lieStill(i uint32) {
	u := p.upstreams.At(i)
	q := &p.pools[u.pool].still
	if q.n >= stillMany || eventloop.DisconnectDatagrams(int(u.fd)) != 0 {
		p.closeUpstream(i)
		return
	}
	p.push(q, i)
}

// discard throws away what came to a socket that has no flow.
func (p *Proxy) discard(u *upstream) {
	if n := eventloop.DiscardDatagrams(int(u.fd)); n > 0 && u.on != nil {
		u.on.counters.Received[l4.ToDownstream].Observe(n)
		u.on.drop(l4.DropNoFlow, n)
	}
}

// disconnectLate gives back the ports that are kept for late answers; false when there are none.
func (p *Proxy) disconnectLate() (any bool) {
	for i := range p.pools {
		for q := &p.pools[i].late; q.n > 0; any = true {
			p.lieStill(p.shift(q))
		}
	}
	return any
}

// closeResting closes all sockets that have no flow; false when there are none.
func (p *Proxy) closeResting() (any bool) {
	for i := range p.pools {
		for _, q := range []*row{&p.pools[i].late, &p.pools[i].still} {
			for ; q.n > 0; any = true {
				p.closeUpstream(p.shift(q))
			}
		}
	}
	return any
}

func (p *Proxy) closeUpstream(i uint32) {
	u := p.upstreams.At(i)
	if u.tok != 0 {
		p.loop.Close(u.tok)
	} else {
		_ = unix.Close(int(u.fd))
	}
	*u = upstream{}
	p.upstreams.Put(i)
	p.shared.Free(l4.FlowDescriptors)
}

// startTidying has sockets looked at from time to time, while there are any that rest or that flows have left.
func (p *Proxy) startTidying() {
	if p.tidy == 0 {
		p.tidy = p.loop.StartTimer(p.loop.Now()+int64(tidyEvery), p.tidying, 0)
	}
}

// tidying takes the ticks at which sockets are looked at.
type tidying struct{ p *Proxy }

// Expired lets go of sockets that flows have left long ago, and moves those that rest on to their next state.
func (h tidying) Expired(uint32) {
	p := h.p
	p.tidy = 0
	now := p.loop.Now()
	for len(p.leaving) > 0 && now-p.leaving[0].since >= int64(hearFor) {
		d := p.leaving[0]
		p.leaving = p.leaving[1:]
		if u := p.upstreams.At(d.index); u.endpoint != nil && u.flow == d.flow && u.since == d.since {
			p.unhear(d.index, p.table.At(d.flow))
		}
	}
	left := len(p.leaving)
	for i := range p.pools {
		q := &p.pools[i]
		for q.still.n > 0 && now-p.upstreams.At(q.still.first-1).since >= int64(stillMost) {
			p.closeUpstream(p.shift(&q.still))
		}
		for q.late.n > 0 && now-p.upstreams.At(q.late.first-1).since >= int64(lateFor) {
			p.lieStill(p.shift(&q.late))
		}
		left += q.late.n + q.still.n
	}
	if left > 0 {
		p.startTidying()
	}
}
