package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"weir/cmd/weir/internal/build"
	"weir/eventloop"
)

// socketKey is what makes two sockets interchangeable: what was fixed when they were bound.
type socketKey struct {
	addr      netip.AddrPort
	v6Only    bool
	datagrams bool
	owner     string // with port 0: the listener and which of its addresses, since each gets a port of its own
}

// sockets are the listening sockets, one for each loop. The loops own the descriptors, and close them only when told to by the Control.
type sockets map[socketKey]socket

type socket struct {
	fds     []int // by loop
	at      netip.AddrPort
	options build.Socket
}

func keys(l *build.Listener) []socketKey {
	all := make([]socketKey, len(l.Sockets))
	for i, o := range l.Sockets {
		all[i] = socketKey{addr: o.Addr, v6Only: o.V6Only && o.Addr.Addr() == netip.IPv6Unspecified(), datagrams: o.Datagrams()}
		if o.Addr.Port() == 0 {
			all[i].owner = l.Name + "#" + strconv.Itoa(i)
		}
	}
	return all
}

// opened are the sockets of the next configuration.
type opened struct {
	sockets sockets
	bound   map[string][]netip.AddrPort
	listen  map[string][][]int // by listener that needs other sockets: descriptors by loop
	retune  []socket           // that go on with other options
	fresh   []int              // all descriptors that were opened or duplicated
}

// open gets the sockets that next needs: those there are, as they are or as duplicates, and new ones. On an error
// nothing has changed.
func (c *Control) open(next *build.Running) (*opened, error) {
	o := &opened{sockets: sockets{}, bound: map[string][]netip.AddrPort{}, listen: map[string][][]int{}}
	for _, l := range next.Listeners {
		if err := c.openListener(o, l); err != nil {
			o.close()
			return nil, fmt.Errorf("listener %q: %w", l.Name, err)
		}
	}
	return o, nil
}

func (c *Control) openListener(o *opened, l *build.Listener) error {
	want := keys(l)
	old := c.running.Listener(l.Name)
	keep := old != nil && slices.Equal(keys(old), want)
	for _, key := range want {
		if _, have := c.sockets[key]; !have {
			keep = false
		}
	}
	byLoop := make([][]int, len(c.loops))
	for i, key := range want {
		s, have := c.sockets[key]
		switch {
		case have && keep:
		case have:
			var err error
			if s.fds, err = duplicate(s.fds); err != nil {
				return err
			}
			o.fresh = append(o.fresh, s.fds...)
		default:
			if err := c.listenFresh(&s, l.Sockets[i]); err != nil {
				return err
			}
			o.fresh = append(o.fresh, s.fds...)
		}
		if have && s.options != l.Sockets[i] {
			if err := tryOptions(l.Sockets[i]); err != nil {
				return err
			}
			s.options = l.Sockets[i]
			o.retune = append(o.retune, s)
		}
		o.sockets[key] = s
		o.bound[l.Name] = append(o.bound[l.Name], s.at)
		for loop, fd := range s.fds {
			byLoop[loop] = append(byLoop[loop], fd)
		}
	}
	if !keep {
		o.listen[l.Name] = byLoop
	}
	return nil
}

// listenFresh opens sockets on an address that has none.
func (c *Control) listenFresh(s *socket, options build.Socket) (err error) {
	if !c.usesPort(options.Addr.Port(), options.Datagrams()) {
		if err := probe(options); err != nil {
			return fmt.Errorf("listen on %s: %w", options.Addr, err)
		}
	}
	if options.Datagrams() {
		s.fds, err = eventloop.ListenDatagrams(options.UDP, len(c.loops))
	} else {
		s.fds, err = eventloop.Listen(options.TCP, len(c.loops))
	}
	if err != nil {
		return err
	}
	s.options = options
	if s.at, err = eventloop.ListeningOn(s.fds[0]); err != nil {
		closeAll(s.fds)
	}
	return err
}

// usesPort reports whether weir itself has the port, or had it for UDP, whose flows may keep their socket for as long as they drain.
func (c *Control) usesPort(port uint16, datagrams bool) bool {
	if datagrams && time.Now().Before(c.drained[port]) {
		return true
	}
	for _, l := range c.running.Listeners { // and not c.sockets, which lacks those that only some loops have
		if (l.UDP != nil) == datagrams && slices.ContainsFunc(c.bound[l.Name], func(at netip.AddrPort) bool { return at.Port() == port }) {
			return true
		}
	}
	return false
}

// noteDrained remembers, for as long as a drain takes, the UDP ports of sockets that next doesn't have any more.
func (c *Control) noteDrained(next sockets, over time.Duration) {
	for key, s := range c.sockets {
		if _, stays := next[key]; !stays && s.options.Datagrams() {
			c.drained[s.at.Port()] = time.Now().Add(over + time.Second)
		}
	}
}

// close undoes open.
func (o *opened) close() { closeAll(o.fresh) }

// tune gives the sockets that go on their other options. They were tried before, so what fails now is not worth giving up for.
func (o *opened) tune() {
	for _, s := range o.retune {
		for _, fd := range s.fds {
			if s.options.Datagrams() {
				eventloop.SetDatagramOptions(fd, s.at.Addr().Is6(), s.options.UDP)
				continue
			}
			_ = setOptions(fd, s.options.TCP)
			_ = unix.Listen(fd, backlog(s.options.TCP))
		}
	}
}

func duplicate(fds []int) ([]int, error) {
	var dups []int
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			closeAll(dups)
			return nil, fmt.Errorf("duplicate a listening socket: %w", err)
		}
		dups = append(dups, dup)
	}
	return dups, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// probe finds out whether somebody else listens on the address. The sockets proper could not tell: with SO_REUSEPORT
// they would share the connections with another process of the same user.
func probe(o build.Socket) error {
	addr := o.Addr.Addr()
	if o.Addr.Port() == 0 || addr.Zone() != "" {
		return nil
	}
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(o.Addr.Port()), Addr: addr.As16()})
	if addr.Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(o.Addr.Port()), Addr: addr.As4()}
	}
	kind := unix.SOCK_STREAM
	if o.Datagrams() {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // the sockets proper will say so, or do without
	}
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !o.Datagrams() { // to which it would mean what SO_REUSEPORT does
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if family == unix.AF_INET6 {
		only := 0
		if o.V6Only {
			only = 1
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if err := unix.Bind(fd, sa); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}
