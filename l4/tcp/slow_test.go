package tcp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weir/eventloop"
	"weir/l4"
)

// standstill waits until the listener's counters have not moved for a while: every buffer on the way is full.
func (r *rig) standstill() {
	r.t.Helper()
	last, same := uint64(0), 0
	r.eventually("nothing moves any more", func() bool {
		sum := r.bytes()
		n := sum.Of(l4.ToUpstream) + sum.Of(l4.ToDownstream)
		if n != last {
			last, same = n, 0
			return false
		}
		same++
		return n > 0 && same > 100
	})
}

// held returns the bytes that the session in the rig holds, by direction: in memory and in pipes.
func (r *rig) held() (chunks, pipes [2]int) {
	r.t.Helper()
	for i, loop := range r.loops {
		p := r.proxies[i]
		if err := loop.Do(func() {
			for j := range p.sessions.Cap() {
				s := p.sessions.At(j)
				for d := range s.dirs {
					for c := s.dirs[d].first; c != nil; c = c.Next {
						chunks[d] += eventloop.ChunkSize
					}
					pipes[d] += int(s.dirs[d].piped)
				}
			}
		}); err != nil {
			r.t.Fatal(err)
		}
	}
	return chunks, pipes
}

// A peer that stops reading: weir holds at most buffer and one pipe for it; when it reads on, nothing is lost or reordered. The loop
// sleeps meanwhile, however long that is.
func TestSlowReader(t *testing.T) {
	const size = 64 << 20
	for _, tc := range []struct {
		copy   bool
		buffer int
	}{{false, 0}, {true, 0}, {true, 4 << 10}, {true, 1 << 20}} {
		for _, toClient := range []bool{false, true} {
			t.Run(fmt.Sprintf("copy=%v/buffer=%d/toClient=%v", tc.copy, tc.buffer, toClient), func(t *testing.T) {
				b := newBackend(t)
				r := newRig(t, rigOptions{copy: tc.copy, settings: Settings{Buffer: tc.buffer}}, b.addr)
				fast, slow := r.pair(b)
				from := upstream
				if toClient {
					fast, slow = slow, fast
				} else {
					from = downstream
				}
				type result struct {
					sum string
					err error
				}
				sent := make(chan result, 1)
				go func() {
					sum, err := noise(fast, size, 7)
					sent <- result{sum, err}
				}()
				h := sha256.New()
				if _, err := io.CopyN(h, slow, 4<<20); err != nil {
					t.Fatal(err)
				}
				r.standstill()
				before := r.loops[0].Stats()
				chunks, pipes := r.held()
				limit := (&Settings{Buffer: tc.buffer}).buffer()
				if roundedUp := (limit + eventloop.ChunkSize - 1) / eventloop.ChunkSize * eventloop.ChunkSize; chunks[from] > roundedUp {
					t.Errorf("holds %d bytes in memory, buffer is %d", chunks[from], limit)
				}
				if pipes[from] > 1<<20 || tc.copy && pipes[from] != 0 {
					t.Errorf("holds %d bytes in a pipe", pipes[from])
				}
				if chunks[from]+pipes[from] == 0 {
					t.Error("holds nothing: the reader was not slow")
				}
				r.standstill()
				// What the sender still pushes into the kernel's buffers wakes the loop now and then. One that spins turns 100,000 times.
				if after := r.loops[0].Stats(); after.Batches-before.Batches > 500 {
					t.Errorf("the loop turned %d times with nothing to do", after.Batches-before.Batches)
				}
				if _, err := io.Copy(h, struct{ io.Reader }{slow}); err != nil {
					t.Fatal(err)
				}
				res := <-sent
				if res.err != nil {
					t.Fatal(res.err)
				}
				if hex.EncodeToString(h.Sum(nil)) != res.sum {
					t.Fatal("bytes were lost or reordered")
				}
			})
		}
	}
}

