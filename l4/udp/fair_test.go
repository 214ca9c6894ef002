package udp

import (
	"fmt"
	"testing"

	"weir/eventloop"
	"weir/l4"
)

// What the kernel drops because a socket's buffer is full is counted, once: what was sent is what went on and what was lost.
func TestReceiveOverflow(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := newEnd(t)
		o.listen.Receive, o.settings.Receive = 8192, 8192
		r := newRig(t, o, b.at)
		c := newEnd(t)
		c.send(r.addr, []byte("first"))
		way := b.want("first")
		const rounds, flood = 3, 300
		for round := range rounds {
			for _, up := range []bool{true, false} {
				from, to, at := c, b, r.addr
				if !up {
					from, to, at = b, c, way
				}
				r.atOnce(func() {
					for range flood {
						from.send(at, []byte("flood"))
					}
				})
				r.settle()
				last := fmt.Sprint("last of round ", round)
				from.send(at, []byte(last)) // tells what was lost before it
				for got := ""; got != last; {
					got = string(to.receive().data)
				}
			}
		}
		r.settle()
		up, _ := r.moved(l4.ToUpstream)
		down, _ := r.moved(l4.ToDownstream)
		if lost := r.dropped(l4.DropReceiveOverflow); lost < 100 || up+down+lost != 1+2*rounds*(flood+1) {
			t.Errorf("%d sent, %d and %d received, %d lost", 1+2*rounds*(flood+1), up, down, lost)
		}
		r.finish()
	})
}

// However much comes through one socket, another's turn comes after a budget's worth: a neighbour's datagram, and the endpoint's answers, aren't kept
// waiting by a flood.
func TestBudget(t *testing.T) {
	const budget, flood = 16, 400
	b := newEnd(t)
	r := newRig(t, rigOptions{budget: budget}, b.at)
	other := l4.NewListener("neighbour", 1)
	o := rigOptions{}
	fds := listen(t, &o)
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	r.do(0, func(p *Proxy) {
		if err := p.Listen(other, r.settings, fds); err != nil {
			t.Error(err)
		}
	})
	c, neighbour := newEnd(t), newEnd(t)
	r.atOnce(func() {
		for range flood {
			c.send(r.addr, []byte("flood"))
		}
		neighbour.send(at, []byte("neighbour"))
	})
	before := 0
	for a := b.receive(); string(a.data) != "neighbour"; a = b.receive() {
		before++
	}
	if before > 2*budget {
		t.Errorf("%d datagrams of the flood went before a neighbour's", before)
	}
	for range flood - before {
		b.want("flood")
	}
	r.settle()
	stats := r.loops[0].Stats()
	if turns := stats.Events + stats.Again; flood > turns*budget {
		t.Errorf("%d datagrams in %d turns, budget %d", flood, turns, budget)
	}
	r.doAll(func(_ int, p *Proxy) { p.Unlisten(other) })
	r.wantNoDrops()
	r.doAll(func(_ int, p *Proxy) { p.Drain(0) })
}
