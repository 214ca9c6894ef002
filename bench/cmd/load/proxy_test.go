package main

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// spoiler alters what passes through the bad proxy. off is where b begins in
// the stream of one direction of one connection; err ends that direction and
// closes the connection after what it returned was written.
type spoiler func(off int64, b []byte) ([]byte, error)

var errCut = errors.New("cut")

func honest(_ int64, b []byte) ([]byte, error) { return b, nil }

// flip alters the byte at offset n.
func flip(n int64) spoiler {
	return func(off int64, b []byte) ([]byte, error) {
		if n >= off && n < off+int64(len(b)) {
			b[n-off] ^= 0x20
		}
		return b, nil
	}
}

// cut ends the stream after n bytes.
func cut(n int64) spoiler {
	return func(off int64, b []byte) ([]byte, error) {
		if n < off+int64(len(b)) {
			return b[:max(n-off, 0)], errCut
		}
		return b, nil
	}
}

// lose drops one byte at offset n.
func lose(n int64) spoiler {
	return func(off int64, b []byte) ([]byte, error) {
		if n >= off && n < off+int64(len(b)) {
			return append(b[:n-off], b[n-off+1:]...), nil
		}
		return b, nil
	}
}

// double repeats the byte at offset n.
func double(n int64) spoiler {
	return func(off int64, b []byte) ([]byte, error) {
		if n >= off && n < off+int64(len(b)) {
			return append(b[:n-off+1:n-off+1], b[n-off:]...), nil
		}
		return b, nil
	}
}

// proxy forwards to backend, with up spoiling what goes there and down what
// comes back, and returns where it listens.
func proxy(t *testing.T, backend string, up, down spoiler) string {
	t.Helper()
	return proxyOf(t, backend, path{up: up, down: down, piece: 64 << 10})
}

// crumbs is an honest proxy that writes piece bytes at a time.
func crumbs(t *testing.T, backend string, piece int) string {
	t.Helper()
	return proxyOf(t, backend, path{up: honest, down: honest, piece: piece})
}

// path is what becomes of a connection's bytes.
type path struct {
	up, down spoiler
	piece    int // the most bytes of one write
}

func proxyOf(t *testing.T, backend string, p path) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.forward(c, backend) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

func (p path) forward(client net.Conn, backend string) {
	defer client.Close()
	server, err := net.Dial("tcp4", backend)
	if err != nil {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	pump := func(to, from net.Conn, s spoiler) {
		b := make([]byte, 64<<10)
		for off := int64(0); ; {
			n, err := from.Read(b)
			out, cut := s(off, b[:n])
			off += int64(n)
			var e error
			for piece := range slices.Chunk(out, p.piece) {
				if _, e = to.Write(piece); e != nil {
					break
				}
			}
			if e != nil || cut != nil || err != nil && !errors.Is(err, io.EOF) {
				client.Close()
				server.Close()
				return
			}
			if err != nil {
				_ = to.(*net.TCPConn).CloseWrite()
				return
			}
		}
	}
	both.Go(func() { pump(server, client, p.up) })
	both.Go(func() { pump(client, server, p.down) })
	both.Wait()
}
