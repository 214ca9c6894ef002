package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The backends of the chaos test are processes of their own: the test's program once more, which the environment tells to be one.
//
//	asked, over TCP (a line) or UDP (a datagram)   answer
//	get CLIENT SEQUENCE                            bNUMBER CLIENT SEQUENCE
//	get CLIENT SEQUENCE SIZE                       the same, and so many x after a space
//	health                                         fine and well
//
// On standard input it is told what its manners are from now on, and says "so be it" when they are; or to tell what it was asked since it told the last
// time, on one line. It ends with its input.
const (
	beBackend = "WEIR_E2E_BACKEND" // number and address
	fine      = "fine and well"
	soBeIt    = "so be it"
	tell      = "tell"
)

// manners are how a backend treats those who ask.
type manners int32

const (
	wellBehaved   manners = iota
	refusing              // nobody listens, but those who are connected are served
	blackholing           // connections don't come about, and nobody is answered
	resetsEarly           // before the first byte
	resetsLate            // in the middle of an answer
	resetsTraffic         // before the first byte, but answers health checks
	slow                  // answers, but not within the time of a check
	dribbling             // the same, a byte at a time
)

const (
	slowness = 700 * time.Millisecond
	dribble  = 60 * time.Millisecond // a byte
	dribbled = 20                    // bytes of an answer, at most
)

// chaosBackend is the process's own view of itself.
type chaosBackend struct {
	number  int
	addr    string
	manners atomic.Int32
	stream  *net.TCPListener
	accepts sync.WaitGroup
	packets *net.UDPConn
	reads   sync.WaitGroup
	filling []int // descriptors that fill its own queue

	mu      sync.Mutex
	changed chan struct{} // closed with the next change
	asked   []string      // CLIENT/SEQUENCE, since it told them
}

// runBackend is the process. It returns its exit code.
func runBackend(what string) int {
	number, addr, _ := strings.Cut(what, " ")
	b := &chaosBackend{addr: addr, changed: make(chan struct{})}
	b.number, _ = strconv.Atoi(number)
	orders := bufio.NewScanner(os.Stdin)
	err := b.open()
	for err == nil {
		fmt.Println(soBeIt)
		if !orders.Scan() {
			return 0
		}
		if orders.Text() == tell {
			b.mu.Lock()
			fmt.Println(strings.Join(b.asked, " "))
			b.asked = b.asked[:0]
			b.mu.Unlock()
			continue
		}
		var n int
		if n, err = strconv.Atoi(orders.Text()); err == nil {
			err = b.become(manners(n))
		}
	}
	fmt.Fprintf(os.Stderr, "backend %s: %v\n", what, err)
	return 1
}

func (b *chaosBackend) now() (manners, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return manners(b.manners.Load()), b.changed
}

// open listens for connections and datagrams.
func (b *chaosBackend) open() error {
	stream, err := net.Listen("tcp4", b.addr)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp4", b.addr)
	if err != nil {
		return err
	}
	b.stream, b.packets = stream.(*net.TCPListener), packets.(*net.UDPConn)
	b.reads.Go(b.serveDatagrams)
	b.accept()
	return nil
}

// accept takes connections until the listener's deadline.
func (b *chaosBackend) accept() {
	_ = b.stream.SetDeadline(time.Time{})
	b.accepts.Go(func() {
		for {
			c, err := b.stream.Accept()
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go b.serve(c.(*net.TCPConn))
			}
		}
	})
}

// become changes manners.
func (b *chaosBackend) become(m manners) error {
	was := manners(b.manners.Load())
	if was == m {
		return nil
	}
	b.mu.Lock()
	b.manners.Store(int32(m))
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
	switch was {
	case refusing:
		if err := b.open(); err != nil {
			return err
		}
	case blackholing:
		for _, fd := range b.filling {
			_ = unix.Close(fd)
		}
		b.filling = b.filling[:0]
		if err := b.setBacklog(4096); err != nil {
			return err
		}
		b.accept()
	}
	switch m {
	case refusing:
		_ = b.stream.Close()
		b.accepts.Wait()
		_ = b.packets.Close()
		b.reads.Wait()
	case blackholing:
		_ = b.stream.SetDeadline(time.Unix(1, 0))
		b.accepts.Wait()
		if err := b.setBacklog(0); err != nil {
			return err
		}
		return b.fillQueue()
	}
	return nil
}

// setBacklog changes the length of the queue of a socket that listens: listen(2) may be called again.
func (b *chaosBackend) setBacklog(n int) error {
	raw, err := b.stream.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), n) }); err != nil {
		return err
	}
	return failed
}