// behindSlowReader runs a test, with splicing and without, on a session whose client has not read a byte: weir holds what it may of total
// bytes, all of them x.
func behindSlowReader(t *testing.T, test func(t *testing.T, r *rig, client, server *net.TCPConn, total int)) {
	for _, copyOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("copy=%v", copyOnly), func(t *testing.T) {
			b := newBackend(t)
			r := newRig(t, rigOptions{copy: copyOnly}, b.addr)
			client, server := r.pair(b)
			test(t, r, client, server, r.fill(server))
		})
	}
}

// What a sender adds behind a slow receiver doesn't wake the loop each time: weir has bytes to give and doesn't want to hear of more. When
// the receiver reads on, all of it arrives, and so does what comes after.
func TestArrivalsBehindSlowReader(t *testing.T) {
	behindSlowReader(t, func(t *testing.T, r *rig, client, server *net.TCPConn, total int) {
		const arrivals = 100
		before := r.loops[0].Stats().Events
		for range arrivals {
			mustWrite(t, server, "x")
			r.full() // the loop has looked
		}
		if events := r.loops[0].Stats().Events - before; events > 5 {
			t.Errorf("%d events for %d arrivals that nobody waits for", events, arrivals)
		}
		mustRead(t, client, strings.Repeat("x", total+arrivals))
		mustWrite(t, server, "and on")
		mustRead(t, client, "and on")
		mustWrite(t, client, "and back")
		mustRead(t, server, "and back")
		if err := sendUrgent(server, '!'); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, server, "and after")
		mustRead(t, client, "and after")
	})
}

// An urgent byte and a FIN behind a slow receiver: weir is not told of the first, and must not take what is before it for all there is.
func TestUrgentDataBehindSlowReader(t *testing.T) {
	behindSlowReader(t, func(t *testing.T, r *rig, client, server *net.TCPConn, total int) {
		mustWrite(t, server, "x") // nobody waits for it: no more is told
		r.full()
		mustWrite(t, server, "abc")
		err := sendUrgent(server, '!')
		mustWrite(t, server, "def")
		if err := errors.Join(err, server.CloseWrite()); err != nil {
			t.Fatal(err)
		}
		mustRead(t, client, strings.Repeat("x", total+1)+"abcdef")
		mustEOF(t, client)
		mustWrite(t, client, "still here")
		mustRead(t, server, "still here")
	})
}

// fill sends from the endpoint of the only session, whose client doesn't read, until weir holds what it may, and returns how many
// bytes that took.
func (r *rig) fill(server *net.TCPConn) (total int) {
	r.t.Helper()
	block := strings.Repeat("x", 16<<10)
	for !r.full() {
		mustWrite(r.t, server, block)
		total += len(block)
	}
	return total
}

// full reports whether weir holds what it may for the client of the only session.
func (r *rig) full() (full bool) {
	r.t.Helper()
	p := r.proxies[0]
	if err := r.loops[0].Do(func() {
		s := p.sessions.At(0)
		d := &s.dirs[upstream]
		full = s.state == streaming && !s.sides[downstream].writable && (d.piped > 0 || int(d.held) >= s.settings.buffer())
	}); err != nil {
		r.t.Fatal(err)
	}
	return full
}

// A reader of random appetite against a writer of random sizes: modes change back and forth and every byte keeps its place.
func TestModesChange(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			b := newBackend(t)
			r := newRig(t, rigOptions{settings: Settings{Buffer: 16 << 10 << (seed % 4)}}, b.addr)
			client, server := r.pair(b)
			rng := rand.New(rand.NewPCG(seed, 2))
			const size = 24 << 20
			sent, done := sha256.New(), make(chan error, 1)
			go func() {
				wr := rand.New(rand.NewPCG(seed, 3))
				src := rand.NewChaCha8([32]byte{byte(seed)})
				buf := make([]byte, 1<<20)
				for left := size; left > 0; {
					n := min(left, 1+wr.IntN(1<<(4+wr.IntN(17))))
					_, _ = src.Read(buf[:n])
					sent.Write(buf[:n])
					if _, err := client.Write(buf[:n]); err != nil {
						done <- err
						return
					}
					left -= n
					if wr.IntN(4) == 0 {
						runtime.Gosched()
					}
				}
				done <- client.CloseWrite()
			}()
			got := sha256.New()
			buf := make([]byte, 1<<20)
			total := 0
			for {
				n, err := server.Read(buf[:1+rng.IntN(1<<(2+rng.IntN(18)))])
				got.Write(buf[:n])
				total += n
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if total != size || string(sent.Sum(nil)) != string(got.Sum(nil)) {
				t.Fatalf("got %d of %d bytes, or not the same", total, size)
			}
			sum := r.bytes()
			if sum[l4.ToUpstream][l4.Spliced] == 0 || sum[l4.ToUpstream][l4.Copied] == 0 {
				t.Fatalf("only one mode was used: %v", sum)
			}
		})
	}
}

