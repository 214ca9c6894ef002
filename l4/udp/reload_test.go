package udp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// duplicates returns other descriptors of the listener's sockets, by loop, as whoever changes its settings has them.
func (r *rig) duplicates() (fds []int) {
	r.t.Helper()
	r.doAll(func(_ int, p *Proxy) {
		fd, err := unix.FcntlInt(uintptr(p.sockets.At(p.find(r.listener).sockets[0]).fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			r.t.Error(err)
		}
		fds = append(fds, fd)
	})
	return fds
}

// rebind gives the listener these sockets, by loop.
func (r *rig) rebind(fds []int) {
	r.t.Helper()
	r.doAll(func(i int, p *Proxy) {
		if err := p.Rebind(r.listener, r.settings, fds[i:i+1]); err != nil {
			r.t.Errorf("loop %d: %v", i, err)
		}
	})
}

// A listener that is given its own sockets again, as by every reload: flows go on, through however many reloads, and no event is doubled by
// descriptors that were closed.
func TestRebindToItself(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, echo)
		o.loops = 2
		r := newRig(t, o, b.at)
		kept := r.duplicates() // sockets that somebody else keeps open
		defer func() {
			for _, fd := range kept {
				_ = unix.Close(fd)
			}
		}()
		c := newEnd(t)
		c.ask(r.addr, "before", "before")
		for i := range 100 {
			switch i % 3 {
			case 0:
				r.rebind(r.duplicates())
			case 1:
				r.update(func(s *Settings) { s.MaxFlows = int64(i + 1) })
			}
			msg := fmt.Sprint(i)
			c.ask(r.addr, msg, msg)
		}
		if n := r.began(); n != 1 {
			t.Errorf("%d flows", n)
		}
		for i, loop := range r.loops {
			if n := loop.Stats().Stale; n > 100 {
				t.Errorf("loop %d: %d events of descriptors that are closed", i, n)
			}
		}
		r.wantNoDrops()
		r.finish()
	})
}

// The kernel's count of losses goes on with duplicates of a socket, and begins again with another socket of the same address.
func TestOverflowOverRebind(t *testing.T) {
	for _, same := range []bool{true, false} {
		t.Run(fmt.Sprintf("same=%v", same), func(t *testing.T) {
			b := newEnd(t)
			o := rigOptions{listen: eventloop.DatagramOptions{Receive: 4096}}
			r := newRig(t, o, b.at)
			c := newEnd(t)
			sent := 0
			overflow := func(n int) {
				r.atOnce(func() {
					for range n {
						c.send(r.addr, make([]byte, 1000))
					}
				})
				sent += n
				b.receive()
				sent++
				c.send(r.addr, []byte("last")) // tells what was lost before it
				for a := b.receive(); string(a.data) != "last"; a = b.receive() {
				}
			}
			overflow(200)
			if same {
				r.rebind(r.duplicates())
			} else {
				o.listen.Addr = r.addr
				r.rebind(listen(t, &o))
			}
			overflow(50)
			received, _ := r.moved(l4.ToUpstream)
			if lost := r.dropped(l4.DropReceiveOverflow); lost == 0 || int(received+lost) != sent {
				t.Errorf("%d sent, %d received, %d lost", sent, received, lost)
			}
			r.finish()
		})
	}
}

// A client sends through a hundred changes of its listener, one of which each time: nothing that it sends is lost, and its flow goes on.
func TestReloads(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, echo)
		r := newRig(t, o, b.at)
		at := r.addr
		c := newEnd(t)
		c.ask(at, "first", "first")
		stop, sent := make(chan struct{}), make(chan int)
		go func() { // a client that has some datagrams under way at all times
			n := 0
			defer func() { sent <- n }()
			for ; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				c.send(at, []byte(fmt.Sprint(n)))
				if n%8 != 7 {
					continue
				}
				for i := n - 7; i <= n; i++ {
					a, err := c.receiveWithin(waiting)
					if err != nil || string(a.data) != fmt.Sprint(i) || a.from != at {
						t.Errorf("received %q from %v and %v, want %d", a.data, a.from, err, i)
						return
					}
				}
			}
		}()
		elsewhere := o
		for i := range 100 {
			switch i % 4 {
			case 0:
				r.rebind(r.duplicates())
			case 1: // to another address; the flow stays where it is
				here := r.duplicates()
				r.rebind(listen(t, &elsewhere))
				r.rebind(here) // and back
			case 2: // gone and back while its flows drain
				here := r.duplicates()
				r.doAll(func(_ int, p *Proxy) {
					p.Unlisten(r.listener)
					p.DrainListener(r.listener, time.Hour)
				})
				r.doAll(func(i int, p *Proxy) {
					if err := p.Listen(r.listener, r.settings, here[i:i+1]); err != nil {
						t.Error(err)
					}
				})
			case 3:
				r.update(func(s *Settings) { s.MaxFlows = int64(100 + i) })
			}
		}
		close(stop)
		n := <-sent
		if got := r.began(); got != 1 {
			t.Errorf("%d flows", got)
		}
		for i, loop := range r.loops {
			if got := loop.Stats().Stale; got > uint64(n)/4 {
				t.Errorf("loop %d: %d events of descriptors that are closed, of %d datagrams", i, got, n)
			}
		}
		r.wantNoDrops()
		r.endDrains()
		r.finish()
	})
}

// Another socket of the same address, as when a listener comes back while the one before it drains, takes over the flows, with what had come for them.
func TestListenAgain(t *testing.T) {
	b := serve(t, echo)
	o := rigOptions{}
	r := newRig(t, o, b.at)
	c := newEnd(t)
	c.ask(r.addr, "first", "first")
	o.listen.Addr = r.addr
	for round := range 10 {
		fds := listen(t, &o)
		r.do(0, func(p *Proxy) {
			for i := range 20 {
				c.send(r.addr, fmt.Append(nil, round, i))
			}
			p.Unlisten(r.listener)
			if err := p.Listen(r.listener, r.settings, fds); err != nil {
				t.Error(err)
			}
		})
		for i := range 20 {
			c.want(fmt.Sprint(round, i))
		}
	}
	if n := r.began(); n != 1 {
		t.Errorf("%d flows", n)
	}
	r.wantNoDrops()
	r.finish()
}

// A listener that moved to another address answers its flows from the old one, until they end, and takes no new ones there.
func TestRebindElsewhere(t *testing.T) {
	b := serve(t, echo)
	o := rigOptions{settings: Settings{}}
	r := newRig(t, o, b.at)
	old := r.addr
	c, other := newEnd(t), newEnd(t)
	c.ask(old, "1", "1")
	fds := listen(t, &o)
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	r.rebind(fds)
	c.ask(old, "2", "2")
	other.send(old, []byte("new"))
	r.wantDropped(l4.DropDraining, 1)
	other.ask(at, "there", "there")
	c.ask(at, "another flow", "another flow")
	if n := r.began(); n != 3 {
		t.Errorf("%d flows", n)
	}
	r.do(0, func(p *Proxy) {
		if n := p.sockets.Len(); n != 2 {
			t.Errorf("%d sockets", n)
		}
		p.end(p.ofClient(t, c.at, old), l4.Drained)
		if n := p.sockets.Len(); n != 1 {
			t.Errorf("%d sockets when the old one's flow has ended", n)
		}
	})
	r.finish()
	for _, at := range []netip.AddrPort{old, at} {
		e := newEnd(t, at.String()) // free again
		_ = e.conn.Close()
	}
}
