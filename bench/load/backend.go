package load

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// onceSize is the size of the once service's request and of its answer, bytes.
const onceSize = 64

// service says what a descriptor of the backend is.
type service uint8

const (
	unused service = iota
	echoListener
	bulkListener
	onceListener
	mixListener
	echoConn
	bulkConn
	onceConn
	mixConn    // has not said what it is
	politeConn // bulk of mix
	udpEchoSocket
	udpNameSocket
	udpBulkSocket
	dnsSocket
)

// Services are the addresses a [Backend] listens on.
type Services struct {
	Echo    string `json:"echo"`
	Bulk    string `json:"bulk"`
	Once    string `json:"once"`
	Mix     string `json:"mix"`
	UDPEcho string `json:"udpecho"`
	UDPName string `json:"udpname"`
	UDPBulk string `json:"udpbulk"`
	DNS     string `json:"dns"`
}

// Backend is what the contenders forward to. Make one with [NewBackend].
type Backend struct {
	addrs   Services
	poll    *poller
	conns   []*peer // by descriptor
	free    []*peer
	buf     []byte
	pattern pattern
	waiting []int32 // events of politeConns, to be served last
	udp     udpServices
	stop    atomic.Bool
}

// peer is one descriptor of the backend.
type peer struct {
	fd      int
	service service
	have    int    // once: bytes of the request that came
	pending []byte // echo: read and not yet written
	eof     bool   // echo: the client sent its FIN
	bulk    transfer
}

// NewBackend opens the services on host, an IPv4 address, at ports the
// kernel chooses; an empty host is 127.0.0.1.
func NewBackend(host string) (*Backend, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	p, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	b := &Backend{poll: p, buf: make([]byte, readChunk), pattern: newPattern(), waiting: make([]int32, 0, len(p.events))}
	if b.udp, err = newUDPServices(); err != nil {
		b.Close()
		return nil, fmt.Errorf("backend: %w", err)
	}
	for _, l := range []struct {
		service service
		open    func(string) (int, string, error)
		addr    *string
	}{
		{echoListener, listen, &b.addrs.Echo},
		{bulkListener, listen, &b.addrs.Bulk},
		{onceListener, listen, &b.addrs.Once},
		{mixListener, listen, &b.addrs.Mix},
		{udpEchoSocket, listenUDP, &b.addrs.UDPEcho},
		{udpNameSocket, listenUDP, &b.addrs.UDPName},
		{udpBulkSocket, listenUDP, &b.addrs.UDPBulk},
		{dnsSocket, listenUDP, &b.addrs.DNS},
	} {
		fd, addr, err := l.open(host + ":0")
		if err == nil {
			*l.addr = addr
			b.add(fd, l.service)
			err = p.control(unix.EPOLL_CTL_ADD, fd, int32(fd), unix.EPOLLIN)
		}
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("backend: %w", err)
		}
	}
	return b, nil
}

// Addrs returns where the services listen.
func (b *Backend) Addrs() Services { return b.addrs }

// Stop makes Run return within 50 ms. It may be called from any goroutine.
func (b *Backend) Stop() { b.stop.Store(true) }

// Close closes every socket. Call it after Run, not during.
func (b *Backend) Close() {
	for fd, c := range b.conns {
		if c != nil {
			closeFD(fd)
		}
	}
	b.conns = nil
	b.poll.close()
}

// Run serves until Stop. What a client does wrong ends that client's
// connection, never the backend.
func (b *Backend) Run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for !b.stop.Load() {
		events := b.poll.wait()
		for i, ev := range events {
			c := b.conns[ev.Fd]
			if c == nil {
				continue
			}
			// An event of a descriptor that was closed and taken again in
			// this batch finds nothing to do: reads and writes say EAGAIN.
			switch c.service {
			case echoListener, bulkListener, onceListener, mixListener:
				if err := b.accept(c); err != nil {
					return fmt.Errorf("backend: %w", err)
				}
			case echoConn:
				b.echo(c, ev.Events)
			case bulkConn:
				b.transfer(c, ev.Events)
			case onceConn:
				b.once(c)
			case mixConn:
				b.choose(c)
			case politeConn:
				b.waiting = append(b.waiting, int32(i))
			case udpEchoSocket:
				b.udpEcho(c.fd)
			case udpNameSocket:
				b.udpName(c.fd)
			case udpBulkSocket:
				b.udpBulk(c.fd)
			case dnsSocket:
				b.dns(c.fd)
			}
		}
		b.serveWaiting(events)
	}
	return nil
}

