package eventloop

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tick bounds a wait that keeps the processor (the scheduler's P): the garbage collector may have to wait so long for
// this loop when its signal comes just before the system call does. A descriptor of the epoll set's own ends the wait (timerfd_create(2), kernel 2.6.25),
// not a timeout: a timeout would set and cancel a timer for every wait that sleeps, which on a virtual machine leaves it twice.
const tick = 2 * time.Millisecond

// epoll is the Poller over epoll(7) (kernel 2.6.17 and newer for EPOLLRDHUP).
type epoll struct {
	fd     int
	wakeFD int
	raw    []unix.EpollEvent
	waking atomic.Bool // an eventfd write is under way or unread; set for good once closed
	closed bool        // the closer's own

	// The waiting loop's own.
	tickFD  int
	ticking bool // the tick is to come
	busy    bool // events have come since the last one
	idle    bool // none came for a whole tick

	waits, blocking, yields atomic.Uint64
}

// Tokens of the poller's own descriptors; no slot ever has these indexes.
const (
	wakeToken = ^Token(0)
	tickToken = ^Token(0) - 1
)

// NewEpoll returns the kernel's poller; batch is the most events one Wait reports (0 = 256).
func NewEpoll(batch int) (Poller, error) {
	if batch <= 0 {
		batch = 256
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(fd)
		_ = unix.Close(wake)
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	p := &epoll{fd: fd, wakeFD: wake, tickFD: timer, raw: make([]unix.EpollEvent, batch)}
	err = p.Add(wake, wakeToken, Readable|edge)
	if err == nil {
		err = p.Add(timer, tickToken, Readable|edge)
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func (p *epoll) Add(fd int, tok Token, interest Events) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, tok, interest)
}

func (p *epoll) Modify(fd int, tok Token, interest Events) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, tok, interest)
}

func (p *epoll) Remove(fd int) error { return p.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *epoll) ctl(op, fd int, tok Token, interest Events) error {
	ev := unix.EpollEvent{Events: uint32(interest), Fd: int32(uint32(tok)), Pad: int32(uint32(tok >> 32))}
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return fmt.Errorf("epoll_ctl: %w", e)
	}
	return nil
}

// Wait waits in one of two ways. While events come it is a raw system call, which keeps the scheduler's P: entering a system
// call the usual way lets sysmon take the P away, and a busy loop then moves from thread to thread, at 20 to 30 % more
// machine time. The runtime interrupts a raw wait by a signal when it needs the P; EINTR is answered with Gosched. After a
// whole tick without an event it is a blocking one, which lets the P go.
//
//	       an event                       a tick without an event
//	busy <────────── idle           busy ─────────────────────────> idle
//	raw wait, ended by the tick     blocking wait, ended by an event or the timeout
func (p *epoll) Wait(out []Event, timeout time.Duration) (int, error) {
	if len(out) > len(p.raw) {
		out = out[:len(p.raw)]
	}
	n, err := p.wait(len(out), timeout)
	if err != nil {
		return 0, err
	}
	kept := 0
	for i := range p.raw[:n] {
		ev := &p.raw[i]
		switch tok := Token(uint32(ev.Fd)) | Token(uint32(ev.Pad))<<32; tok {
		case wakeToken:
			p.drainWake()
		case tickToken:
			p.ticking, p.idle, p.busy = false, !p.busy, false
		default:
			out[kept] = Event{Token: tok, Events: Events(ev.Events)}
			kept++
		}
	}
	if kept > 0 {
		p.busy, p.idle = true, false
	}
	return kept, nil
}

// wait waits for at most max events, and returns 0 when the timeout is over or somebody wants the processor.
func (p *epoll) wait(max int, timeout time.Duration) (int, error) {
	p.waits.Add(1)
	if p.idle && (timeout < 0 || timeout > tick) {
		p.blocking.Add(1)
		ms := -1
		if timeout >= 0 {
			ms = milliseconds(timeout)
		}
		n, err := unix.EpollWait(p.fd, p.raw[:max], ms)
		if err == unix.EINTR {
			return 0, nil
		}
		if err != nil {
			return 0, fmt.Errorf("epoll_wait: %w", err)
		}
		return n, nil
	}
	ms := -1
	if timeout >= 0 && timeout <= tick {
		ms = milliseconds(timeout)
	} else if !p.ticking && !p.startTick() {
		ms = milliseconds(tick)
	}
	n, e := p.rawWait(max, ms)
	if e == unix.EINTR {
		p.yields.Add(1)
		runtime.Gosched()
		return 0, nil
	}
	if e != 0 {
		return 0, fmt.Errorf("epoll_pwait: %w", e)
	}
	return n, nil
}

// startTick sets the tick off, once; false when the kernel won't.
func (p *epoll) startTick() bool {
	in := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(tick))}
	_, _, e := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(p.tickFD), 0, uintptr(unsafe.Pointer(&in)), 0, 0, 0)
	p.ticking = e == 0
	return p.ticking
}

func (p *epoll) rawWait(max, ms int) (int, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.raw[0])), uintptr(max), uintptr(ms), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// milliseconds rounds up, so that a timer is never looked for before it is due, and fits epoll's int.
func milliseconds(d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(min((d-1)/time.Millisecond+1, 1<<30))
}

func (p *epoll) Wake() {
	if p.waking.Swap(true) {
		return
	}
	one := [8]byte{0: 1}
	_, _ = unix.Write(p.wakeFD, one[:]) // EAGAIN means that the counter is full, which wakes as well
}

func (p *epoll) drainWake() {
	// The flag is cleared last. A Wake before that writes nothing, but what it announces is already in the mailbox, which
	// the loop empties after Wait. Cleared first, a Wake in between would be read away and leave the flag set for good.
	var b [8]byte
	_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(p.wakeFD), uintptr(unsafe.Pointer(&b[0])), 8)
	p.waking.Store(false)
}

func (p *epoll) PollStats() PollerStats {
	return PollerStats{Waits: p.waits.Load(), Blocking: p.blocking.Load(), Yields: p.yields.Load()}
}

// Close may meet a Wake, whose write must not go to a new owner of the eventfd's number. It therefore takes the flag for itself, which
// makes every later Wake do nothing; while another holds the flag its write is unread or about to come, and Close waits for it. A second
// Close does nothing.
func (p *epoll) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	for p.waking.Swap(true) {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(p.wakeFD), Events: unix.POLLIN}}, -1); n > 0 {
			p.drainWake()
		}
	}
	_ = unix.Close(p.tickFD)
	_ = unix.Close(p.wakeFD)
	return unix.Close(p.fd)
}
