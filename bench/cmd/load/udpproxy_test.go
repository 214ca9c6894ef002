package main

import (
	"net"
	"net/netip"
	"sync"
	"testing"
)

// mangler says what becomes of the n-th datagram, from 0, of one direction of
// the whole proxy.
type mangler func(n int, b []byte) [][]byte

func whole(_ int, b []byte) [][]byte { return [][]byte{b} }

// at spoils the n-th datagram and leaves the others.
func at(n int, spoil func(b []byte) [][]byte) mangler {
	return func(k int, b []byte) [][]byte {
		if k != n {
			return [][]byte{b}
		}
		return spoil(b)
	}
}

func dropped([]byte) [][]byte     { return nil }
func twice(b []byte) [][]byte     { return [][]byte{b, b} }
func truncated(b []byte) [][]byte { return [][]byte{b[:len(b)-1]} }
func lengthened(b []byte) [][]byte {
	return [][]byte{append(b[:len(b):len(b)], 0)}
}
func emptied([]byte) [][]byte { return [][]byte{{}} }
func altered(b []byte) [][]byte {
	b[len(b)-1] ^= 0x20
	return [][]byte{b}
}
func halved(b []byte) [][]byte { return [][]byte{b[:len(b)/2], b[len(b)/2:]} }

// swap lets datagram n+1 overtake datagram n.
func swap(n int) mangler {
	var held []byte
	return func(k int, b []byte) [][]byte {
		switch k {
		case n:
			held = append([]byte(nil), b...)
			return nil
		case n + 1:
			return [][]byte{b, held}
		}
		return [][]byte{b}
	}
}

// every drops each n-th datagram.
func every(n int) mangler {
	return func(k int, b []byte) [][]byte {
		if k%n == n-1 {
			return nil
		}
		return [][]byte{b}
	}
}

// udpProxy forwards datagrams to backend, each client from a socket of its own,
// and returns where it listens.
func udpProxy(t *testing.T, backend string, up, down mangler) string {
	t.Helper()
	return startUDPProxy(t, &datagramProxy{backend: backend, up: up, down: down})
}

// forgetfulProxy takes every datagram for the first one of a flow.
func forgetfulProxy(t *testing.T, backend string) string {
	t.Helper()
	return startUDPProxy(t, &datagramProxy{backend: backend, up: whole, down: whole, forgets: true})
}

func startUDPProxy(t *testing.T, p *datagramProxy) string {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = front.SetReadBuffer(4 << 20)
	p.front, p.flows = front, map[netip.AddrPort]*net.UDPConn{}
	p.all.Go(p.serve)
	t.Cleanup(func() {
		front.Close()
		p.all.Wait()
	})
	return front.LocalAddr().String()
}

type datagramProxy struct {
	front   *net.UDPConn
	backend string
	up      mangler
	forgets bool
	flows   map[netip.AddrPort]*net.UDPConn // serve's own
	all     sync.WaitGroup

	answers sync.Mutex // orders what goes to the clients, and counts it
	down    mangler
	counted int
}

func (p *datagramProxy) serve() {
	defer func() {
		for _, c := range p.flows {
			c.Close()
		}
	}()
	b := make([]byte, 64<<10)
	for n := 0; ; n++ {
		size, client, err := p.front.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		c := p.flows[client]
		if c != nil && p.forgets {
			c.Close()
			c = nil
		}
		if c == nil {
			to, err := net.Dial("udp4", p.backend)
			if err != nil {
				return
			}
			c = to.(*net.UDPConn)
			_ = c.SetReadBuffer(4 << 20)
			p.flows[client] = c
			p.all.Go(func() { p.answer(c, client) })
		}
		for _, d := range p.up(n, b[:size]) {
			_, _ = c.Write(d)
		}
	}
}

func (p *datagramProxy) answer(c *net.UDPConn, client netip.AddrPort) {
	b := make([]byte, 64<<10)
	for {
		size, err := c.Read(b)
		if err != nil {
			return
		}
		p.answers.Lock()
		for _, d := range p.down(p.counted, b[:size]) {
			_, _ = p.front.WriteToUDPAddrPort(d, client)
		}
		p.counted++
		p.answers.Unlock()
	}
}
