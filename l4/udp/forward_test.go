package udp

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/lb"
)

func TestEcho(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b := serve(t, echo)
		r := newRig(t, o, b.at)
		c := newEnd(t)
		const rounds = 100
		for i := range rounds {
			msg := fmt.Sprintf("message %d", i)
			c.ask(r.addr, msg, msg)
		}
		r.settle()
		if n := r.began(); n != 1 {
			t.Fatalf("%d flows", n)
		}
		counters := &r.listener.Loops[0]
		for _, d := range []l4.Direction{l4.ToUpstream, l4.ToDownstream} {
			if n := counters.Datagrams[d].Load(); n != rounds {
				t.Errorf("counted %d datagrams in direction %d", n, d)
			}
			if n := r.cluster.Endpoints[0].Loops[0].Datagrams[d].Load(); n != rounds {
				t.Errorf("endpoint counted %d datagrams in direction %d", n, d)
			}
			if n := r.proxies[0].Counters().Datagrams[d].Load(); n != rounds {
				t.Errorf("loop counted %d datagrams in direction %d", n, d)
			}
			if n := counters.Bytes[d][l4.Copied].Load(); n != 10*9+90*10 {
				t.Errorf("counted %d bytes in direction %d", n, d)
			}
		}
		if r.shared.Active() != 1 || r.listener.Active() != 1 || r.cluster.Endpoints[0].Balance.Active() != 1 {
			t.Error("a flow has a place everywhere")
		}
		r.wantNoDrops()
		r.finish()
		r.wantClosed(l4.Drained, 1)
	})
}

// Many clients at once, over two loops and three endpoints: each gets its own answers, from the one endpoint that its flow has.
func TestManyClients(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		const clients, rounds = 60, 20
		var addrs []netip.AddrPort
		for i := range 3 {
			addrs = append(addrs, serve(t, named(fmt.Sprint(i))).at)
		}
		o.loops = 2
		r := newRig(t, o, addrs...)
		var wg sync.WaitGroup
		for i := range clients {
			c := newEnd(t)
			wg.Go(func() {
				endpoint := ""
				for k := range rounds {
					question := fmt.Sprintf("client %d asks %d", i, k)
					c.send(r.addr, []byte(question))
					a, err := c.receiveWithin(waiting)
					if err != nil {
						t.Error(err)
						return
					}
					name, rest, _ := strings.Cut(string(a.data), ":")
					if endpoint == "" {
						endpoint = name
					}
					if rest != question || name != endpoint || a.from != r.addr {
						t.Errorf("client %d of endpoint %s received %q from %v", i, endpoint, a.data, a.from)
					}
				}
			})
		}
		wg.Wait()
		if n := r.began(); n != clients {
			t.Errorf("%d flows, want %d", n, clients)
		}
		for _, e := range r.cluster.Endpoints {
			if n := e.Balance.Active(); n != clients/3 {
				t.Errorf("endpoint %v has %d flows of %d", e.Address, n, clients)
			}
		}
		r.wantNoDrops()
		r.finish()
	})
}

// What comes for nobody, or has nowhere to go, is dropped for its reason, and counted once.
func TestNowhere(t *testing.T) {
	t.Run("no cluster", func(t *testing.T) {
		r := newRig(t, rigOptions{noCluster: true})
		newEnd(t).send(r.addr, []byte("x"))
		r.wantDropped(l4.DropNoCluster, 1)
		r.finish()
	})
	t.Run("no endpoint", func(t *testing.T) {
		r := newRig(t, rigOptions{})
		newEnd(t).send(r.addr, []byte("x"))
		r.wantDropped(l4.DropNoEndpoint, 1)
		if n := r.cluster.Loops[0].NoEndpoint.Load(); n != 1 {
			t.Errorf("the cluster counted %d", n)
		}
		r.finish()
	})
	t.Run("unreachable", func(t *testing.T) {
		r := newRig(t, rigOptions{}, netip.MustParseAddrPort("255.255.255.255:9")) // connect(2) gives EACCES
		newEnd(t).send(r.addr, []byte("x"))
		r.wantDropped(l4.DropConnectFailed, 1)
		if n := r.cluster.Endpoints[0].Loops[0].ConnectErrors.Load(); n != 1 {
			t.Errorf("the endpoint counted %d", n)
		}
		r.finish()
	})
}

// An endpoint to which there is no way isn't the last that a new flow tries, if its cluster has it try others.
func TestAttempts(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{attempts: 2, policy: lb.First}, netip.MustParseAddrPort("255.255.255.255:9"), b.at)
	for range 5 {
		newEnd(t).ask(r.addr, "x", "x")
	}
	if one, other := r.cluster.Endpoints[0].Balance.Active(), r.cluster.Endpoints[1].Balance.Active(); one != 0 || other != 5 {
		t.Errorf("%d and %d places are taken", one, other)
	}
	r.wantNoDrops()
	r.finish()
}

// Connecting a socket gives it its port first and its peer then. What a stranger sends to the port between the two isn't the endpoint's.
func TestStranger(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b, stranger := serve(t, echo), newEnd(t)
		r := newRig(t, o, b.at)
		c := newEnd(t)
		c.ask(r.addr, "x", "x")
		r.do(0, func(p *Proxy) { // as slowly as one can
			fd := int(p.upstreams.At(p.table.At(p.ofClient(t, c.at, r.addr)).upstream - 1).fd)
			eventloop.DisconnectDatagrams(fd)
			if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
				t.Error(err)
			}
			at, err := eventloop.ListeningOn(fd)
			if err != nil {
				t.Error(err)
			}
			stranger.send(at, []byte("psst"))
			eventloop.ConnectDatagrams(fd, r.cluster.Endpoints[0].Socket())
		})
		r.wantDropped(l4.DropNoFlow, 1)
		c.ask(r.addr, "y", "y")
		r.finish()
	})
}

// Turns are counted modulo 2^32: some hours under load. No flow may find itself in a turn of long ago.
func TestManyTurns(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.at)
	old, c := newEnd(t), newEnd(t)
	old.ask(r.addr, "in the first turn", "in the first turn")
	c.ask(r.addr, "x", "x")
	for k := range uint32(4) {
		r.do(0, func(p *Proxy) { p.turn = math.MaxUint32 - k })
		for range 4 {
			one, two := newEnd(t), newEnd(t)
			r.atOnce(func() {
				one.send(r.addr, []byte("new"))
				c.send(r.addr, []byte("to and fro"))
				two.send(r.addr, []byte("new, too"))
			})
			one.want("new")
			c.want("to and fro")
			two.want("new, too")
		}
		old.ask(r.addr, "and again", "and again")
		r.do(0, func(p *Proxy) {
			if p.turn > 1000 {
				t.Errorf("turn %d", p.turn)
			}
		})
	}
	r.finish()
}
