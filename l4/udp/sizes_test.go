package udp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"weir/eventloop"
	"weir/l4"
)

// pattern returns the bytes of datagram number seq of a flow: no two that a test compares are alike, if they are longer than a few bytes.
func pattern(flow, seq, size int) []byte {
	b := make([]byte, size)
	x := uint32(flow)<<20 ^ uint32(seq)<<4 ^ uint32(size)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// Datagrams of all sizes go both ways as they are, over IPv4 and IPv6 on either side.
func TestSizes(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		for _, way := range [][2]string{{"127.0.0.1:0", "127.0.0.1:0"}, {"[::1]:0", "[::1]:0"}, {"[::1]:0", "127.0.0.1:0"}, {"127.0.0.1:0", "[::1]:0"}} {
			if way != [2]string{"127.0.0.1:0", "127.0.0.1:0"} {
				needIPv6(t)
			}
			b := newEnd(t, way[1])
			o.listen.Addr = netip.MustParseAddrPort(way[0])
			r := newRig(t, o, b.at)
			c := newEnd(t, way[0])
			for i, size := range []int{0, 1, 64, 1472, 1473, 9000, 65507, 0, 65487, 65488, 1} {
				up, down := pattern(0, i, size), pattern(1, i, size)
				c.send(r.addr, up)
				a := b.receive()
				if !bytes.Equal(a.data, up) {
					t.Fatalf("%v: the endpoint received %d bytes of %d", way, len(a.data), size)
				}
				b.send(a.from, down)
				if a := c.receive(); !bytes.Equal(a.data, down) || a.from != r.addr {
					t.Fatalf("%v: the client received %d bytes of %d from %v", way, len(a.data), size, a.from)
				}
			}
			r.wantNoDrops()
			r.finish()
		}
	})
}

// What IPv6 carries and IPv4 can't is dropped, and the flow goes on.
func TestTooBigForIPv4(t *testing.T) {
	needIPv6(t)
	b := newEnd(t)
	r := newRig(t, rigOptions{listen: eventloop.DatagramOptions{Addr: netip.MustParseAddrPort("[::1]:0")}}, b.at)
	c := newEnd(t, "[::1]:0")
	c.send(r.addr, make([]byte, 65527))
	c.send(r.addr, []byte("x"))
	b.want("x")
	r.wantDropped(l4.DropTooBig, 1)
	r.finish()
}

// speaker is one end of a flow in a burst: it sends some datagrams, in one of the ways that there are, and its peer expects them.
type speaker struct {
	flow, seq int
	rng       *rand.Rand
	plain     bool
	coming    [][]byte // what the peer has to receive, in this order
}

// sizes that meet each other in all ways: equal runs, short tails, empty ones.
var burstSizes = []int{0, 1, 99, 100, 100, 100, 100, 101, 500, 1200, 1200, 1472}

// say sends one datagram or some as one.
func (s *speaker) say(from *end, to netip.AddrPort) {
	size := burstSizes[s.rng.IntN(len(burstSizes))]
	if s.plain || size == 0 || s.rng.IntN(4) != 0 {
		b := pattern(s.flow, s.seq, size)
		s.seq++
		s.coming = append(s.coming, b)
		from.send(to, b)
		return
	}
	var super []byte
	for range 2 + s.rng.IntN(8) {
		b := pattern(s.flow, s.seq, size)
		s.coming = append(s.coming, b)
		super = append(super, b...)
		s.seq++
	}
	if s.rng.IntN(2) == 0 { // a short tail
		b := pattern(s.flow, s.seq, 1+s.rng.IntN(size))
		s.coming = append(s.coming, b)
		super = append(super, b...)
		s.seq++
	}
	from.sendSuper(to, super, size)
}

// heard checks what the peer received, which may have come as one.
func (s *speaker) heard(a arrival) error {
	for rest, first := a.data, true; len(rest) > 0 || first; first = false {
		b := rest
		if a.segment > 0 {
			b = rest[:min(a.segment, len(rest))]
		}
		if len(s.coming) == 0 {
			return fmt.Errorf("flow %d: %d bytes that nobody sent", s.flow, len(b))
		}
		if !bytes.Equal(b, s.coming[0]) {
			return fmt.Errorf("flow %d: received %d bytes, want the next datagram of %d; %d are to come", s.flow, len(b), len(s.coming[0]), len(s.coming))
		}
		rest, s.coming = rest[len(b):], s.coming[1:]
	}
	return nil
}

func left(all []*speaker) (n int) {
	for _, s := range all {
		n += len(s.coming)
	}
	return n
}

// Bursts of eight flows, interleaved, that are taken in and sent on in one turn: no datagram is merged with another, split, lost or overtaken.
// Alone and as one, both ways, to ends that take what came as one and such that don't.
func TestBursts(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		for _, unsplit := range []bool{false, true} {
			for _, loops := range []int{1, 2} {
				t.Run(fmt.Sprintf("unsplit=%v/loops=%d", unsplit, loops), func(t *testing.T) {
					o.loops = loops
					bursts(t, o, unsplit)
				})
			}
		}
	})
}