func (b *Backend) add(fd int, s service) *peer {
	for fd >= len(b.conns) {
		b.conns = append(b.conns, make([]*peer, 1024)...)
	}
	var c *peer
	if n := len(b.free); n > 0 {
		c, b.free = b.free[n-1], b.free[:n-1]
	} else {
		c = new(peer)
	}
	*c = peer{fd: fd, service: s, pending: c.pending[:0]}
	b.conns[fd] = c
	return c
}

func (b *Backend) drop(c *peer) {
	b.conns[c.fd] = nil
	closeFD(c.fd)
	c.service = unused
	b.free = append(b.free, c)
}

func (b *Backend) accept(l *peer) error {
	for {
		fd, e := acceptFD(l.fd)
		switch {
		case e == syscall.EAGAIN || e == syscall.EINTR || e == syscall.ECONNABORTED:
			return nil
		case e != 0:
			return fmt.Errorf("accept on %s: %w", b.addrs.name(l.service), e)
		}
		switch l.service {
		case echoListener:
			setIntFD(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			b.watch(b.add(fd, echoConn), edgeAll)
		case bulkListener:
			b.watch(b.add(fd, bulkConn), unix.EPOLLIN)
		case mixListener:
			setIntFD(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			b.watch(b.add(fd, mixConn), unix.EPOLLIN)
		case onceListener:
			// The request is mostly there already: then the connection is
			// answered and closed without ever being registered.
			c := b.add(fd, onceConn)
			if b.once(c) {
				b.watch(c, unix.EPOLLIN)
			}
		}
	}
}

func (a Services) name(s service) string {
	switch s {
	case echoListener:
		return "echo " + a.Echo
	case bulkListener:
		return "bulk " + a.Bulk
	case mixListener:
		return "mix " + a.Mix
	default:
		return "once " + a.Once
	}
}

func (b *Backend) watch(c *peer, events uint32) {
	if err := b.poll.control(unix.EPOLL_CTL_ADD, c.fd, int32(c.fd), events); err != nil {
		b.drop(c)
	}
}

// echo returns what came. Registered edge-triggered: it reads until a short
// read, or to the end when the peer's FIN is already announced.
func (b *Backend) echo(c *peer, events uint32) {
	for {
		if len(c.pending) > 0 {
			n, e := writeFD(c.fd, c.pending)
			if e != 0 && e != syscall.EAGAIN {
				b.drop(c)
				return
			}
			c.pending = c.pending[:copy(c.pending, c.pending[n:])]
			if len(c.pending) > 0 {
				return
			}
		}
		if c.eof {
			b.drop(c)
			return
		}
		n, e := readFD(c.fd, b.buf)
		if e == syscall.EAGAIN {
			return
		}
		if e != 0 {
			b.drop(c)
			return
		}
		if n == 0 {
			c.eof = true
			continue
		}
		w, e := writeFD(c.fd, b.buf[:n])
		if e != 0 && e != syscall.EAGAIN {
			b.drop(c)
			return
		}
		if w < n {
			c.pending = append(c.pending, b.buf[w:n]...)
			continue
		}
		if n < len(b.buf) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return
		}
	}
}

// once answers a whole request and closes first, so that the TIME_WAIT lies
// where it holds no ephemeral port. It reports whether c is still open.
func (b *Backend) once(c *peer) bool {
	n, e := readFD(c.fd, b.buf[c.have:onceSize])
	switch {
	case e == syscall.EAGAIN:
		return true
	case e != 0 || n == 0:
		b.drop(c)
		return false
	}
	if c.have > 0 || n < onceSize {
		// A request in pieces is kept; it is not the usual case.
		c.pending = append(c.pending, b.buf[c.have:c.have+n]...)
		if c.have += n; c.have < onceSize {
			return true
		}
		copy(b.buf, c.pending)
	}
	writeFD(c.fd, b.buf[:onceSize]) // fits an empty socket buffer
	b.drop(c)
	return false
}
