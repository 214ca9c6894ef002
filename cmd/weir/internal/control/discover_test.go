package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"weir/cmd/weir/internal/control"
	"weir/l4"
)

// mute is a DNS server that says nothing until it is told to; then it fails.
type mute struct {
	conn  net.PacketConn
	asked chan struct{} // closed with the first question
	tell  chan struct{} // closed when it may answer
}

func serveNothing(t testing.TB) *mute {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mute{conn: conn, asked: make(chan struct{}), tell: make(chan struct{})}
	t.Cleanup(func() { _ = conn.Close() })
	go m.run()
	return m
}

func (m *mute) run() {
	b := make([]byte, 4096)
	for first := true; ; first = false {
		n, from, err := m.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if first {
			close(m.asked)
		}
		question := append([]byte(nil), b[:n]...)
		go func() {
			<-m.tell
			question[2] |= 0x80               // a response
			question[3] = question[3]&^15 | 2 // SERVFAIL
			_, _ = m.conn.WriteTo(question, from)
		}()
	}
}

// cluster is the configuration of one that asks the server.
func (m *mute) cluster(name string) string {
	return fmt.Sprintf("\n[clusters.%s]\ndiscover = { dns = 'slow.internal:80', servers = [%q] }\n", name, m.conn.LocalAddr())
}

func wait(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-c:
	case <-ctx.Done():
		t.Fatalf("%s: not within %s", what, patience)
	}
}

// endpointsFile is a file of endpoints.
type endpointsFile struct {
	t    testing.TB
	path string
}

func newEndpointsFile(t testing.TB, addresses ...string) *endpointsFile {
	f := &endpointsFile{t, filepath.Join(t.TempDir(), "endpoints.toml")}
	f.write(addresses...)
	return f
}

