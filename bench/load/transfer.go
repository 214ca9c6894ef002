package load

import (
	"encoding/binary"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// A bulk command is 8 bytes, big-endian: the mode in the top byte, a count of
// bytes below it. The backend then sends that many bytes of the pattern, takes
// that many, or both at once, and ends every command with an 8-byte receipt:
// the count, or badReceipt when what it took was not the pattern. Then it
// waits for the next command. Nobody half-closes, so that a proxy that doesn't
// pass a FIN on can do the work too.
type mode uint64

const (
	send mode = 1 << iota // the backend sends
	take                  // the backend takes

	countBits         = 56
	badReceipt uint64 = 1<<64 - 1
)

func command(m mode, n uint64) [8]byte {
	var h [8]byte
	binary.BigEndian.PutUint64(h[:], uint64(m)<<countBits|n)
	return h
}

// errProtocol ends a connection that doesn't speak the bulk service.
var errProtocol = errors.New("not a bulk command")

// transfer is one side of a command under way: the backend's and the client's
// mirror each other. The receipt is the last 8 bytes of what the backend sends.
type transfer struct {
	active         bool
	head           [8]byte // command (backend) or receipt (client), as far as it came
	got            int     // bytes of head
	count          uint64
	sent, sendEnd  uint64 // offsets in the pattern
	taken, takeEnd uint64
	bad            bool   // what came is not the pattern
	interest       uint32 // registered with epoll
	turn           uint64 // the most to offer in one write; 0 = what the pattern has
}

func (t *transfer) begin(m mode, n uint64) {
	*t = transfer{active: true, count: n, interest: t.interest, turn: t.turn}
	if m&send != 0 {
		t.sendEnd = n
	}
	if m&take != 0 {
		t.takeEnd = n
	}
}

// sendSome offers the next chunk. Level-triggered, one write per event: that
// shares the loop fairly between connections.
func (t *transfer) sendSome(fd int, p pattern) syscall.Errno {
	most := t.sendEnd - t.sent
	if t.turn > 0 {
		most = min(most, t.turn)
	}
	n, e := writeFD(fd, p.chunk(t.sent, most))
	if e == syscall.EAGAIN {
		return 0
	}
	t.sent += uint64(n)
	return e
}

// takeSome reads and compares once; eof is the end of the stream.
func (t *transfer) takeSome(fd int, buf []byte, p pattern) (eof bool, e syscall.Errno) {
	n, e := readFD(fd, buf[:min(uint64(len(buf)), t.takeEnd-t.taken)])
	if e == syscall.EAGAIN {
		return false, 0
	}
	if e != 0 || n == 0 {
		return e == 0, e
	}
	if !p.matches(t.taken, buf[:n]) {
		t.bad = true
	}
	t.taken += uint64(n)
	return false, 0
}

// headSome reads more of the 8 bytes of head.
func (t *transfer) headSome(fd int) (eof bool, e syscall.Errno) {
	n, e := readFD(fd, t.head[t.got:])
	if e == syscall.EAGAIN {
		return false, 0
	}
	t.got += n
	return e == 0 && n == 0, e
}

// transfer serves one event of a bulk connection.
func (b *Backend) transfer(c *peer, events uint32) {
	if err := b.bulkStep(c, events); err != nil {
		b.drop(c)
	}
}

func (b *Backend) bulkStep(c *peer, events uint32) error {
	t := &c.bulk
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		return syscall.ECONNRESET
	}
	if !t.active {
		eof, e := t.headSome(c.fd)
		if e != 0 || eof {
			return syscall.ECONNRESET
		}
		if t.got < len(t.head) {
			return nil
		}
		h := binary.BigEndian.Uint64(t.head[:])
		m := mode(h >> countBits)
		if m == 0 || m > send|take {
			return errProtocol
		}
		t.begin(m, h&(1<<countBits-1))
	} else {
		if events&unix.EPOLLIN != 0 && t.taken < t.takeEnd {
			if eof, e := t.takeSome(c.fd, b.buf, b.pattern); e != 0 || eof {
				return syscall.ECONNRESET
			}
		}
		if events&unix.EPOLLOUT != 0 && t.sent < t.sendEnd {
			if e := t.sendSome(c.fd, b.pattern); e != 0 {
				return e
			}
		}
	}
	if t.taken == t.takeEnd && t.sent == t.sendEnd {
		done, err := b.receipt(c)
		if err != nil {
			return err
		}
		if done {
			*t = transfer{interest: t.interest, turn: t.turn}
		}
	}
	return b.arm(c)
}

// receipt writes the end of a command; not done means that there was no room.
func (b *Backend) receipt(c *peer) (done bool, err error) {
	var r [8]byte
	n := c.bulk.count
	if c.bulk.bad {
		n = badReceipt
	}
	binary.BigEndian.PutUint64(r[:], n)
	w, e := writeFD(c.fd, r[c.bulk.got%len(r):])
	if e == syscall.EAGAIN {
		return false, nil
	}
	if e != 0 {
		return false, e
	}
	c.bulk.got += w
	return c.bulk.got == len(r), nil
}

// arm registers what the command still waits for.
func (b *Backend) arm(c *peer) error {
	t := &c.bulk
	var want uint32
	if !t.active || t.taken < t.takeEnd {
		want |= unix.EPOLLIN
	}
	if t.active && (t.sent < t.sendEnd || t.taken == t.takeEnd) {
		want |= unix.EPOLLOUT
	}
	if want == t.interest {
		return nil
	}
	t.interest = want
	return b.poll.control(unix.EPOLL_CTL_MOD, c.fd, int32(c.fd), want)
}
