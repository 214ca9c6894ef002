package load

import (
	"encoding/binary"
	"time"
)

// outstanding is what one flow of numbered datagrams has under way. Numbers
// below base are answered or lost.
type outstanding struct {
	sent     uint64
	base     uint64
	answered uint64
	lost     uint64
	since    int64 // tick at which base moved
	came     sequence
}

// room is how many more may be sent and still be told apart.
func (o *outstanding) room() uint64 { return o.base + sequenceSpan - o.sent }

// send is the number of the next datagram, which goes at tick now.
func (o *outstanding) send(now int64) uint64 {
	if o.base == o.sent {
		o.since = now // nothing was under way
	}
	o.sent++
	return o.sent - 1
}

// take notes that datagram k came at tick now; late means after a later one. It
// isn't fresh when it was counted as lost, and it is an error when it came before.
func (o *outstanding) take(k uint64, now int64) (fresh, late bool, err error) {
	late, err = o.came.take(k)
	if err != nil || k < o.base {
		return false, late, err
	}
	o.answered++
	o.settle(now)
	return true, late, nil
}

// settle moves base over what is answered.
func (o *outstanding) settle(now int64) {
	if o.missing() {
		return
	}
	o.since = now
	for !o.missing() {
		o.base++
	}
}

// missing reports whether base is a number that hasn't come.
func (o *outstanding) missing() bool { return o.base >= o.came.next || !o.came.has(o.base) }

// overdue reports whether base is waited for, and too long.
func (o *outstanding) overdue(clock *ticker) bool {
	return o.base < o.sent && clock.expired(o.since)
}

// giveUp counts as lost what is missing from base on, and returns what that is:
// the numbers from one to below the other.
func (o *outstanding) giveUp(now int64) (from, to uint64) {
	from = o.base
	for o.base < o.sent && o.missing() {
		o.base++
	}
	to = o.base
	o.lost += to - from
	o.since = now
	o.settle(now)
	return from, to
}

// numberedHead is what a numbered datagram begins with: its number and its flow.
const numberedHead = 16

// number writes datagram k of a flow.
func (p pattern) number(b []byte, flow int, k uint64) {
	binary.LittleEndian.PutUint64(b, k)
	binary.LittleEndian.PutUint64(b[8:], uint64(flow))
	copy(b[numberedHead:], p.chunk(k, uint64(len(b)-numberedHead)))
}

// numbered is the number of a datagram of that flow, and whether it is whole.
func (p pattern) numbered(b []byte, flow int) (k uint64, ok bool) {
	k = binary.LittleEndian.Uint64(b)
	return k, binary.LittleEndian.Uint64(b[8:]) == uint64(flow) && p.matches(k, b[numberedHead:])
}

// dialFlow opens a socket of numbered datagrams of that size, with one there and
// back behind it.
func dialFlow(addr string, data pattern, flow, size int, timeout time.Duration) (int, error) {
	first := make([]byte, size)
	data.number(first, flow, 1<<63)
	return dialUDP(addr, first, first, timeout)
}