func (f *endpointsFile) write(addresses ...string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", fmt.Appendf(nil, "endpoints = ['%s']", strings.Join(addresses, "', '")), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

func (r *rig) endpoints(cluster string) (all []*l4.Endpoint) {
	for _, c := range r.View().Clusters {
		if c.Name == cluster {
			all = c.Endpoints
		}
	}
	return all
}

// What a change looks for is not taken up before the change is, and not if it is refused.
func TestRefusedChangeTakesUpNothing(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	before, after := newEndpointsFile(t, a.at), newEndpointsFile(t, b.at)
	r := start(t, parse(t, discovered, before.path))
	at := r.at("in")
	if got := greeting(t, at, 1); got != "a" {
		t.Fatalf("%q greets", got)
	}
	if err := os.Remove(before.path); err != nil { // so that nothing but what runs is left of it
		t.Fatal(err)
	}
	slow := serveNothing(t)
	refused := make(chan error)
	go func() {
		refused <- r.Apply(parse(t, "%s%s[listeners.taken]\nbind = %q\ncluster = 'slow'", fmt.Sprintf(discovered, after.path), slow.cluster("slow"), a.at))
	}()
	wait(t, "it asks", slow.asked)
	r.eventually("the other file is read", func() bool { return r.logged("added=[" + b.at + "]") })
	if got := greeting(t, at, 1); got != "a" {
		t.Errorf("%q greets while the change waits", got)
	}
	close(slow.tell)
	if err := <-refused; err == nil || !strings.Contains(err.Error(), `listener "taken"`) {
		t.Fatalf("error: %v", err)
	}
	r.eventually("the file is missed", func() bool { d, ok := r.View().Discovery("out"); return ok && d.LastError != "" })
	if got := greeting(t, at, 1); got != "a" {
		t.Errorf("%q greets after a change that was refused", got)
	}
}

// A cluster that gets another source keeps its endpoints until that one answers, and endpoints of the same address are the same ones.
func TestEndpointsStayUntilTheSourceAnswers(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	own := fmt.Sprintf("[listeners.in]\nbind = '127.0.0.1:0'\ncluster = 'out'\n[clusters.out]\npolicy = 'first'\nendpoints = [%q]", a.at)
	r := start(t, parse(t, "%s", own))
	at := r.at("in")
	was := r.endpoints("out")[0]
	live := dial(t, at)
	if _, err := io.ReadFull(live, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	file := &endpointsFile{t, filepath.Join(t.TempDir(), "late.toml")}
	r.apply(parse(t, discovered, file.path))
	if got := greeting(t, at, 1); got != "a" {
		t.Fatalf("%q greets while nothing is discovered", got)
	}
	if want := `msg="no endpoints discovered yet" cluster=out keeping=1`; !r.logged(want) {
		t.Errorf("the log lacks %s:\n%s", want, r.log)
	}
	file.write(b.at, a.at)
	r.eventually("the file is taken up", func() bool { return len(r.endpoints("out")) == 2 })
	if got := greeting(t, at, 1); got != "b" {
		t.Errorf("%q greets", got)
	}
	mustEcho(t, live)
	if now := r.endpoints("out"); len(now) != 2 || now[1] != was {
		t.Error("the discovered endpoint is another one")
	}
	r.apply(parse(t, "%s", own))
	mustEcho(t, live)
	if now := r.endpoints("out"); len(now) != 1 || now[0] != was {
		t.Error("the configured endpoint is another one")
	}
}

// An endpoint that isn't discovered any more is drained. What was discovered is no change of the configuration.
func TestVanishedEndpointDrains(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	file := newEndpointsFile(t, a.at, b.at)
	text := fmt.Sprintf(discovered, file.path) + "\n[process]\ndrain_timeout = '50ms'"
	r := start(t, parse(t, "%s", text))
	live := dial(t, r.at("in"))
	if _, err := io.ReadFull(live, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	file.write(b.at)
	if _, err := io.Copy(io.Discard, live); os.IsTimeout(err) {
		t.Error("the session of an endpoint that is gone goes on")
	}
	if got := greeting(t, r.at("in"), 1); got != "b" {
		t.Errorf("%q greets", got)
	}
	r.apply(parse(t, "%s", text))
	if !r.logged(`msg="configuration read again, nothing changed"`) {
		t.Errorf("the log doesn't say that nothing changed:\n%s", r.log)
	}
	if len(r.Snapshot().Cluster("out").Endpoints) > 0 {
		t.Error("the configuration has endpoints that were discovered")
	}
	if n := r.View().Reloads.Applied; n != 1 {
		t.Errorf("%d reloads", n)
	}
}

// Discovery, reloads and traffic at once, and an end in the middle of it.
func TestDiscoverAndReloadAtOnce(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	file, other := newEndpointsFile(t, a.at, b.at), newEndpointsFile(t, b.at)
	r := start(t, parse(t, discovered, file.path))
	at := r.at("in")
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			path := file.path
			if i%2 == 0 {
				path = other.path
			}
			if err := r.Apply(parse(t, "%s\nconnect_attempts = %d", fmt.Sprintf(discovered, path), 1+i%3)); err != nil && !errors.Is(err, control.ErrDraining) {
				t.Error(err)
			}
			file.write(a.at, b.at)
			other.write(b.at, a.at)
		}
	}()
	for range 200 {
		if got := greeted(at); got == "" {
			t.Fatal("a connection was refused")
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.Shutdown(ctx)
	close(quit)
	wait(t, "the reloads end", ended)
}

// Who shuts down doesn't wait for answers that a change waits for.
func TestShutdownWhileAChangeWaits(t *testing.T) {
	a := serveName(t, "a")
	file := newEndpointsFile(t, a.at)
	r := start(t, parse(t, discovered, file.path))
	slow := serveNothing(t)
	applied := make(chan error, 1)
	go func() { applied <- r.Apply(parse(t, "%s%s", fmt.Sprintf(discovered, file.path), slow.cluster("slow"))) }()
	wait(t, "it asks", slow.asked)
	r.Shutdown(context.Background())
	if err := <-applied; !errors.Is(err, control.ErrDraining) {
		t.Errorf("the change: %v", err)
	}
	if err := r.Apply(r.Snapshot()); !errors.Is(err, control.ErrDraining) {
		t.Errorf("a change afterwards: %v", err)
	}
	if r.logged("no endpoints discovered yet") {
		t.Errorf("the log of a change that came to nothing:\n%s", r.log)
	}
	v := r.View() // as requests that the administrative side still answers may have it
	if n := v.Checks().Targets; n != 0 {
		t.Errorf("%d endpoints are checked", n)
	}
	if d, ok := v.Discovery("out"); !ok || d.Endpoints != 1 {
		t.Errorf("discovery: %+v, %v", d, ok)
	}
	_ = v.Pressure()
}

// Whatever New has begun has ended when it fails.
func TestNewThatFails(t *testing.T) {
	taken, slow := serveName(t, "x"), serveNothing(t)
	file := newEndpointsFile(t, taken.at)
	whole := fmt.Sprintf(discovered, file.path) + slow.cluster("slow") + "\n[clusters.checked]\nendpoints = ['127.0.0.1:1']\nhealth = {}\n[admin]\nlisten = '127.0.0.1:0'"
	goroutines := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() {
		_, err := control.New(ctx, control.Options{Snapshot: parse(t, "%s", whole), Log: slog.New(slog.DiscardHandler)})
		failed <- err
	}()
	wait(t, "it asks", slow.asked)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its context: %v", err)
	}
	close(slow.tell)
	_, err := control.New(context.Background(), control.Options{
		Snapshot: parse(t, "%s\n[listeners.taken]\nbind = %q\ncluster = 'out'", whole, taken.at), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), `listener "taken"`) {
		t.Errorf("an address in use: %v", err)
	}
	eventually(t, "all its goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}
