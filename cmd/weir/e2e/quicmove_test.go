package e2e

import (
	"context"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// serverIDs makes connection IDs that say which server they belong to, as draft-ietf-quic-load-balancers has them in plaintext: an octet
// with three bits of the configuration (0) and five of no meaning, the server's ID, and a nonce.
type serverIDs []byte

func (s serverIDs) GenerateConnectionID() (quic.ConnectionID, error) {
	b := make([]byte, s.ConnectionIDLen())
	_, _ = crand.Read(b) // never fails
	b[0] &= 1<<5 - 1
	copy(b[1:], s)
	return quic.ConnectionIDFromBytes(b), nil
}

func (s serverIDs) ConnectionIDLen() int { return 1 + len(s) + 6 }

// nat stands between one client and a server, as a router at home does: what the client sends comes from the router's port. When it moves to another port, the
// client doesn't notice, and what is still on its way to the old one is lost.
type nat struct {
	t       *testing.T
	to      *net.UDPAddr
	inside  *net.UDPConn
	outside atomic.Pointer[net.UDPConn]
	client  atomic.Pointer[netip.AddrPort]
	last    atomic.Int64 // when the client sent last, in Unix nanoseconds
	moves   int
}

func newNAT(t *testing.T, to string) *nat {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp4", to)
	if err != nil {
		t.Fatal(err)
	}
	n := &nat{t: t, to: addr, inside: listenUDP(t)}
	n.move()
	n.moves = 0
	go n.out()
	return n
}

// out takes what the client sends, until the test closes the socket.
func (n *nat) out() {
	for b := make([]byte, 64<<10); ; {
		k, from, err := n.inside.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		n.client.Store(&from)
		n.last.Store(time.Now().UnixNano())
		_, _ = n.outside.Load().Write(b[:k])
	}
}

// move takes another port.
func (n *nat) move() {
	n.t.Helper()
	c, err := net.DialUDP("udp4", nil, n.to)
	if err != nil {
		n.t.Fatal(err)
	}
	roomy(c)
	n.t.Cleanup(func() { _ = c.Close() })
	go func() {
		for b := make([]byte, 64<<10); ; {
			k, err := c.Read(b)
			if k > 0 {
				_, _ = n.inside.WriteToUDPAddrPort(b[:k], *n.client.Load())
			}
			if errors.Is(err, net.ErrClosed) { // any other is of a datagram that was refused
				return
			}
		}
	}()
	if old := n.outside.Swap(c); old != nil {
		_ = old.Close()
	}
	n.moves++
}

// twoServers are HTTP/3 servers with IDs, which name themselves by them, and a configuration with the two.
func twoServers(t *testing.T) (servers [2]*h3Server, pool *x509.CertPool, config string) {
	t.Helper()
	cert, pool := certified(t, "a.example.com")
	config = hurried + `
[listeners.in]
bind = "127.0.0.1:0"
protocol = "udp"
cluster = "out"
udp = { quic = true }
`
	for i := range servers {
		id := serverIDs{0x0a, byte(i + 1)}
		name := hex.EncodeToString(id)
		servers[i] = serveHTTP3(t, name, cert, id)
		config += fmt.Sprintf("[[clusters.out.endpoints]]\naddress = %q\nserver_id = %q\n", servers[i].addr, name)
	}
	return servers, pool, config
}

// everyNth calls do each time that so many more bytes have come.
func everyNth(bytes int64, do func()) func(came int64) {
	next := bytes
	return func(came int64) {
		for ; came >= next; next += bytes {
			do()
		}
	}
}

// A client whose port changes in the middle of a transfer, and changes again, stays with its server: the connection IDs say which it is.
func TestQUICMoves(t *testing.T) {
	_, pool, config := twoServers(t)
	w := weir(t, config)
	size := transfer()
	moves := 0
	for range 2 {
		n := newNAT(t, w.at())
		c := newH3Client(t, n.inside.LocalAddr().String(), pool)
		start := time.Now()
		server, _ := c.fetch("a.example.com", size/2, everyNth(size/10, n.move))
		took := time.Since(start)
		n.move()
		if again, _ := c.fetch("a.example.com", 1<<20, nil); again != server {
			t.Errorf("the transfer was from %s, another one on the same connection from %s", server, again)
		}
		moves += n.moves
		t.Logf("%d bytes from %s while the port changed %d times: %.0f Mbit/s", size/2, server, n.moves, float64(size/2)*8/took.Seconds()/1e6)
		c.close()
	}
	l := w.lossless(probing, "refused") // by ports that the client has no more
	t.Logf("%d flows, %+v, %d lost, %d refused", l.Connections.Total, l.Datagrams, l.Dropped[probing], l.Dropped["refused"])
	w.spread()
}

// Without the IDs it would be lost: what TestQUICMoves sees isn't luck.
func TestQUICMovesNeedIDs(t *testing.T) {
	_, pool, config := twoServers(t)
	w := weir(t, strings.Replace(config, "quic = true", "quic = false", 1))
	n := newNAT(t, w.at())
	c := newH3Client(t, n.inside.LocalAddr().String(), pool)
	c.http.QUICConfig.MaxIdleTimeout = time.Second
	_, _, err := c.get("a.example.com", 100<<20, everyNth(1<<20, n.move))
	if idle := new(quic.IdleTimeoutError); !errors.As(err, &idle) {
		t.Errorf("after %d moves the transfer ended with %v", n.moves, err)
	}
}

// Connections that come from one port, as those behind a NAT may, have each their own server. They begin at a port each, which is how they
// come to different servers: where a port's first datagram goes, there goes what begins later.
func TestQUICConnectionsOfOnePort(t *testing.T) {
	servers, pool, config := twoServers(t)
	w := weir(t, config)
	n := newNAT(t, w.at())
	c := newH3Client(t, n.inside.LocalAddr().String(), pool)
	c.http.QUICConfig.KeepAlivePeriod, c.http.QUICConfig.DisablePathMTUDiscovery = 0, true
	c.trust.ServerName = "a.example.com"
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const size = 1 << 20
	var conns [4]*http3.ClientConn
	for i := range conns {
		eventually(t, "the others have no more to say", func() bool { return time.Since(time.Unix(0, n.last.Load())) > 100*time.Millisecond })
		n.move()
		conn, err := c.quic.Dial(ctx, c.to, c.trust, c.http.QUICConfig)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns[i] = c.http.NewClientConn(conn)
	}
	var of [len(conns)]string // the server of each
	for round := range 3 {
		var all sync.WaitGroup
		for i, conn := range conns {
			all.Go(func() {
				server, _, err := getFrom(t, conn, c.trust.ServerName, size, nil)
				if err != nil {
					t.Errorf("round %d, connection %d: %v", round, i, err)
				} else if round > 0 && server != of[i] {
					t.Errorf("connection %d was with %s, and is with %s", i, of[i], server)
				}
				of[i] = server
			})
		}
		all.Wait()
	}
	l := w.lossless(probing, "refused")
	t.Logf("servers %v; %d flows, %+v", of, l.Connections.Total, l.Datagrams)
	for i, s := range servers {
		if s.requests.Load() == 0 {
			t.Errorf("server %d has had no connection", i)
		}
	}
}
