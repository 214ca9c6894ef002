package tcp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"

	"weir/l4"
)

func TestEcho(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{}, b.addr)
	c := r.dial()
	for i := range 100 {
		msg := fmt.Sprintf("message %d", i)
		mustWrite(t, c, msg)
		mustRead(t, c, msg)
	}
	_ = c.CloseWrite()
	mustEOF(t, c)
	r.wantClosed(l4.DownstreamClosed, 1)
	got := r.bytes()
	if got.Of(l4.ToUpstream) != got.Of(l4.ToDownstream) || got[l4.ToUpstream][l4.Copied] == 0 {
		t.Fatalf("counted %v", got)
	}
	if n := r.cluster.Endpoints[0].Loops[0].Sessions.Load(); n != 1 {
		t.Fatalf("endpoint counted %d sessions", n)
	}
}

// What is sent after the other side's FIN still arrives, and ends with a FIN.
func TestHalfClose(t *testing.T) {
	for _, first := range []string{"downstream", "upstream"} {
		t.Run(first, func(t *testing.T) {
			b := newBackend(t)
			r := newRig(t, rigOptions{}, b.addr)
			near, far := r.pair(b)
			reason := l4.DownstreamClosed
			if first == "upstream" {
				near, far = far, near
				reason = l4.UpstreamClosed
			}
			mustWrite(t, near, "request")
			if err := near.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			mustRead(t, far, "request")
			mustEOF(t, far)
			for range 3 {
				mustWrite(t, far, "answer after the FIN")
				mustRead(t, near, "answer after the FIN")
			}
			if err := far.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			mustEOF(t, near)
			r.wantClosed(reason, 1)
		})
	}
}

// noise writes n pseudo-random bytes and a FIN, and returns their hash.
func noise(c *net.TCPConn, n int64, seed uint64) (string, error) {
	src := rand.NewChaCha8([32]byte{byte(seed)})
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(c, h), src, n); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), c.CloseWrite()
}

// digest reads to the end of the stream and returns its length and hash.
func digest(c *net.TCPConn) (int64, string, error) {
	h := sha256.New()
	n, err := io.Copy(h, struct{ io.Reader }{c})
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// 100 MB each way at once, hashes equal, with splice engaged and counted; the same without splice.
func TestBulkBothWays(t *testing.T) {
	const size = 100_000_000
	for _, copyOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("copy=%v", copyOnly), func(t *testing.T) {
			b := newBackend(t)
			r := newRig(t, rigOptions{copy: copyOnly, loops: 2}, b.addr)
			client, server := r.pair(b)
			ends := []*net.TCPConn{client, server}
			var sent, got [2]string
			var errs [4]error
			var wg sync.WaitGroup
			for i := range 2 {
				wg.Go(func() { sent[i], errs[i] = noise(ends[i], size, uint64(i)) })
				wg.Go(func() {
					var n int64
					n, got[i], errs[2+i] = digest(ends[i])
					if n != size && errs[2+i] == nil {
						errs[2+i] = fmt.Errorf("got %d bytes of %d", n, int64(size))
					}
				})
			}
			wg.Wait()
			if err := errors.Join(errs[:]...); err != nil {
				t.Fatal(err)
			}
			if sent[0] != got[1] || sent[1] != got[0] {
				t.Fatal("hashes differ")
			}
			sum := r.bytes()
			for _, d := range []l4.Direction{l4.ToUpstream, l4.ToDownstream} {
				if sum.Of(d) != size {
					t.Fatalf("counted %d bytes in direction %d", sum.Of(d), d)
				}
				if spliced := sum[d][l4.Spliced]; copyOnly && spliced != 0 || !copyOnly && spliced < size/2 {
					t.Fatalf("spliced %d of %d bytes", spliced, int64(size))
				}
			}
		})
	}
}

func reset(t testing.TB, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// readToEnd reads until an error, which it returns (nil for EOF), with the number of bytes before it.
func readToEnd(c net.Conn) (int64, error) { return io.Copy(io.Discard, struct{ io.Reader }{c}) }

func mustReset(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := readToEnd(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes and %v, want a reset", n, err)
	}
}

// A reset on either side reaches the other as a reset.
func TestReset(t *testing.T) {
	for _, tc := range []struct {
		name     string
		upstream bool
		answered bool
		reason   l4.CloseReason
	}{
		{"client", false, true, l4.DownstreamReset},
		{"endpoint", true, true, l4.UpstreamReset},
		{"endpoint before its first byte", true, false, l4.UpstreamRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBackend(t)
			r := newRig(t, rigOptions{}, b.addr)
			client, server := r.pair(b)
			mustWrite(t, client, "hello")
			mustRead(t, server, "hello")
			if tc.answered {
				mustWrite(t, server, "world")
				mustRead(t, client, "world")
			}
			near, far := client, server
			if tc.upstream {
				near, far = server, client
			}
			reset(t, near)
			mustReset(t, far)
			r.wantClosed(tc.reason, 1)
		})
	}
}

