package udp

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"weir/l4"
)

// What is too big for the path is dropped, counted, where nothing may be fragmented; the flow goes on. Where fragments may be it arrives.
func TestTooBig(t *testing.T) {
	inNetwork(t, 1500, func(t *testing.T) {
		everyWay(t, func(t *testing.T, o rigOptions) {
			for _, whole := range []bool{true, false} {
				o.settings.DontFragment, o.listen.DontFragment = whole, whole
				b, c := newEnd(t), newEnd(t)
				r := newRig(t, o, b.at)
				c.send(r.addr, []byte("first"))
				way := b.want("first")
				for i, size := range []int{1472, 1473, 9000, 100} {
					up, down := pattern(1, i, size), pattern(2, i, size)
					c.send(r.addr, up)
					c.send(r.addr, []byte("next"))
					b.send(way, down)
					b.send(way, []byte("next"))
					if !whole || size <= 1472 {
						if a := b.receive(); !bytes.Equal(a.data, up) {
							t.Fatalf("received %d bytes of %d", len(a.data), size)
						}
						if a := c.receive(); !bytes.Equal(a.data, down) {
							t.Fatalf("received %d bytes of %d", len(a.data), size)
						}
					}
					b.want("next")
					c.want("next")
				}
				r.settle()
				if n, want := r.dropped(l4.DropTooBig), map[bool]uint64{true: 2 * 2}[whole]; n != want {
					t.Errorf("whole=%v: %d too big, want %d:%s", whole, n, want, r.counts())
				}
				if n := r.began(); n != 1 {
					t.Errorf("%d flows", n)
				}
				r.finish()
			}
		})
	})
}

// Datagrams of one size that the path doesn't take as one, because each needs fragments, go one by one: in order, none lost, none merged. What
// the path takes goes as one after that as before.
func TestSegmentsTooBig(t *testing.T) {
	inNetwork(t, 1500, func(t *testing.T) {
		everyWay(t, func(t *testing.T, o rigOptions) {
			b, c := newEnd(t), newEnd(t)
			r := newRig(t, o, b.at)
			c.send(r.addr, []byte("first"))
			way := b.want("first")
			for _, up := range []bool{true, false} {
				from, to, at := c, b, r.addr
				if !up {
					from, to, at = b, c, way
				}
				for _, size := range []int{2000, 1472, 1473, 9000, 1000} {
					for round := range 3 {
						const n = 10
						r.atOnce(func() {
							for i := range n {
								from.send(at, pattern(round, i, size))
							}
							from.send(at, []byte("tail"))
						})
						for i := range n {
							if a := to.receive(); !bytes.Equal(a.data, pattern(round, i, size)) {
								t.Fatalf("up=%v: datagram %d of %d bytes: %d others", up, i, size, len(a.data))
							}
						}
						to.want("tail")
					}
				}
				if !o.plain {
					r.do(0, func(p *Proxy) { // it isn't tried again and again
						if alone := p.table.At(p.ofClient(t, c.at, r.addr)).alone[map[bool]l4.Direction{true: l4.ToUpstream, false: l4.ToDownstream}[up]]; alone != 1473 {
							t.Errorf("up=%v: datagrams from %d bytes on are sent alone", up, alone)
						}
					})
					to.coalesce()
					r.atOnce(func() {
						for i := range 10 {
							from.send(at, pattern(0, i, 1000))
						}
					})
					for got := 0; got < 10_000; {
						a := to.receive()
						if got += len(a.data); a.segment != 1000 {
							t.Errorf("up=%v: %d bytes in segments of %d", up, len(a.data), a.segment)
						}
					}
					to.option(unix.IPPROTO_UDP, unix.UDP_GRO, 0)
				}
			}
			r.wantNoDrops()
			r.finish()
		})
	})
}

// As one to where it must go one by one: what came unsplit, of segments that the path to the endpoint doesn't take.
func TestSuperTooBig(t *testing.T) {
	inNetwork(t, 1500, func(t *testing.T) {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("whole=%v", whole), func(t *testing.T) {
				b, c := newEnd(t), newEnd(t)
				r := newRig(t, rigOptions{settings: Settings{DontFragment: whole}}, b.at)
				c.send(r.addr, []byte("first"))
				b.want("first")
				super := pattern(1, 1, 12*1400+10)
				for range 3 {
					c.sendSuper(r.addr, super, 1400)
					for rest := super; len(rest) > 0; rest = rest[min(1400, len(rest)):] {
						if a := b.receive(); !bytes.Equal(a.data, rest[:min(1400, len(rest))]) {
							t.Fatalf("%d bytes", len(a.data))
						}
					}
				}
				r.wantNoDrops()
				r.finish()
			})
		}
	})
}
