package load

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bulk moves bytes over parallel connections, one command each, and compares
// all of them at the end that takes.
type Bulk struct {
	Addr  string        // bulk service, IPv4:PORT
	Conns int           // connections; 0 = 4
	Bytes int64         // bytes in all, each way that data moves; 0 = 1 GiB
	Up    bool          // client to backend; otherwise backend to client
	Both  bool          // both ways at once on every connection
	Stall time.Duration // the longest time without progress; 0 = 10 s
	Gate  Gate
}

// stream is one connection of Bulk.
type stream struct {
	fd int
	transfer
}

// Run moves the bytes; Units of the result counts both ways. It fails with
// ErrCorrupt, ErrStalled or the error of a connection.
func (b Bulk) Run() (Result, error) {
	if b.Conns == 0 {
		b.Conns = 4
	}
	if b.Bytes == 0 {
		b.Bytes = 1 << 30
	}
	if b.Conns < 0 || b.Bytes < 0 || b.Bytes >= 1<<countBits {
		return Result{}, fmt.Errorf("bulk: conns %d, bytes %d: want positive numbers", b.Conns, b.Bytes)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := newPoller()
	if err != nil {
		return Result{}, fmt.Errorf("bulk: %w", err)
	}
	defer p.close()
	streams, err := dialStreams(p, b.Addr, nil, b.Conns, 0, b.Stall)
	defer closeStreams(streams)
	if err != nil {
		return Result{}, fmt.Errorf("bulk: %w", err)
	}
	if err := b.Gate.pass(); err != nil {
		return Result{}, fmt.Errorf("bulk: %w", err)
	}
	m := startMeter()
	moved, err := b.loop(p, streams)
	res := m.result("bulk", moved)
	if err != nil {
		return res, fmt.Errorf("bulk: after %d bytes: %w", moved, err)
	}
	b.Gate.done(res)
	return res, nil
}

// dialStreams opens n connections to the bulk service and registers them under
// token and the numbers after it. prefix goes before the first command.
func dialStreams(p *poller, addr string, prefix []byte, n, token int, stall time.Duration) ([]stream, error) {
	var streams []stream
	for i := range n {
		// A command of nothing is a round trip through the whole path.
		first, want := command(send, 0), [8]byte{}
		fd, err := dial(addr, append(prefix[:len(prefix):len(prefix)], first[:]...), want[:], newWatchdog(stall).limit)
		if err != nil {
			return streams, fmt.Errorf("bulk connection %d of %d: %w", i+1, n, err)
		}
		streams = append(streams, stream{fd: fd})
		if err := p.control(unix.EPOLL_CTL_ADD, fd, int32(token+i), 0); err != nil {
			return streams, err
		}
	}
	return streams, nil
}

func closeStreams(streams []stream) {
	for i := range streams {
		closeFD(streams[i].fd)
	}
}

func (b Bulk) mode() mode {
	switch {
	case b.Both:
		return send | take
	case b.Up:
		return take
	default:
		return send
	}
}

func (b Bulk) loop(p *poller, streams []stream) (moved int64, err error) {
	data, buf := newPattern(), make([]byte, readChunk)
	for i := range streams {
		n := portion(b.Bytes, i, len(streams))
		if err := streams[i].start(p, i, b.mode(), uint64(n)); err != nil {
			return 0, err
		}
	}
	dog := newWatchdog(b.Stall)
	for left := len(streams); left > 0; {
		events := p.wait()
		if events == nil && dog.stalled(moved) {
			return moved, ErrStalled
		}
		for _, ev := range events {
			s := &streams[ev.Fd]
			before := s.sent + s.taken
			done, err := s.step(ev.Events, buf, data)
			moved += int64(s.sent + s.taken - before)
			if err != nil {
				return moved, err
			}
			if err := s.arm(p, int(ev.Fd), done); err != nil {
				return moved, err
			}
			if done {
				left--
			}
		}
	}
	return moved, nil
}

// portion is the i-th part of total in n equal ones: the first have what is over.
func portion(total int64, i, n int) int64 {
	if int64(i) < total%int64(n) {
		return total/int64(n) + 1
	}
	return total / int64(n)
}

// start sends the command; the client's side of it is the mirror image.
func (s *stream) start(p *poller, index int, m mode, n uint64) error {
	head := command(m, n)
	if w, e := writeFD(s.fd, head[:]); e != 0 || w != len(head) {
		return fmt.Errorf("command: %w", e)
	}
	var mirror mode
	if m&send != 0 {
		mirror |= take
	}
	if m&take != 0 {
		mirror |= send
	}
	s.begin(mirror, n)
	return s.arm(p, index, false)
}

// step serves one event and reports whether the command has ended well.
func (s *stream) step(events uint32, buf []byte, data pattern) (bool, error) {
	if events&unix.EPOLLOUT != 0 && s.sent < s.sendEnd {
		if e := s.sendSome(s.fd, data); e != 0 {
			return false, fmt.Errorf("write: %w", e)
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return false, nil
	}
	var eof bool
	var e syscall.Errno
	if s.taken < s.takeEnd {
		eof, e = s.takeSome(s.fd, buf, data)
	} else {
		eof, e = s.headSome(s.fd)
	}
	switch {
	case e != 0:
		return false, fmt.Errorf("read: %w", e)
	case eof:
		return false, fmt.Errorf("%w: end of stream after %d of %d bytes", ErrCorrupt, s.taken, s.takeEnd)
	case s.bad:
		return false, fmt.Errorf("%w: within %d bytes before offset %d", ErrCorrupt, len(buf), s.taken)
	case s.got < len(s.head):
		return false, nil
	}
	if got := binary.BigEndian.Uint64(s.head[:]); got != s.count {
		return false, fmt.Errorf("%w: the backend's receipt is %#x for %d bytes", ErrCorrupt, got, s.count)
	}
	if s.sent < s.sendEnd {
		return false, fmt.Errorf("%w: receipt after %d of %d bytes", ErrCorrupt, s.sent, s.sendEnd)
	}
	return true, nil
}

func (s *stream) arm(p *poller, index int, done bool) error {
	want := uint32(unix.EPOLLIN)
	if s.sent < s.sendEnd {
		want |= unix.EPOLLOUT
	}
	if done {
		want = 0
	}
	if want == s.interest {
		return nil
	}
	s.interest = want
	return p.control(unix.EPOLL_CTL_MOD, s.fd, int32(index), want)
}
