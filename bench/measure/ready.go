package measure

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// receiving waits until something is bound to the UDP address addr, and nobody
// else any more: where each thread has a socket of its own (SO_REUSEPORT), one
// that comes later would take over flows that have begun. What is sent from then
// on is queued, even where nobody reads it yet.
func (c *child) receiving(ctx context.Context, addr string) error {
	line, err := boundLine(addr)
	if err != nil {
		return err
	}
	var s sockets
	return c.until(ctx, func() error {
		text, err := os.ReadFile("/proc/net/udp")
		if err != nil {
			return err
		}
		if !s.settled(strings.Count(string(text), line), time.Now()) {
			return fmt.Errorf("%d sockets are bound to UDP %s", s.bound, addr)
		}
		return nil
	})
}

// settling is how long a contender gets to bind another socket.
const settling = 20 * time.Millisecond

// sockets is how many were bound, and since when.
type sockets struct {
	bound int
	since time.Time
}

// settled takes what a look found, and reports whether there are some and have been
// as many for a while.
func (s *sockets) settled(bound int, now time.Time) bool {
	if bound != s.bound {
		s.bound, s.since = bound, now
	}
	return bound > 0 && now.Sub(s.since) >= settling
}

// boundLine is how /proc/net/udp writes a socket bound to addr, an IPv4
// address with its port, and connected to nobody (proc_pid_net(5)): the four
// bytes as one number of the machine's own order, then the port.
func boundLine(addr string) (string, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || !a.Addr().Is4() {
		return "", fmt.Errorf("UDP address %q: want IPv4:PORT", addr)
	}
	ip := a.Addr().As4()
	return fmt.Sprintf(" %08X:%04X 00000000:0000 ", binary.NativeEndian.Uint32(ip[:]), a.Port()), nil
}

// freeFor returns an address that nobody has, for TCP and UDP.
func (p *ports) freeFor(protocol string) (string, error) {
	for {
		addr, err := p.free()
		if err != nil || protocol != "udp" {
			return addr, err
		}
		if c, err := net.ListenPacket("udp4", addr); err == nil {
			return addr, c.Close()
		}
	}
}
