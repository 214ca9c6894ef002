package tcp

import (
	"time"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/access"
)

// Settings are what a listener does with its connections: immutable, replaced whole when the configuration changes. A
// session keeps the settings it began with.
type Settings struct {
	Routes           l4.Routes
	Buffer           int           // bytes that a direction may hold for a slow peer when it copies; 0 = 64 KiB, at most 1 GiB
	IdleTimeout      time.Duration // 0 = never
	HalfCloseTimeout time.Duration // 0 = never
	MaxDuration      time.Duration // 0 = never
	MaxConnections   int64         // over the whole process; 0 = no limit
	Access           *access.Rules // who may come in; nil = all
	UserTimeout      time.Duration // of the endpoint's socket; 0 = the kernel's
	Keepalive        time.Duration // of the endpoint's socket; 0 = off
}

// bufferMost keeps what a direction counts within 32 bits.
const bufferMost = 1 << 30

func (s *Settings) buffer() int {
	if s.Buffer > 0 {
		return min(s.Buffer, bufferMost)
	}
	return 64 << 10
}

// listening is a listener on one loop.
type listening struct {
	listener *l4.Listener
	counters *l4.ListenerCounters
	settings *Settings
	sockets  []eventloop.Token
	sessions int // of this loop
	index    uint32
	batch    int               // connections to accept in one go
	timer    eventloop.TimerID // ends the pause, while there is one
	paused   bool
	limited  bool // paused for want of a place, not of descriptors
	closed   bool // its sockets are closed; it goes when its sessions have gone
}

// acceptBatchMax bounds the connections accepted in one go, so that a flood of them doesn't keep sessions waiting.
const acceptBatchMax = 64

// acceptPause is how long a listener rests that found no descriptor, or no place.
const acceptPause = 50 * time.Millisecond

// acceptor takes the events of listening sockets and of their pauses' timers.
type acceptor struct{ p *Proxy }

// Ready accepts. The listener's socket is level-triggered: what is left in its queue comes back with the next batch of events. The
// number taken in one go doubles while the queue is full and falls back to one, so that at low rates no call is spent on learning that
// the queue is empty.
func (a acceptor) Ready(tok eventloop.Token, arg uint32, ev eventloop.Events) {
	p := a.p
	ln := p.listening[arg]
	if ev&eventloop.HungUp != 0 {
		// It doesn't listen any more: whoever has a duplicate has shut it down. It would be reported, and fail, for ever.
		ln.counters.AcceptErrors.Add(1)
		p.loop.Close(tok)
		return
	}
	fd := p.loop.FD(tok)
	for n := range ln.batch {
		if ln.paused { // perhaps by another of its sockets, in this batch of events
			return
		}
		if !p.acceptOne(ln, fd) {
			ln.batch = max(1, n)
			return
		}
	}
	ln.batch = min(ln.batch*2, acceptBatchMax)
}

// Expired ends a pause.
func (a acceptor) Expired(arg uint32) {
	ln := a.p.listening[arg]
	ln.timer = 0
	a.p.resume(ln)
}

// acceptOne accepts one connection; false when there is none or accepting has paused. Its places are taken first: who was accepted
// can't be put back into the queue.
func (p *Proxy) acceptOne(ln *listening, fd int) bool {
	giving, ok := p.takePlaces(ln, fd)
	if !ok {
		return false
	}
	client, e := eventloop.Accept(fd, &p.peer)
	if noDescriptor(e) && p.loop.DropIdlePipes() > 0 {
		client, e = eventloop.Accept(fd, &p.peer)
	}
	if e == 0 {
		p.open(ln, client, p.peer.AddrPort(), giving)
		return true
	}
	ln.listener.Give()
	if giving == nobody {
		p.shared.Give(l4.SessionDescriptors)
	}
	switch e {
	case unix.EAGAIN:
		return false
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		p.pause(ln, forDescriptors)
		return false
	}
	ln.counters.AcceptErrors.Add(1)
	switch e {
	case unix.ECONNABORTED, unix.EINTR, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP,
		unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENONET:
		// The connection ended before it was accepted, or the network failed it (accept(2), "Error handling"): on to the next.
		return true
	}
	// Not that connection's error: the next attempt would fail too.
	p.pause(ln, forSense)
	return false
}

// noDescriptor reports whether e says that the process or the machine has no descriptor left.
func noDescriptor(e unix.Errno) bool { return e == unix.EMFILE || e == unix.ENFILE }

// nobody is no session.
const nobody = ^uint32(0)

// takePlaces takes a place of the listener and one of the process. Where the process has none, an idle session of this loop may give its own: then it is
// the one giving, once the client was let in. false: none was taken, and accepting has paused if a client waits. Nobody gives way to, and nothing
// pauses for, one that isn't there.
func (p *Proxy) takePlaces(ln *listening, fd int) (giving uint32, ok bool) {
	if p.pressure.Stage < l4.StageRefuse && ln.listener.Take(ln.settings.MaxConnections) {
		if p.shared.Take(l4.SessionDescriptors) {
			return nobody, true
		}
		came := waits(fd)
		if came {
			if giving = p.idlest(); giving != nobody {
				return giving, true
			}
		}
		ln.listener.Give()
		if came {
			p.pause(ln, forPlaces)
		}
		return nobody, false
	}
	if waits(fd) {
		p.pause(ln, forPlaces)
	}
	return nobody, false
}