func bursts(t *testing.T, o rigOptions, unsplit bool) {
	const flows, rounds, each = 8, 8, 12
	o.settings.Send = buffer
	b := newEnd(t)
	r := newRig(t, o, b.at)
	var clients []*end
	var up, down []*speaker
	peer := map[netip.AddrPort]int{} // flows by the address that the endpoint sees
	var way [flows]netip.AddrPort
	for i := range flows {
		c := newEnd(t)
		if unsplit {
			c.coalesce()
		}
		clients = append(clients, c)
		up = append(up, &speaker{flow: 2 * i, rng: rand.New(rand.NewPCG(1, uint64(i)))})
		down = append(down, &speaker{flow: 2*i + 1, rng: rand.New(rand.NewPCG(2, uint64(i)))})
		c.send(r.addr, []byte{byte(i)})
		a := b.receive()
		peer[a.from], way[i] = i, a.from
	}
	if unsplit {
		b.coalesce()
	}
	order := rand.New(rand.NewPCG(3, 3))
	for range rounds {
		r.atOnce(func() {
			for range flows * each {
				i := order.IntN(flows)
				up[i].say(clients[i], r.addr)
			}
		})
		for left(up) > 0 {
			a := b.receive()
			if err := up[peer[a.from]].heard(a); err != nil {
				t.Fatalf("up: %v;%s", err, r.counts())
			}
		}
		r.atOnce(func() {
			for range flows * each {
				i := order.IntN(flows)
				down[i].say(b, way[i])
			}
		})
		for i, s := range down {
			for len(s.coming) > 0 {
				if err := s.heard(clients[i].receive()); err != nil {
					t.Fatalf("down: %v;%s", err, r.counts())
				}
			}
		}
	}
	if n := r.began(); n != flows {
		t.Errorf("%d flows", n)
	}
	r.wantNoDrops()
	r.finish()
}

// What came as one leaves as one, and so do a flow's datagrams of one size that came in one turn; without offload each is by itself.
func TestUnsplit(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		if f := eventloop.DatagramFeatures(); !f.Segment || !f.Coalesce {
			t.Skip("the kernel can't")
		}
		b, c := newEnd(t), newEnd(t)
		b.coalesce()
		c.coalesce()
		r := newRig(t, o, b.at)
		c.send(r.addr, []byte("x"))
		way := b.want("x")
		for _, up := range []bool{true, false} {
			from, to, at, direction := c, b, r.addr, l4.ToUpstream
			if !up {
				from, to, at, direction = b, c, way, l4.ToDownstream
			}
			all := pattern(1, 1, 40*1000+500)
			for _, alone := range []bool{false, true} {
				r.settle()
				var before, after l4.SizesReading
				before.Add(&r.listener.Loops[0].Sent[direction])
				r.atOnce(func() {
					if !alone {
						from.sendSuper(at, all, 1000)
						return
					}
					for rest := all; len(rest) > 0; rest = rest[min(1000, len(rest)):] {
						from.send(at, rest[:min(1000, len(rest))])
					}
				})
				var got []byte
				arrivals := 0
				for ; len(got) < len(all); arrivals++ {
					a := to.receive()
					if !o.plain && a.segment != 1000 || o.plain && len(a.data) > 1000 {
						t.Fatalf("up=%v alone=%v: %d bytes in segments of %d", up, alone, len(a.data), a.segment)
					}
					got = append(got, a.data...)
				}
				if !bytes.Equal(got, all) {
					t.Fatalf("up=%v alone=%v: other bytes", up, alone)
				}
				want := map[bool]int{false: 1, true: 41}[o.plain]
				r.settle()
				if after.Add(&r.listener.Loops[0].Sent[direction]); after.Sum != before.Sum+41 {
					t.Fatalf("up=%v alone=%v: counted %d datagrams", up, alone, after.Sum-before.Sum)
				}
				if n := after.Count() - before.Count(); arrivals != want || n != uint64(want) {
					t.Fatalf("up=%v alone=%v: came in %d, counted as %d, want %d", up, alone, arrivals, n, want)
				}
			}
		}
		r.finish()
	})
}

// A run that would have more than 64 datagrams, or more bytes than a datagram may have, leaves as several.
func TestLongRuns(t *testing.T) {
	everyWay(t, func(t *testing.T, o rigOptions) {
		b, c := newEnd(t), newEnd(t)
		r := newRig(t, o, b.at)
		c.send(r.addr, []byte("x"))
		b.want("x")
		for _, size := range []int{1, 600, 1472, 32743, 32744, 65487} {
			const n = 100
			count := min(n, 2_000_000/size)
			before := sentAsOne(r)
			r.atOnce(func() {
				for i := range count {
					c.send(r.addr, pattern(1, i, size))
				}
			})
			for i := range count {
				if a := b.receive(); !bytes.Equal(a.data, pattern(1, i, size)) {
					t.Fatalf("datagram %d of %d bytes: %d others", i, size, len(a.data))
				}
			}
			each := 1
			if !o.plain && eventloop.DatagramFeatures().Segment {
				each = min(64, 65487/size)
			}
			if got, want := sentAsOne(r)-before, (count+each-1)/each; got != want {
				t.Errorf("%d datagrams of %d bytes left as %d, want %d", count, size, got, want)
			}
		}
		r.wantNoDrops()
		r.finish()
	})
}

// sentAsOne returns in how many the datagrams left that were sent to the endpoint.
func sentAsOne(r *rig) int {
	r.settle()
	var sizes l4.SizesReading
	sizes.Add(&r.listener.Loops[0].Sent[l4.ToUpstream])
	return int(sizes.Count())
}