// A reset also reaches a side that has sent its FIN, and one that has more to read than it has read.
func TestResetHalfClosed(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, rigOptions{}, b.addr)
	client, server := r.pair(b)
	mustWrite(t, client, "last words")
	_ = client.CloseWrite()
	mustRead(t, server, "last words")
	mustEOF(t, server)
	mustWrite(t, server, "half an ans")
	mustRead(t, client, "half an ans")
	reset(t, server)
	mustReset(t, client)
	r.wantClosed(l4.UpstreamReset, 1)
}

// A reset with bytes in flight in both directions, spliced and copied, while the other side doesn't read, or reads: it gets a reset, never an end.
func TestResetInFlight(t *testing.T) {
	for _, copyOnly := range []bool{false, true} {
		for _, fromUpstream := range []bool{false, true} {
			for _, reads := range []bool{false, true} {
				t.Run(fmt.Sprintf("copy=%v/upstream=%v/reads=%v", copyOnly, fromUpstream, reads), func(t *testing.T) {
					b := newBackend(t)
					r := newRig(t, rigOptions{copy: copyOnly}, b.addr)
					client, server := r.pair(b)
					mustWrite(t, server, "x")
					mustRead(t, client, "x")
					near, far := client, server
					reason := l4.DownstreamReset
					if fromUpstream {
						near, far = server, client
						reason = l4.UpstreamReset
					}
					done := make(chan struct{})
					go func() { // near pushes as much as it can
						defer close(done)
						buf := make([]byte, 1<<20)
						for {
							if _, err := near.Write(buf); err != nil {
								return
							}
						}
					}()
					const enough = 8 << 20
					if reads {
						if _, err := io.CopyN(io.Discard, struct{ io.Reader }{far}, enough); err != nil {
							t.Fatal(err)
						}
					} else {
						// Until all buffers on the way are full: the counters stand still.
						last := uint64(1)
						same := 0
						r.eventually("buffers are full", func() bool {
							sum := r.bytes()
							n := sum.Of(l4.ToUpstream) + sum.Of(l4.ToDownstream)
							if n != last {
								same, last = 0, n
							} else {
								same++
							}
							return n > 1 && same > 50
						})
					}
					reset(t, near)
					<-done
					mustReset(t, far)
					r.wantClosed(reason, 1)
				})
			}
		}
	}
}

// An endpoint that dies in the middle of an answer of known length never looks like one that has finished it.
func TestCutAnswer(t *testing.T) {
	b := serve(t, func(c *net.TCPConn) {
		var req [1]byte
		_, _ = c.Read(req[:])
		_, _ = c.Write(make([]byte, 3_000_000))
		_ = c.SetLinger(0)
	})
	r := newRig(t, rigOptions{}, b.addr)
	for range 20 {
		c := r.dial()
		mustWrite(t, c, "?")
		n, err := readToEnd(c)
		if err == nil {
			t.Fatalf("the cut answer ended cleanly after %d bytes", n)
		}
	}
	r.wantClosed(l4.UpstreamReset, 20)
}

// An answer, then FIN, then a reset because the client went on sending: the answer arrives.
func TestAnswerBeforeReset(t *testing.T) {
	b := serve(t, func(c *net.TCPConn) {
		var req [7]byte
		_, _ = io.ReadFull(c, req[:])
		_, _ = c.Write([]byte("403 no"))
		// Closed with unread data in the queue: the kernel sends RST.
	})
	r := newRig(t, rigOptions{}, b.addr)
	c := r.dial()
	mustWrite(t, c, "request and a body that nobody reads")
	mustRead(t, c, "403 no")
	_, _ = readToEnd(c)
	r.eventually("the session ended", func() bool { return r.shared.Active() == 0 })
}

// Clients that come and go at random, with random sizes and ends: every byte that was acknowledged by an orderly end arrived.
func TestManySessions(t *testing.T) {
	b := serve(t, echo)
	r := newRig(t, rigOptions{loops: 2}, b.addr)
	const workers, each = 16, 60
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for k := range each {
				if err := oneSession(r.addr, rng); err != nil {
					errs <- fmt.Errorf("worker %d, session %d: %w", w, k, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	r.eventually("all sessions ended", func() bool { return r.shared.Active() == 0 })
	var ended uint64
	for reason := range l4.NumReasons {
		ended += r.closed(reason)
	}
	if ended != workers*each {
		t.Fatalf("%d sessions ended, want %d:%s", ended, workers*each, r.reasons())
	}
}

func oneSession(addr string, rng *rand.Rand) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c := conn.(*net.TCPConn)
	defer func() { _ = c.Close() }()
	size := rng.IntN(1 << rng.IntN(21))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	if rng.IntN(8) == 0 {
		_ = c.SetLinger(0) // and leaves with a reset
		_, err := c.Write(data[:size/2])
		return err
	}
	go func() {
		_, _ = c.Write(data)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(struct{ io.Reader }{c})
	if err != nil {
		return err
	}
	if string(got) != string(data) {
		return fmt.Errorf("echo of %d bytes differs (%d came back)", size, len(got))
	}
	return nil
}
