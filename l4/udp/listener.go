package udp

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
	"weir/l4/access"
	"weir/l4/flow"
)

// Settings are what a listener does with its datagrams: immutable, replaced whole when the configuration changes. A flow keeps the
// settings it began with.
type Settings struct {
	Routes       l4.Routes
	Rules        flow.Rules
	MaxFlows     int64         // over the whole process; 0 = no limit
	Access       *access.Rules // who may come in; nil = all
	PerPacket    bool          // each datagram finds its own endpoint, and answers find nobody
	QUIC         bool          // connection IDs and server names say where a datagram goes
	Servers      *Servers
	DontFragment bool // of endpoints' sockets, see eventloop.DatagramOptions
	Receive      int  // bytes of buffer of endpoints' sockets; 0 = 1 MiB
	Send         int  // bytes of buffer of endpoints' sockets; 0 = the kernel's
}

// roomForBursts is the buffer (bytes) for what an endpoint sends, as far as the kernel allows. The kernel's own, 208 KiB, is full after 92 datagrams of
// 1,200 bytes, which QUIC and WireGuard send in a row.
const roomForBursts = 1 << 20

// options are those of endpoints' sockets.
func (s *Settings) options(plain bool) eventloop.DatagramOptions {
	return eventloop.DatagramOptions{Receive: cmp.Or(s.Receive, roomForBursts), Send: s.Send, DontFragment: s.DontFragment, NoOffload: plain}
}

// admits reports whether the address may come in.
func (s *Settings) admits(a netip.Addr) bool { return s.Access == nil || s.Access.Filter.Admits(a) }

// listening is a listener on one loop. Flows refer to it for as long as they live.
type listening struct {
	listener *l4.Listener
	counters *l4.ListenerCounters
	settings *Settings
	sockets  []uint32
	index    uint32
	flows    int
	closed   bool // takes no new flows; goes when its flows have gone
}

// socket is one that clients write to. It is known by its address: should another listener, or the next state of this one, get a descriptor of
// the same address, the flows that came through the old one go on through the new one.
type socket struct {
	tok      eventloop.Token
	fd       int32
	flows    int32
	on       *listening // whose new flows come through it
	at       netip.AddrPort
	overflow uint32
	open     bool
	unbound  bool // bound to a wildcard: answers have to say which address they come from
}

// Listen begins to take datagrams from the sockets, which the proxy owns from now on, also when it returns an error: then the kernel refused
// to watch one of them, and all are closed. On the loop.
func (p *Proxy) Listen(l *l4.Listener, s *Settings, sockets []int) error {
	p.prepare()
	ln := &listening{listener: l, counters: &l.Loops[p.id], settings: s}
	for i, fd := range sockets {
		if err := p.openSocket(ln, fd); err != nil {
			for _, rest := range sockets[i:] {
				_ = unix.Close(rest)
			}
			for _, j := range ln.sockets {
				p.closeSocket(j)
			}
			return err
		}
	}
	if i := slices.Index(p.listening, nil); i >= 0 {
		ln.index = uint32(i)
		p.listening[i] = ln
		return nil
	}
	ln.index = uint32(len(p.listening))
	p.listening = append(p.listening, ln)
	return nil
}

// openSocket begins to watch a descriptor, in the place of the one that had its address.
func (p *Proxy) openSocket(ln *listening, fd int) error {
	at, err := eventloop.ListeningOn(fd)
	if err != nil {
		return err
	}
	i, s, fresh := p.socketAt(at)
	tok, err := p.loop.RegisterLevel(fd, p.clients, i, eventloop.Readable)
	if err != nil {
		if fresh {
			p.sockets.Put(i)
		}
		return err
	}
	if fresh {
		*s = socket{at: at, unbound: at.Addr().IsUnspecified()}
	} else {
		if !sameSocket(int(s.fd), fd) {
			for range inTheQueue { // what waits there would be lost
				clients{p}.Ready(s.tok, i, 0)
				p.Flush()
			}
			s.overflow = 0
		}
		p.loop.Close(s.tok)
		if old := s.on; old != nil {
			old.sockets = slices.DeleteFunc(old.sockets, func(j uint32) bool { return j == i })
		}
	}
	s.tok, s.fd, s.on, s.open = tok, int32(fd), ln, true
	ln.sockets = append(ln.sockets, i)
	return nil
}

// inTheQueue is how many budgets of datagrams are looked for in the queue of a socket that another replaces: its buffer holds some 5,000 small ones.
const inTheQueue = 16

// socketAt returns the socket of an address, or a new one.
func (p *Proxy) socketAt(at netip.AddrPort) (i uint32, s *socket, fresh bool) {
	for i := range p.sockets.Cap() {
		if s := p.sockets.At(i); s.open && s.at == at {
			return i, s, false
		}
	}
	i, s = p.sockets.Get()
	return i, s, true
}

func (p *Proxy) closeSocket(i uint32) {
	if s := p.sockets.At(i); s.open {
		p.loop.Close(s.tok)
		*s = socket{}
		p.sockets.Put(i)
	}
}

// sameSocket reports whether two descriptors are of one socket, whose count of losses goes on.
func sameSocket(a, b int) bool {
	one, err := unix.GetsockoptUint64(a, unix.SOL_SOCKET, unix.SO_COOKIE)
	other, errOther := unix.GetsockoptUint64(b, unix.SOL_SOCKET, unix.SO_COOKIE)
	return err == nil && errOther == nil && one == other
}

// find returns the listener's present state on this loop, nil when it takes no new flows here.
func (p *Proxy) find(l *l4.Listener) *listening {
	for _, ln := range p.listening {
		if ln != nil && ln.listener == l && !ln.closed {
			return ln
		}
	}
	return nil
}

// Update gives the listener other settings, for flows that begin from now on. On the loop.
func (p *Proxy) Update(l *l4.Listener, s *Settings) {
	if ln := p.find(l); ln != nil {
		ln.settings = s
	}
}

// Rebind begins to take datagrams from other sockets, and no new flows from those there were that have another address. On an error, that of
// Listen, those there were stay. On the loop.
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

// Unlisten takes no new flows from the listener any more. Those there are go on; its sockets are closed with the last one. On the loop.
func (p *Proxy) Unlisten(l *l4.Listener) {
	if ln := p.find(l); ln != nil {
		p.closeListening(ln)
	}
}

func (p *Proxy) closeListening(ln *listening) {
	ln.closed = true
	for _, i := range slices.Clone(ln.sockets) {
		p.forgetSocket(i)
	}
	p.forgetListening(ln)
}

// forgetSocket closes a socket that no flow needs and no new flow may come through.
func (p *Proxy) forgetSocket(i uint32) {
	s := p.sockets.At(i)
	if !s.open || s.flows > 0 || !s.on.closed {
		return
	}
	s.on.sockets = slices.DeleteFunc(s.on.sockets, func(j uint32) bool { return j == i })
	p.closeSocket(i)
}

// forgetListening lets go of a closed listener without flows. Per-packet flows, which nobody counts, go with it.
func (p *Proxy) forgetListening(ln *listening) {
	if ln.closed && ln.flows == 0 && p.listening[ln.index] == ln {
		p.listening[ln.index] = nil
		p.endDirect(ln)
	}
}
