package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait; nothing is expected to take so long.
const patience = 60 * time.Second

// program is a running program. Its test ends it at the latest, and shows what it said when the test has failed.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   output // standard output and error, unless the command says otherwise
	end   os.Signal
	ended chan struct{} // closed when it has ended
}

// output collects what a program says. The zero value is ready.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// from returns what came after the first n bytes.
func (o *output) from(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text.Bytes()[n:])
}

// tail returns the last of it, fit to be printed.
func (o *output) tail() string {
	text := o.String()
	return strings.ToValidUTF8(text[max(0, len(text)-8<<10):], "?")
}

// command is a command in an environment where no setting of this machine's user matters: no ~/.curlrc, PGHOST or http_proxy.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=" + cmd.Dir, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1"}
	return cmd
}

// launch starts a command, which is to end when it gets the signal.
func launch(t *testing.T, cmd *exec.Cmd, end os.Signal) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd, end: end, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.out
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // a test that timed out leaves nothing behind
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // the exit code says it all
		close(p.ended)
	}()
	t.Cleanup(func() {
		server := p.running()
		if server {
			_ = cmd.Process.Signal(p.end)
		}
		select {
		case <-p.ended:
		case <-time.After(patience):
			t.Errorf("%s goes on after %s", cmd.Path, p.end)
			_ = cmd.Process.Kill()
			<-p.ended
		}
		if code := cmd.ProcessState.ExitCode(); t.Failed() && (server || code != 0) {
			t.Logf("%s\nexit code %d, said:\n%s", cmd, code, p.out.tail())
		}
	})
	return p
}

func (p *program) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v", p.cmd.Path, err)
	}
}

// code waits for the end and returns the exit code, -1 if a signal ended it.
func (p *program) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s: goes on after %s", p.cmd.Path, patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// succeeds waits for the end, wants exit code 0, and returns what the program said.
func (p *program) succeeds() string {
	p.t.Helper()
	if code := p.code(); code != 0 {
		p.t.Fatalf("%s: exit code %d", p.cmd.Path, code)
	}
	return p.out.String()
}

// run runs a command to its end, which has to be success, and returns what it said.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	return launch(t, cmd, os.Kill).succeeds()
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within %s", what, patience)
}

// serve starts a server on a free port, waits until it accepts connections, and returns its address. The port may be taken by
// somebody else before the server has it: then the server ends and another is tried.
func serve(t *testing.T, end os.Signal, with func(host, port string) *exec.Cmd) (p *program, addr string) {
	t.Helper()
	for range 3 {
		addr = freeAddress(t)
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		p = launch(t, with(host, port), end)
		eventually(t, p.cmd.Path+" listens", func() bool { return !p.running() || accepts(addr) })
		if p.running() {
			return p, addr
		}
		t.Logf("%s did not start: %s", p.cmd, &p.out)
	}
	t.Fatalf("%s does not start", p.cmd.Path)
	return nil, ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func accepts(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// split returns host and port of an address, which is a valid one.
func split(t *testing.T, addr string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// random returns n bytes that no compression makes less of, the same each time.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	return b
}

// quote lists addresses as TOML strings.
func quote(addrs ...string) string {
	var b []byte
	for i, a := range addrs {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, "%q", a)
	}
	return string(b)
}
