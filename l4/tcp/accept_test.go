package tcp

import (
	"io"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// do runs fn on a loop of the rig.
func (r *rig) do(loop int, fn func(p *Proxy)) {
	r.t.Helper()
	if err := r.loops[loop].Do(func() { fn(r.proxies[loop]) }); err != nil {
		r.t.Fatal(err)
	}
}

// hello is one whole session of a client with an echoing endpoint.
func (r *rig) hello() {
	r.t.Helper()
	c := r.dial()
	mustWrite(r.t, c, "hello")
	mustRead(r.t, c, "hello")
	_ = c.Close()
}

// A Rebind that fails leaves the listener as it was: it goes on accepting on the sockets that it had.
func TestRebindFails(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0) // epoll doesn't take regular files
	if err != nil {
		t.Fatal(err)
	}
	r.do(0, func(p *Proxy) { err = p.Rebind(r.listener, r.settings, []int{fd}) })
	if err == nil {
		t.Fatal("a regular file was listened on")
	}
	r.hello()
	r.do(0, func(p *Proxy) { p.Unlisten(r.listener) })
	r.do(0, func(*Proxy) {}) // the turn is over: the socket is closed
	if c, err := net.Dial("tcp", r.addr); err == nil {
		_ = c.Close()
		t.Fatal("still accepts after Unlisten")
	}
	r.eventually("nothing is kept of the listener", func() (gone bool) {
		r.do(0, func(p *Proxy) { gone = p.listening[0] == nil && p.listening[1] == nil })
		return gone
	})
}

