package eventloop

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func lease(t *testing.T, l *Loop) Pipe {
	t.Helper()
	p, err := l.LeasePipe()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func held(t *testing.T, p Pipe) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(p.R), unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func pipeCount(t *testing.T, l *Loop, want int64) {
	t.Helper()
	if got := l.Stats().Pipes; got != want {
		t.Errorf("Stats tells of %d pipes, want %d", got, want)
	}
}

func TestPipes(t *testing.T) {
	openFDs(t)
	l := newRig(t, Options{PipeSlots: 32, IdlePipes: 2, MaxPipes: 3}).Loop
	before := openFDs(t)
	a, b, c := lease(t, l), lease(t, l), lease(t, l)
	if want := int32(32 * unix.Getpagesize()); a.Size != want {
		t.Errorf("size %d, want %d", a.Size, want)
	}
	if _, err := l.LeasePipe(); err == nil {
		t.Error("a fourth pipe of three")
	}
	pipeCount(t, l, 3)

	l.ReturnPipe(a)
	if again := lease(t, l); again != a {
		t.Errorf("leased %v, want the one that was returned, %v", again, a)
	}

	// One with bytes in it is closed, and never seen again.
	if _, err := unix.Write(int(b.W), []byte("another session's")); err != nil {
		t.Fatal(err)
	}
	l.DiscardPipe(b)
	pipeCount(t, l, 2)
	if isOpen(int(b.R)) || isOpen(int(b.W)) {
		t.Error("a discarded pipe is open")
	}
	b = lease(t, l)
	if n := held(t, b); n != 0 {
		t.Errorf("a leased pipe holds %d bytes", n)
	}

	// Two are kept, the third is closed.
	l.ReturnPipe(a)
	l.ReturnPipe(b)
	l.ReturnPipe(c)
	pipeCount(t, l, 2)
	if n := openFDs(t) - before; n != 4 {
		t.Errorf("%d descriptors for two idle pipes, want 4", n)
	}
	if n := l.DropIdlePipes(); n != 2 {
		t.Errorf("dropped %d pipes, want 2", n)
	}
	pipeCount(t, l, 0)
	if n := openFDs(t) - before; n != 0 {
		t.Errorf("%d descriptors left by no pipes", n)
	}
	lease1 := lease(t, l)
	l.DiscardPipe(lease1)
}

func TestPipeOptions(t *testing.T) {
	tests := []struct {
		name       string
		o          Options
		size, most int
		kept       int64
	}{
		{name: "defaults", size: 256, most: 1, kept: 1},
		{name: "one slot", o: Options{PipeSlots: 1}, size: 1, most: 1, kept: 1},
		{name: "a power of two above", o: Options{PipeSlots: 20}, size: 32, most: 1, kept: 1},
		{name: "none idle", o: Options{IdlePipes: -1}, size: 256, most: 1, kept: 0},
		{name: "none at all", o: Options{MaxPipes: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newRig(t, tt.o).Loop
			p, err := l.LeasePipe()
			if tt.most == 0 {
				if err == nil {
					t.Fatal("leased one")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			size, err := unix.FcntlInt(uintptr(p.R), unix.F_GETPIPE_SZ, 0)
			if err != nil || int32(size) != p.Size || size > tt.size*unix.Getpagesize() {
				t.Errorf("size %d, the kernel says %d, %v; want at most %d pages", p.Size, size, err, tt.size)
			}
			l.ReturnPipe(p)
			pipeCount(t, l, tt.kept)
		})
	}
}

// TestPipesWithoutFiles leases with no descriptor left: an error, and nothing counted.
func TestPipesWithoutFiles(t *testing.T) {
	l := newRig(t, Options{}).Loop
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	fd := openFD(t)
	defer closeFD(fd)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := l.LeasePipe()
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); back != nil {
		t.Fatal(back)
	}
	if err == nil {
		t.Error("a pipe without descriptors")
	}
	pipeCount(t, l, 0)
}

// A relay in few lines: what one connection brings is spliced into another, both edge-triggered.
func TestSpliceOverTCP(t *testing.T) {
	const size = 3<<20 + 17
	data := make([]byte, size)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(data); i++ {
		data[i] = byte(r.Uint32())
	}
	source, in := tcpPair(t)
	out, sink := tcpPair(t)
	sent := make(chan error, 1)
	go func() { sent <- writeAll(source, data) }()
	got := make(chan [sha256.Size]byte, 1)
	go func() { got <- hashAll(t, sink) }()

	r := newRig(t, Options{PipeSlots: 16})
	pipe := lease(t, r.Loop)
	var held int
	var end, done bool
	tokIn := r.register(in, 1, stream)
	tokOut := r.register(out, 2, stream)
	r.then = func(Token, uint32, Events) {
		for !done {
			for held > 0 {
				n, e := Splice(int(pipe.R), out, held)
				if e == unix.EAGAIN {
					return
				}
				if e != 0 {
					t.Fatalf("splice out: %v", e)
				}
				held -= n
			}
			if end {
				done = true
				r.ReturnPipe(pipe)
				r.Close(tokIn)
				r.Close(tokOut)
				return
			}
			n, e := Splice(in, int(pipe.W), int(pipe.Size))
			if e == unix.EAGAIN {
				return
			}
			if e != 0 {
				t.Fatalf("splice in: %v", e)
			}
			held, end = n, n == 0
		}
	}
	r.until("the end of the stream", func() bool { return done })
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if <-got != sha256.Sum256(data) {
		t.Error("the bytes that came are not those that were sent")
	}
	if n := r.DropIdlePipes(); n != 1 {
		t.Errorf("%d idle pipes, want 1", n)
	}
}

// writeAll sends data over the socket from any goroutine, ends the stream and closes the socket.
func writeAll(fd int, data []byte) error {
	conn, err := blockingConn(fd)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(conn, bytes.NewReader(data))
	return err
}

func hashAll(t *testing.T, fd int) (sum [sha256.Size]byte) {
	conn, err := blockingConn(fd)
	if err != nil {
		t.Error(err)
		return sum
	}
	defer conn.Close()
	h := sha256.New()
	if _, err := io.Copy(h, conn); err != nil {
		t.Error(err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func blockingConn(fd int) (net.Conn, error) {
	f := fileOf(fd)
	defer f.Close()
	return net.FileConn(f)
}

func TestChunks(t *testing.T) {
	l := newRig(t, Options{}).Loop
	a, b := l.LeaseChunk(), l.LeaseChunk()
	if a == b || a.Next != nil || a.Start != 0 || a.End != 0 {
		t.Fatalf("leased %p and %p, the first %d:%d", a, b, a.Start, a.End)
	}
	a.Next, a.Start, a.End = b, 3, ChunkSize
	if next := l.ReturnChunk(a); next != b {
		t.Errorf("ReturnChunk gives %p, want the next of the chain %p", next, b)
	}
	if c := l.LeaseChunk(); c != a || c.Next != nil || c.Start != 0 || c.End != 0 {
		t.Errorf("leased %p with %d:%d and next %p, want %p, empty", c, c.Start, c.End, c.Next, a)
	}
	if next := l.ReturnChunk(b); next != nil {
		t.Errorf("ReturnChunk gives %p at the end of a chain", next)
	}

	// Returned link by link, leased one by one: none brings another along.
	l.ReturnChunk(l.LeaseChunk())
	c, d := l.LeaseChunk(), l.LeaseChunk()
	l.ReturnChunk(c)
	l.ReturnChunk(d)
	if c := l.LeaseChunk(); c.Next != nil {
		t.Errorf("a leased chunk is followed by %p", c.Next)
	}

	// A crowd's chunks are not kept for ever.
	var crowd *Chunk
	for range 3 * idleChunks {
		c := l.LeaseChunk()
		c.Next, crowd = crowd, c
	}
	for crowd != nil {
		crowd = l.ReturnChunk(crowd)
	}
	if l.chunks.count != idleChunks {
		t.Errorf("%d idle chunks, want %d", l.chunks.count, idleChunks)
	}
	n := 0
	for c := l.chunks.idle; c != nil; c = c.Next {
		n++
	}
	if n != idleChunks {
		t.Errorf("%d chunks in the pool's chain, want %d", n, idleChunks)
	}
	if n := testing.AllocsPerRun(100, func() { l.ReturnChunk(l.LeaseChunk()) }); n != 0 {
		t.Errorf("%v allocations for a lease, want none", n)
	}
}
