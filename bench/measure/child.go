package measure

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is a process this program started, in a session of its own, so that its
// session and process group carry its pid and hold all that it starts.
type child struct {
	cmd    *exec.Cmd
	name   string
	log    string
	in     io.WriteCloser
	pipe   io.Closer     // its standard output, where it is read
	out    *bufio.Reader // the same
	exited chan struct{}
	err    error // of Wait, after exited
}

const patience = 5 * time.Second // for a child to start or to end

// startChild starts args with its standard error going to the file log, and its
// standard output too, unless talks says that it is to be read with line. When
// ctx ends the whole session is killed.
func startChild(ctx context.Context, log string, args []string, talks bool) (*child, error) {
	c := &child{name: args[0], log: log, exited: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	// The death signal comes when the thread that started the child ends, so
	// bench/run keeps to its main thread. TERM, because a master process that
	// is killed leaves its workers.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	c.cmd.Cancel = func() error { return syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }
	errs, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	c.cmd.Stderr = errs
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	c.cmd.Stdout = errs
	c.pipe = errs
	if talks {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer w.Close()
		c.cmd.Stdout, c.pipe, c.out = w, r, bufio.NewReader(r)
	}
	if err := c.cmd.Start(); err != nil {
		c.pipe.Close()
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

func (c *child) session() int { return c.cmd.Process.Pid }

// line reads one line of the child's output.
func (c *child) line() (string, error) {
	s, err := c.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: output ended: %w%s", c.name, err, c.complaint())
	}
	return strings.TrimSuffix(s, "\n"), nil
}

// complaint is the end of what the child said on standard error.
func (c *child) complaint() string {
	text, _ := os.ReadFile(c.log)
	s := strings.TrimSpace(string(text))
	if len(s) > 400 {
		s = "..." + s[len(s)-400:]
	}
	if s == "" {
		return ""
	}
	return ": " + s
}

// listening waits until addr accepts.
func (c *child) listening(ctx context.Context, addr string) error {
	return c.until(ctx, func() error {
		conn, err := net.Dial("tcp4", addr)
		if err != nil {
			return fmt.Errorf("doesn't listen on %s: %w", addr, err)
		}
		return conn.Close()
	})
}

// until waits for ready to return nil, as long as the child lives.
func (c *child) until(ctx context.Context, ready func() error) error {
	limit := time.After(patience)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.exited:
			return fmt.Errorf("%s ended: %w%s", c.name, errOr(c.err), c.complaint())
		case <-limit:
			return fmt.Errorf("%s %w%s", c.name, err, c.complaint())
		case <-again.C:
		}
	}
}

func errOr(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// finish ends the child's input and waits for it: how a load generator ends.
func (c *child) finish() error {
	c.in.Close()
	select {
	case <-c.exited:
		c.pipe.Close()
		return c.err
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("%s doesn't end", c.name), c.stop())
	}
}

// stop asks the child to end, waits, and kills what is left of its session. A
// child that needed killing is an error; one that ended by the signal is not.
func (c *child) stop() error {
	c.in.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-c.exited:
	case <-time.After(patience):
		err = fmt.Errorf("%s: had to be killed", c.name)
	}
	// The group's number can't have been given to another while any of it is
	// left, and when none is the signal goes nowhere.
	_ = syscall.Kill(-c.session(), syscall.SIGKILL)
	<-c.exited
	c.pipe.Close()
	return err
}

// ports gives out addresses on loopback below the ephemeral range, where a
// connect to a port that nobody listens on can't connect to itself. Each process
// begins elsewhere: between looking at a port and a contender's taking it, another
// run's contender could.
type ports struct{ next int }

func (p *ports) free() (string, error) {
	const first, last = 20_000, 30_000
	if p.next == 0 {
		p.next = os.Getpid() * 97 % (last - first)
	}
	for range last - first {
		addr := fmt.Sprintf("127.0.0.1:%d", first+p.next%(last-first))
		p.next++
		l, err := net.Listen("tcp4", addr)
		if err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no free port from 20000 to 29999")
}
