package udp

import (
	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// failed deals with departure number i, of run r, that was not sent.
//
// A connected socket reports an ICMP error, which some earlier datagram has met, instead of sending: then this one is sent again, to another
// endpoint where the flow may move. What the kernel wouldn't take as one, because a segment is too large for the path or the device can't split it, goes
// datagram by datagram, and is not joined again. What stood behind it in its flow was held back for it (ECANCELED) and goes now.
func (p *Proxy) failed(i int, r *run, d *eventloop.Departure) {
	f := p.table.At(r.id)
	e := d.Errno
	if e == unix.ECANCELED {
		e = 0
	}
	if r.direction == l4.ToUpstream && icmp(e) != 0 {
		p.reported(p.upstreams.At(f.upstream-1), e)
		if f.moves {
			if drop, ok := p.move(r.id, f); !ok && f.lost {
				f.on.drop(drop, p.datagramsOf(i, r))
				return
			}
		}
	}
	if r.direction == l4.ToUpstream && f.lost { // with what stood before it
		f.on.drop(l4.DropNoEndpoint, p.datagramsOf(i, r))
		return
	}
	before := int(r.segment)
	lost := 0
	again := func(b []byte) {
		if errno := p.sendOne(f, r, b); errno != 0 {
			f.on.drop(dropOf(errno), 1)
			lost++
			return
		}
		p.sent(f, r, 1, len(b))
	}
	if d.Segment == 0 {
		again(p.outbox.Bytes(i))
		return
	}
	p.each(r, again)
	if lost == 0 && (e == unix.EMSGSIZE || e == unix.EINVAL || e == unix.EIO) {
		f.alone[r.direction] = uint16(min(before, int(f.alone[r.direction])))
	}
}

// datagramsOf returns how many datagrams departure number i is.
func (p *Proxy) datagramsOf(i int, r *run) int {
	if p.outbox.At(i).Segment == 0 {
		return 1
	}
	return int(r.datagrams)
}

// sendOne sends one datagram, and once more if the socket only reported an error that another had met.
func (p *Proxy) sendOne(f *state, r *run, b []byte) (e unix.Errno) {
	for range 2 {
		p.single.Add(p.departureOf(f, r))
		p.single.Part(b)
		p.loop.Send(p.single)
		e = p.single.At(0).Errno
		p.single.Reset()
		if e == 0 || r.direction == l4.ToDownstream || icmp(e) == 0 {
			return e
		}
		p.reported(p.upstreams.At(f.upstream-1), e)
	}
	return e
}

// icmp returns e if an ICMP message may be where it comes from, else 0.
func icmp(e unix.Errno) unix.Errno {
	switch e {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.ENOPROTOOPT, unix.EMSGSIZE, unix.EOPNOTSUPP, unix.EACCES:
		return e
	}
	return 0
}

func dropOf(e unix.Errno) l4.Drop {
	switch e {
	case unix.ECONNREFUSED:
		return l4.DropRefused
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN:
		return l4.DropUnreachable
	case unix.EMSGSIZE:
		return l4.DropTooBig
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return l4.DropBufferFull
	}
	return l4.DropSendFailed
}