// fillQueue connects to the backend itself until its queue is full: the kernel drops further SYNs.
func (b *chaosBackend) fillQueue() error {
	at := b.stream.Addr().(*net.TCPAddr)
	to := &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}
	for range 16 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		b.filling = append(b.filling, fd)
		if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
			return err
		}
		wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(wait, 20); n == 0 && err == nil {
			return nil
		}
	}
	return errors.New("the queue is never full")
}

// serve answers what comes on a connection.
func (b *chaosBackend) serve(c *net.TCPConn) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		answer, check := b.answerTo(lines.Text())
		answer += "\n"
		how, changed := b.now()
		for how == blackholing {
			<-changed
			how, changed = b.now()
		}
		switch {
		case how == resetsEarly || how == resetsTraffic && !check:
			_ = c.SetLinger(0)
			return
		case how == resetsLate:
			_, _ = io.WriteString(c, answer[:len(answer)/2])
			_ = c.SetLinger(0)
			return
		case how == slow:
			<-time.After(slowness)
		case how == dribbling:
			for range min(len(answer)-1, dribbled) {
				_, _ = io.WriteString(c, answer[:1])
				answer = answer[1:]
				<-time.After(dribble)
			}
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func (b *chaosBackend) answerTo(question string) (answer string, check bool) {
	if strings.TrimSpace(question) == "health" {
		return fine, true
	}
	var client string
	var sequence, size int
	_, _ = fmt.Sscanf(question, "get %s %d %d", &client, &sequence, &size)
	b.mu.Lock()
	b.asked = append(b.asked, fmt.Sprint(client, "/", sequence))
	b.mu.Unlock()
	answer = fmt.Sprintf("b%02d %s %d", b.number, client, sequence)
	if size > 0 {
		answer += " " + strings.Repeat("x", size)
	}
	return answer, false
}

// serveDatagrams answers datagrams until the socket is closed.
func (b *chaosBackend) serveDatagrams() {
	packets := b.packets
	buf := make([]byte, 2048)
	for {
		how, changed := b.now()
		if how == blackholing {
			<-changed
			continue
		}
		n, from, err := packets.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		answer, _ := b.answerTo(string(buf[:n]))
		how, changed = b.now()
		for how == blackholing {
			<-changed
			how, changed = b.now()
		}
		if how == slow || how == dribbling {
			time.AfterFunc(slowness, func() { _, _ = packets.WriteToUDPAddrPort([]byte(answer), from) })
			continue
		}
		_, _ = packets.WriteToUDPAddrPort([]byte(answer), from)
	}
}

// backend is such a process as its test sees it. Its methods are for the test's goroutine.
type backend struct {
	number  int
	addr    string
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	said    output
	asked   []string // that it has told
}

// newBackend starts a backend on a port of its own, which it keeps.
func newBackend(t *testing.T, number int) *backend {
	t.Helper()
	var err error
	for range 3 {
		b := &backend{number: number, addr: freePort(t)}
		if err = b.start(); err == nil {
			t.Cleanup(b.kill)
			return b
		}
	}
	t.Fatalf("backend %d: %v", number, err)
	return nil
}

// start returns when the backend answers.
func (b *backend) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = []string{beBackend + "=" + fmt.Sprint(b.number, " ", b.addr), "GOMAXPROCS=1"}
	cmd.Stderr = &b.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmd, b.orders, b.answers = cmd, orders, bufio.NewReader(answers)
	if err := b.obeyed(); err != nil {
		b.kill()
		return err
	}
	return nil
}

// become has the backend change its manners, and returns when it has.
func (b *backend) become(m manners) error {
	if _, err := fmt.Fprintln(b.orders, int(m)); err != nil {
		return fmt.Errorf("%w: %s", err, &b.said)
	}
	return b.obeyed()
}

// tell has the backend tell what it was asked.
func (b *backend) tell() error {
	if _, err := fmt.Fprintln(b.orders, tell); err != nil {
		return fmt.Errorf("%w: %s", err, &b.said)
	}
	line, err := b.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("%w: %s", err, &b.said)
	}
	b.asked = append(b.asked, strings.Fields(line)...)
	return b.obeyed()
}

func (b *backend) obeyed() error {
	line, err := b.answers.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != soBeIt {
		return fmt.Errorf("backend %d says %q, %v: %s", b.number, line, err, &b.said)
	}
	return nil
}

func (b *backend) signal(s syscall.Signal) error { return b.cmd.Process.Signal(s) }

// kill returns when the process is no more.
func (b *backend) kill() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.cmd = nil
}