// Rebind takes who waits in the old sockets' queue along, and clients come in by the new ones.
func TestRebind(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	fds, err := eventloop.Listen(eventloop.ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	at, err := eventloop.ListeningOn(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	var queued []*net.TCPConn
	r.do(0, func(p *Proxy) {
		for range 5 { // the loop is busy with this function: they wait
			queued = append(queued, r.dial())
		}
		err = p.Rebind(r.listener, r.settings, fds)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range queued {
		mustWrite(t, c, "waited")
		mustRead(t, c, "waited")
	}
	r.addr = at.String()
	r.hello()
}

// A listening socket that somebody shut down who has a duplicate of it neither spins the loop nor hangs Unlisten.
func TestListenerShutDown(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	r.hello()
	r.do(0, func(p *Proxy) {
		if err := unix.Shutdown(p.loop.FD(p.listening[0].sockets[0]), unix.SHUT_RDWR); err != nil {
			t.Error(err)
		}
	})
	r.eventually("it was noticed", func() bool { return r.listener.Loops[0].AcceptErrors.Load() > 0 })
	r.wantRest()
	r.do(0, func(p *Proxy) { p.Unlisten(r.listener) })

	other := newRig(t, rigOptions{}, b.addr)
	other.do(0, func(p *Proxy) { // in one turn: no event tells of it
		if err := unix.Shutdown(p.loop.FD(p.listening[0].sockets[0]), unix.SHUT_RDWR); err != nil {
			t.Error(err)
		}
		p.Unlisten(other.listener)
	})
}

// wantRest checks that the loops have nothing to do: 50 looks at them, each a turn of its own, take little more than 50 turns.
func (r *rig) wantRest() {
	r.t.Helper()
	for i, loop := range r.loops {
		before := loop.Stats().Batches
		looks := 0
		r.eventually("50 looks", func() bool {
			r.do(i, func(*Proxy) {})
			looks++
			return looks == 50
		})
		if turns := loop.Stats().Batches - before; turns > 500 {
			r.t.Fatalf("loop %d turned %d times with nothing to do", i, turns)
		}
	}
}

// At the process's limit as many sessions give way as clients come, also when the listener takes many in one go.
func TestDisplacedForNobody(t *testing.T) {
	b := serve(t, echo)
	const limit = 20
	r := newRig(t, rigOptions{max: limit}, b.addr)
	for range limit {
		c := r.dial()
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
	}
	r.do(0, func(p *Proxy) {
		for i := range uint32(limit) {
			p.sessions.At(i).active -= int64(displaceAfter) // all are idle
		}
		p.listening[0].batch = acceptBatchMax
	})
	for range 3 {
		c := r.dial()
		mustWrite(t, c, "new")
		mustRead(t, c, "new")
	}
	r.do(0, func(p *Proxy) { p.listening[0].batch = acceptBatchMax })
	c := r.dial()
	mustWrite(t, c, "new")
	mustRead(t, c, "new")
	if n, active := r.closed(l4.Displaced), r.shared.Active(); n != 4 || active != limit {
		t.Fatalf("4 clients displaced %d sessions; %d of %d are left", n, active, limit)
	}
	if n := r.listener.Loops[0].PausesLimit.Load(); n != 0 {
		t.Fatalf("paused %d times though there was always somebody to give way", n)
	}
}

// Pauses for want of a place: the waiting loop is woken once however many places are given back, nothing is left of a pause that is
// over, and one that begins when there is room again is over at once.
func TestPauseAndWake(t *testing.T) {
	const limit = 50
	b := serve(t, echo)
	r := newRig(t, rigOptions{max: limit}, b.addr)
	var clients []*net.TCPConn
	for range limit {
		c := r.dial()
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		clients = append(clients, c)
	}
	next := r.dial() // waits
	r.eventually("accepting has paused", func() bool { return r.listener.Loops[0].PausesLimit.Load() > 0 })
	var before, after uint64
	r.do(0, func(p *Proxy) {
		for !p.listening[0].paused { // the timer may just have ended the pause
			p.pause(p.listening[0], forPlaces)
		}
		before = p.loop.Stats().Posted
		for i := range uint32(limit) {
			p.end(p.sessions.At(i), i, l4.Drained)
		}
	})
	r.do(0, func(p *Proxy) { after = p.loop.Stats().Posted })
	if n := after - before; n > 2 { // the wake-up and this look
		t.Errorf("%d functions were posted for one pause", n)
	}
	mustWrite(t, next, "at last")
	mustRead(t, next, "at last")
	r.do(0, func(p *Proxy) {
		ln := p.listening[0]
		p.pause(ln, forPlaces)
		if ln.paused || ln.timer != 0 || p.limited != 0 || p.shared.Waiters() != 0 {
			t.Errorf("with room: paused=%v timer=%v limited=%d waiters=%d", ln.paused, ln.timer, p.limited, p.shared.Waiters())
		}
		p.pause(ln, forDescriptors)
		p.pause(ln, forPlaces) // it pauses already
		if !ln.paused || ln.limited || ln.timer == 0 || p.limited != 0 {
			t.Errorf("for descriptors: paused=%v limited=%v timer=%v", ln.paused, ln.limited, ln.timer)
		}
		p.Update(r.listener, r.settings)
		if ln.paused || ln.timer != 0 {
			t.Errorf("after Update: paused=%v timer=%v", ln.paused, ln.timer)
		}
	})
	r.hello()
	for _, c := range clients {
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
	}
}

// A paused listener that is closed leaves nothing behind that could touch the next one in its place.
func TestUnlistenPaused(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{max: 1}, b.addr)
	holder := r.dial()
	mustWrite(t, holder, "x")
	mustRead(t, holder, "x")
	waits := r.dial()
	r.eventually("accepting has paused", func() bool { return r.listener.Loops[0].PausesLimit.Load() > 0 })
	r.do(0, func(p *Proxy) {
		ln := p.listening[0]
		p.Unlisten(r.listener)
		if ln.paused || ln.timer != 0 || p.limited != 0 || p.shared.Waiters() != 0 {
			t.Errorf("paused=%v timer=%v limited=%d waiters=%d", ln.paused, ln.timer, p.limited, p.shared.Waiters())
		}
		// Its session goes on, and a want of descriptors found by it is no longer the listener's.
		p.pause(ln, forDescriptors)
		if ln.paused || ln.timer != 0 {
			t.Error("a closed listener pauses")
		}
	})
	mustReset(t, waits) // over the limit: it couldn't be taken in
	mustWrite(t, holder, "goes on")
	mustRead(t, holder, "goes on")
	_ = holder.Close()
	r.eventually("the listener is forgotten", func() (gone bool) {
		r.do(0, func(p *Proxy) { gone = p.listening[0] == nil })
		return gone
	})
}