// Urgent data in a spliced and in a copied stream: the loop neither spins nor stalls, and the ordinary bytes all arrive.
func TestUrgentData(t *testing.T) {
	for _, copyOnly := range []bool{false, true} {
		for _, bulk := range []bool{false, true} {
			t.Run(fmt.Sprintf("copy=%v/bulk=%v", copyOnly, bulk), func(t *testing.T) {
				b := newBackend(t)
				r := newRig(t, rigOptions{copy: copyOnly}, b.addr)
				client, server := r.pair(b)
				size := 1000
				if bulk {
					size = 1 << 20
				}
				const rounds = 20
				block := make([]byte, size)
				for i := range block {
					block[i] = byte('a' + i%23)
				}
				sendErr := make(chan error, 1)
				go func() {
					for range rounds {
						if _, err := client.Write(block); err != nil {
							sendErr <- err
							return
						}
						if err := sendUrgent(client, '!'); err != nil {
							sendErr <- err
							return
						}
					}
					if !bulk {
						sendErr <- nil // the stream stays open: the last byte sent is an urgent one
						return
					}
					sendErr <- client.CloseWrite()
				}()
				// The kernel keeps one urgent byte apart and drops it from the stream; those that a newer one overtakes
				// become ordinary (tcp(7), RFC 6093 section 3.1). All others must be there, in order.
				buf := make([]byte, 64<<10)
				for ordinary := 0; ordinary < size*rounds; {
					n, err := server.Read(buf)
					if err != nil {
						t.Fatalf("after %d ordinary bytes: %v", ordinary, err)
					}
					for _, c := range buf[:n] {
						if c == '!' {
							continue
						}
						if want := block[ordinary%size]; c != want {
							t.Fatalf("byte %d is %q, want %q", ordinary, c, want)
						}
						ordinary++
					}
				}
				if err := <-sendErr; err != nil {
					t.Fatal(err)
				}
				// Nothing left to do: the loop must rest, also with an urgent byte as the last one in its queue.
				r.standstill()
				before := r.loops[0].Stats().Batches
				r.standstill()
				if turns := r.loops[0].Stats().Batches - before; turns > 500 {
					t.Fatalf("the loop turned %d times with nothing to do", turns)
				}
				if bulk {
					if n, err := readToEnd(server); n > 1 || err != nil { // the last urgent byte at most
						t.Fatalf("%d more bytes and %v, want the FIN", n, err)
					}
				}
				mustWrite(t, server, "still here")
				mustRead(t, client, "still here")
			})
		}
	}
}

// A short read before a FIN that has come is the last one, but not where an urgent byte made it short.
func TestUrgentDataBeforeFIN(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, rigOptions{}, b.addr)
	client, server := r.pair(b)
	resume := make(chan struct{})
	if err := r.loops[0].Post(func() { <-resume }); err != nil {
		t.Fatal(err)
	}
	// All of this is in the queue, FIN included, when weir looks: loopback delivers within the sender's call.
	mustWrite(t, client, "abc")
	err := sendUrgent(client, '!')
	mustWrite(t, client, "def")
	if err := errors.Join(err, client.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	close(resume)
	mustRead(t, server, "abcdef")
	if n, err := readToEnd(server); n != 0 || err != nil {
		t.Fatalf("%d more bytes and %v, want the FIN", n, err)
	}
	mustWrite(t, server, "still here")
	mustRead(t, client, "still here")
}

func sendUrgent(c *net.TCPConn, b byte) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendto(int(fd), []byte{b}, unix.MSG_OOB, nil)
		return sendErr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return sendErr
}
