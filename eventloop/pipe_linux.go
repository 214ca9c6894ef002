package eventloop

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Pipe is a kernel pipe through which bytes pass between two sockets without being copied (splice(2), kernel 2.6.17).
// It is leased from the loop while bytes are in it, and only then.
type Pipe struct {
	R, W int32
	Size int32 // bytes, of whole pages; each splice takes at least one page's slot, however few bytes it brings
}

// pipePool keeps empty pipes of one size for the next lease.
type pipePool struct {
	size  int // bytes; F_SETPIPE_SZ
	keep  int
	max   int // pipes at once
	idle  []Pipe
	count *atomic.Int64
}

// errNoPipe says that the loop has as many pipes as it may have.
var errNoPipe = errors.New("no pipe left")

// LeasePipe returns an empty pipe. It fails when the loop's pipes or the process's descriptors have run out; the caller then copies.
func (l *Loop) LeasePipe() (Pipe, error) {
	p := &l.pipes
	if n := len(p.idle); n > 0 {
		got := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return got, nil
	}
	if p.count.Load() >= int64(p.max) {
		return Pipe{}, errNoPipe
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return Pipe{}, fmt.Errorf("pipe2: %w", err)
	}
	p.count.Add(1)
	// Above the user's share of pipe pages (fs.pipe-user-pages-soft) the kernel refuses; a smaller pipe serves as well.
	size := 0
	for ask := p.size; size <= 0 && ask >= unix.Getpagesize(); ask /= 2 {
		size, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, ask)
	}
	return Pipe{R: int32(fds[0]), W: int32(fds[1]), Size: int32(max(size, unix.Getpagesize()))}, nil
}

// ReturnPipe takes an empty pipe back.
func (l *Loop) ReturnPipe(pipe Pipe) {
	if len(l.pipes.idle) < l.pipes.keep {
		l.pipes.idle = append(l.pipes.idle, pipe)
		return
	}
	l.DiscardPipe(pipe)
}

// DiscardPipe closes a pipe that still holds bytes: it must never serve another session.
func (l *Loop) DiscardPipe(pipe Pipe) {
	closeFD(int(pipe.R))
	closeFD(int(pipe.W))
	l.pipes.count.Add(-1)
}

// DropIdlePipes closes the idle pipes, for their descriptors, and returns how many there were.
func (l *Loop) DropIdlePipes() int {
	n := len(l.pipes.idle)
	l.pipes.drain()
	return n
}

func (p *pipePool) drain() {
	for _, pipe := range p.idle {
		closeFD(int(pipe.R))
		closeFD(int(pipe.W))
		p.count.Add(-1)
	}
	p.idle = p.idle[:0]
}
