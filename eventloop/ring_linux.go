package eventloop

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Outgoing is one of many writes that are made together. N and Errno are its result, as Write's.
type Outgoing struct {
	Data  []byte
	FD    int32
	N     int32
	Errno unix.Errno
}

// WriteAll makes every write, in their order: many with one system call where the kernel lets this process have io_uring(7), else with one
// each. Unless the kernel is preemptible, nothing else runs on this processor between the writes of one call, so that a receiver here that
// the first wakes finds the others, too.
func (l *Loop) WriteAll(out []Outgoing) {
	for len(out) > 1 && l.ring != nil {
		n := l.ring.writeAll(out[:min(len(out), int(l.ring.entries))])
		if out = out[n:]; n == 0 {
			break
		}
		l.stats.joint.Add(uint64(n))
	}
	for i := range out {
		n, e := Write(int(out[i].FD), out[i].Data)
		out[i].N, out[i].Errno = int32(n), e
	}
}

// ring is an io_uring(7) instance for writes that never wait. Kernel 5.17 is the oldest it uses; containers and kernel.io_uring_disabled
// often forbid it.
type ring struct {
	fd       int
	entries  uint32
	memory   [2][]byte // both queues; the submissions
	requests []ringRequest
	answers  []ringAnswer
	results  []int32 // of the requests of one enter
	writing  []Outgoing

	submitTail *uint32
	submitMask uint32
	answerHead *uint32
	answerTail *uint32
	answerMask uint32
}

// ringRequest is struct io_uring_sqe.
type ringRequest struct {
	opcode   uint8
	flags    uint8
	priority uint16
	fd       int32
	offset   uint64
	address  uint64
	length   uint32
	msgFlags uint32
	user     uint64
	_        [24]byte
}

// ringAnswer is struct io_uring_cqe.
type ringAnswer struct {
	user   uint64
	result int32
	flags  uint32
}

// ringParameters is struct io_uring_params.
type ringParameters struct {
	submitEntries, answerEntries, flags, cpu, idle, features, workers uint32

	_      [3]uint32
	submit struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	answer struct {
		head, tail, mask, entries, overflow, answers, flags, _ uint32
		_                                                      uint64
	}
}

const (
	ringSend         = 26      // IORING_OP_SEND
	ringSendMessage  = 9       // IORING_OP_SENDMSG
	ringLink         = 1 << 2  // IOSQE_IO_LINK: the next one waits for this one, and isn't done when it fails
	ringGetEvents    = 1       // IORING_ENTER_GETEVENTS
	ringSingleMemory = 1 << 0  // IORING_FEAT_SINGLE_MMAP
	ringCanSkip      = 1 << 11 // IORING_FEAT_CQE_SKIP, of 5.17: MSG_DONTWAIT means it
	ringRequestsAt   = 0x10000000
)

// newRing opens a ring for so many writes at a time, a power of two.
func newRing(entries uint32) (*ring, error) {
	var p ringParameters
	fd, _, e := unix.RawSyscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", e)
	}
	r := &ring{fd: int(fd), entries: p.submitEntries, results: make([]int32, p.submitEntries)}
	if p.features&ringSingleMemory == 0 || p.features&ringCanSkip == 0 {
		r.close()
		return nil, fmt.Errorf("io_uring_setup: %w", unix.ENOSYS)
	}
	size := max(uintptr(p.submit.array)+uintptr(p.submitEntries)*4, uintptr(p.answer.answers)+uintptr(p.answerEntries)*unsafe.Sizeof(ringAnswer{}))
	for i, m := range []struct {
		at   int64
		size uintptr
	}{{0, size}, {ringRequestsAt, uintptr(p.submitEntries) * unsafe.Sizeof(ringRequest{})}} {
		mem, err := unix.Mmap(r.fd, m.at, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			r.close()
			return nil, fmt.Errorf("map io_uring: %w", err)
		}
		r.memory[i] = mem
	}
	queue := func(offset uint32) unsafe.Pointer { return unsafe.Pointer(&r.memory[0][offset]) }
	r.submitTail, r.submitMask = (*uint32)(queue(p.submit.tail)), *(*uint32)(queue(p.submit.mask))
	r.answerHead, r.answerTail = (*uint32)(queue(p.answer.head)), (*uint32)(queue(p.answer.tail))
	r.answerMask = *(*uint32)(queue(p.answer.mask))
	r.answers = unsafe.Slice((*ringAnswer)(queue(p.answer.answers)), p.answerEntries)
	r.requests = unsafe.Slice((*ringRequest)(unsafe.Pointer(&r.memory[1][0])), p.submitEntries)
	order := unsafe.Slice((*uint32)(queue(p.submit.array)), p.submitEntries)
	for i := range order {
		order[i] = uint32(i)
	}
	return r, nil
}

// writeAll makes at most entries writes and returns how many, from the first on, it has made: all of them but for the lack of memory.
func (r *ring) writeAll(out []Outgoing) (made int) {
	// The kernel is given addresses that Go doesn't see: what they mean must be on the heap, where nothing moves, and not on a stack.
	r.writing = out
	for i := range out {
		o := &out[i]
		r.ask(i, ringRequest{
			opcode: ringSend, fd: o.FD, address: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(o.Data)))), length: uint32(len(o.Data)),
		})
	}
	made = r.enter(len(out))
	for i := range made {
		out[i].N, out[i].Errno = 0, 0
		if n := r.results[i]; n < 0 {
			out[i].Errno = unix.Errno(-n)
		} else {
			out[i].N = n
		}
	}
	r.writing = nil
	return made
}

// sendAll sends n datagrams, at most entries, from the one numbered from on, and returns how many it has tried, as writeAll.
func (r *ring) sendAll(o *Outbox, from, n int) (made int) {
	for i := range n {
		q := ringRequest{opcode: ringSendMessage, fd: o.departures[from+i].FD, address: uint64(uintptr(unsafe.Pointer(&o.messages[from+i].header))), length: 1}
		if i+1 < n && o.ordered(from+i+1) {
			q.flags = ringLink
		}
		r.ask(i, q)
	}
	made = r.enter(n)
	for i := range made {
		o.departures[from+i].Errno = 0
		if n := r.results[i]; n < 0 {
			o.departures[from+i].Errno = unix.Errno(-n)
		}
	}
	return made
}

// ask makes request number i of those that the next enter is for.
func (r *ring) ask(i int, q ringRequest) {
	q.msgFlags, q.user = unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uint64(i)
	r.requests[(*r.submitTail+uint32(i))&r.submitMask] = q
}

// enter has the kernel do n requests that were asked, in their order, and returns how many, from the first on, it has done. Their results are
// there at once, because none waits.
func (r *ring) enter(n int) (made int) {
	first := *r.submitTail
	atomic.StoreUint32(r.submitTail, first+uint32(n))
	for want, answered := n, 0; answered < want; {
		n, _, e := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(want-made), uintptr(want-answered), ringGetEvents, 0, 0)
		switch e {
		case 0:
			made += int(n)
		case unix.EINTR:
		default: // the rest is taken back; the kernel looks at it only when it is told to
			want = made
			atomic.StoreUint32(r.submitTail, first+uint32(made))
		}
		head := *r.answerHead
		for ; head != atomic.LoadUint32(r.answerTail); head++ {
			a := &r.answers[head&r.answerMask]
			r.results[a.user] = a.result
			answered++
		}
		atomic.StoreUint32(r.answerHead, head)
	}
	return made
}

func (r *ring) close() {
	for _, mem := range r.memory {
		if mem != nil {
			_ = unix.Munmap(mem)
		}
	}
	closeFD(r.fd)
}
