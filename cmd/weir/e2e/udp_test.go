package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

// hurried has weir end soon after SIGTERM, though flows may be there for some time: UDP knows no end of a conversation.
const hurried = `
process.drain_timeout = "100ms"
`

// datagrams is a configuration of one UDP listener, "in", with further keys, and one cluster with these endpoints.
func datagrams(keys string, endpoints ...string) string {
	return datagramsAt("127.0.0.1:0", keys, endpoints...)
}

func datagramsAt(addr, keys string, endpoints ...string) string {
	return hurried + fmt.Sprintf(`
[listeners.in]
bind = %q
protocol = "udp"
cluster = "out"
%s
[clusters.out]
endpoints = [%s]
`, addr, keys, quote(endpoints...))
}

// bothOf is a configuration of a UDP listener, "in", and a TCP listener with the same address, and of one cluster for the two.
func bothOf(addr string, endpoints ...string) string {
	return datagramsAt(addr, "", endpoints...) + fmt.Sprintf(`
[listeners.stream]
bind = %q
cluster = "out"
`, addr)
}

// freePort returns a port of 127.0.0.1 that is free for TCP and for UDP. It is below those that sockets get which don't care
// (net.ipv4.ip_local_port_range), so none of the many that clients and flows take has it before its server does.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		stream, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		packets, err := net.ListenPacket("udp", addr)
		_ = stream.Close()
		if err == nil {
			_ = packets.Close()
			return addr
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// serveUDP starts a server on a free port and waits until it has the port, which says nothing of what it answers.
func serveUDP(t *testing.T, end os.Signal, with func(host, port string) *exec.Cmd) (p *program, addr string) {
	t.Helper()
	return serveAt(t, "udp", end, with)
}

// serveAt is serveUDP for servers of either network.
func serveAt(t *testing.T, network string, end os.Signal, with func(host, port string) *exec.Cmd) (p *program, addr string) {
	t.Helper()
	for range 3 {
		addr = freePort(t)
		p = launch(t, with(split(t, addr)), end)
		eventually(t, p.cmd.Path+" listens", func() bool { return !p.running() || taken(t, network, addr) })
		if p.running() {
			return p, addr
		}
		t.Logf("%s did not start: %s", p.cmd, &p.out)
	}
	t.Fatalf("%s does not start", p.cmd.Path)
	return nil, ""
}

// taken says whether a socket has this IPv4 address, without touching it: servers take whatever comes for a client.
func taken(t *testing.T, network, addr string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/" + network)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(addr)
	ip := at.Addr().As4() // which the table has as the machine's number
	local := fmt.Appendf(nil, ": %02X%02X%02X%02X:%04X ", ip[3], ip[2], ip[1], ip[0], at.Port())
	return bytes.Contains(table, local)
}

// listenUDP is a socket of the test's own, with room for what comes at once.
func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	u := c.(*net.UDPConn)
	roomy(u)
	return u
}

// roomy asks for large buffers; the kernel gives what it wants to.
func roomy(c *net.UDPConn) {
	_, _ = c.SetReadBuffer(4<<20), c.SetWriteBuffer(4<<20)
}

// lossless returns the counters of the listener "in", which must have dropped nothing, but for these reasons.
func (p *proxy) lossless(but ...string) *listener {
	p.t.Helper()
	l := p.stats().listener(p.t, "in")
	for reason, n := range l.Dropped {
		if n != 0 && !slices.Contains(but, reason) {
			p.t.Errorf("weir dropped %d datagrams: %s", n, reason)
		}
	}
	return l
}

// spread wants every endpoint of the cluster "out" to have had a share of the flows, and returns the shares.
func (p *proxy) spread() (shares []int) {
	p.t.Helper()
	for _, c := range p.stats().Clusters {
		if c.Name != "out" {
			continue
		}
		for _, e := range c.Endpoints {
			shares = append(shares, e.Connections.Total)
			if e.Connections.Total == 0 {
				p.t.Errorf("%s has had no flow", e.Address)
			}
		}
	}
	return shares
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// number returns what a program printed as a number.
func number(t *testing.T, text string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}
