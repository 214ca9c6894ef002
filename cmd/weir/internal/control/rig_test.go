package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/cmd/weir/internal/control"
	"weir/cmd/weir/internal/stats"
	"weir/config"
)

// patience bounds every wait; nothing is expected to take so long.
const patience = 10 * time.Second

func parse(t testing.TB, format string, args ...any) *config.Snapshot {
	t.Helper()
	s, err := config.Parse([]config.Source{
		{Name: "base", Text: "process.loops = 2\nprocess.drain_timeout = '10s'\nadmin.listen = ''", Kind: config.TOML},
		{Name: "test", Text: fmt.Sprintf(format, args...), Kind: config.TOML},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// journal is a log to look at.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

type rig struct {
	*control.Control
	t   testing.TB
	log *journal
}

func start(t testing.TB, s *config.Snapshot) *rig {
	t.Helper()
	r := &rig{t: t, log: new(journal)}
	var err error
	if r.Control, err = control.New(context.Background(), control.Options{Snapshot: s, Log: slog.New(slog.NewTextHandler(r.log, nil))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Shutdown(ctx)
	})
	return r
}

func (r *rig) apply(s *config.Snapshot) {
	r.t.Helper()
	if err := r.Apply(s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) listener(name string) *stats.Listener {
	r.t.Helper()
	v := r.View()
	for i := range v.Listeners {
		if v.Listeners[i].Name == name {
			return &v.Listeners[i]
		}
	}
	r.t.Fatalf("no listener %q", name)
	return nil
}

// at returns where a listener listens first.
func (r *rig) at(name string) string { return r.listener(name).Binds[0].String() }

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// echo sends a line and wants it back.
func echo(c net.Conn) error {
	const line = "hello\n"
	if _, err := io.WriteString(c, line); err != nil {
		return err
	}
	b := make([]byte, len(line))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != line {
		return fmt.Errorf("%q came back", b)
	}
	return nil
}

func mustEcho(t testing.TB, c net.Conn) {
	t.Helper()
	if err := echo(c); err != nil {
		t.Fatal(err)
	}
}

// once opens a connection, echoes and closes.
func once(addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return errors.Join(echo(c), c.Close())
}

// greeting is what a new connection gets first.
func greeting(t testing.TB, addr string, n int) string {
	t.Helper()
	c := dial(t, addr)
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// closed reports whether nobody listens at addr.
func refused(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within %s", what, patience)
}

// load makes connections to addr, one after another from each of some clients, until stop; every one has to work.
type load struct {
	t    *testing.T
	mu   sync.Mutex
	done int
	errs []error
	quit chan struct{}
	wg   sync.WaitGroup
}

func newLoad(t *testing.T, addr string, clients int) *load {
	l := &load{t: t, quit: make(chan struct{})}
	for range clients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.quit:
					return
				default:
				}
				err := once(addr)
				l.mu.Lock()
				if l.done++; err != nil {
					l.errs = append(l.errs, err)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

// more waits for n more connections.
func (l *load) more(n int) {
	l.t.Helper()
	from := l.count()
	eventually(l.t, "more connections", func() bool { return l.count() >= from+n })
}

func (l *load) stop() {
	l.t.Helper()
	close(l.quit)
	l.wg.Wait()
	if len(l.errs) > 0 {
		l.t.Errorf("%d of %d connections failed, the first with: %v", len(l.errs), l.done, l.errs[0])
	}
}

func (r *rig) logged(want string) bool { return strings.Contains(r.log.String(), want) }

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	eventually(r.t, what, ok)
}