// waits reports whether a connection waits in a listening socket's queue. It costs a system call, and is asked only at a limit.
func waits(fd int) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	return n > 0 || err != nil
}

// want is what an accept pause waits for.
type want uint8

const (
	forPlaces      want = iota // that a place is given back
	forDescriptors             // that somebody closes some
	forSense                   // that accept4 stops failing
)

// pause stops accepting until resume. A timer ends the pause at the latest.
func (p *Proxy) pause(ln *listening, w want) {
	ln.batch = 1
	if ln.paused || ln.closed {
		return
	}
	ln.paused, ln.limited = true, w == forPlaces
	p.counters.Pauses.Add(1)
	for _, tok := range ln.sockets {
		p.loop.SetInterest(tok, 0)
	}
	ln.timer = p.loop.StartTimer(p.loop.Now()+int64(acceptPause), p.acceptTimer, ln.index)
	switch w {
	case forSense:
		return
	case forDescriptors:
		ln.counters.PausesFiles.Add(1)
		return
	}
	ln.counters.PausesLimit.Add(1)
	p.limited++
	p.shared.Waiting(p.id, true)
	// A place that another loop gave back before it could see that this one waits has woken nobody.
	if p.pressure.Stage < l4.StageRefuse && l4.Below(ln.listener.Active(), ln.settings.MaxConnections) && !p.shared.Full() {
		p.resume(ln)
	}
}

func (p *Proxy) resume(ln *listening) {
	if !ln.paused {
		return
	}
	if ln.timer != 0 {
		p.loop.StopTimer(ln.timer)
		ln.timer = 0
	}
	if ln.limited {
		if p.limited--; p.limited == 0 {
			p.shared.Waiting(p.id, false)
		}
	}
	ln.paused, ln.limited = false, false
	for _, tok := range ln.sockets {
		p.loop.SetInterest(tok, eventloop.Readable)
	}
}

// resumeLimited ends the pauses that wait for places.
func (p *Proxy) resumeLimited() {
	if p.pressure.Stage >= l4.StageRefuse {
		return // there are none, however many are given back
	}
	for _, ln := range p.listening {
		if ln != nil && ln.limited {
			p.resume(ln)
		}
	}
}

// Listen begins to accept on the sockets, which the proxy owns from now on, also when it returns an error: then the kernel refused to
// watch one of them, and all are closed. On the loop.
func (p *Proxy) Listen(l *l4.Listener, s *Settings, sockets []int) error {
	ln := &listening{listener: l, counters: &l.Loops[p.id], settings: s, batch: 1}
	ln.index = p.placeListening(ln)
	for i, fd := range sockets {
		tok, err := p.loop.RegisterLevel(fd, p.accepting, ln.index, eventloop.Readable)
		if err != nil {
			for _, rest := range sockets[i:] {
				_ = unix.Close(rest)
			}
			p.closeListening(ln) // not what else the listener may have, see Rebind
			return err
		}
		ln.sockets = append(ln.sockets, tok)
	}
	return nil
}

// placeListening finds a place for a listener among those that went.
func (p *Proxy) placeListening(ln *listening) uint32 {
	for i, old := range p.listening {
		if old == nil {
			p.listening[i] = ln
			return uint32(i)
		}
	}
	p.listening = append(p.listening, ln)
	return uint32(len(p.listening) - 1)
}

// find returns the listener's present state on this loop, nil when it doesn't listen here.
func (p *Proxy) find(l *l4.Listener) *listening {
	for _, ln := range p.listening {
		if ln != nil && ln.listener == l && !ln.closed {
			return ln
		}
	}
	return nil
}

// Update gives the listener other settings, for sessions that begin from now on. On the loop.
func (p *Proxy) Update(l *l4.Listener, s *Settings) {
	if ln := p.find(l); ln != nil {
		ln.settings = s
		p.resume(ln)
	}
}

// Rebind begins to accept on other sockets and closes those there were, as Unlisten does. On an error, that of Listen, those there were
// stay. On the loop.
func (p *Proxy) Rebind(l *l4.Listener, s *Settings, sockets []int) error {
	old := p.find(l)
	if err := p.Listen(l, s, sockets); err != nil {
		return err
	}
	if old != nil {
		p.closeListening(old)
	}
	return nil
}

// Unlisten accepts what already waits in the listener's queue, as far as limits and descriptors allow, and closes its sockets, by which
// the kernel resets what still waits; its sessions go on. On the loop.
func (p *Proxy) Unlisten(l *l4.Listener) {
	if ln := p.find(l); ln != nil {
		p.closeListening(ln)
	}
}

func (p *Proxy) closeListening(ln *listening) {
	p.resume(ln)
	for _, tok := range ln.sockets {
		// Closing the socket would reset what waits in its queue.
		fd := p.loop.FD(tok)
		for fd >= 0 && !ln.paused && p.acceptOne(ln, fd) {
		}
		p.loop.Close(tok)
	}
	p.resume(ln) // forgets a pause, its timer and its place among those that wait
	ln.sockets, ln.closed = nil, true
	p.forgetListening(ln)
}

// forgetListening drops a closed listener when its last session has ended.
func (p *Proxy) forgetListening(ln *listening) {
	if ln.closed && ln.sessions == 0 {
		p.listening[ln.index] = nil
	}
}
