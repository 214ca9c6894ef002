package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"weir/cmd/weir/internal/control"
	"weir/cmd/weir/internal/echotest"
	"weir/config"
)

func Example() {
	snapshot, err := config.Parse([]config.Source{{Kind: config.TOML, Text: `
admin.listen = ""
[listeners.web]
bind = "127.0.0.1:0"
cluster = "web"
[clusters.web]
endpoints = ["127.0.0.1:80"]`}})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := control.New(context.Background(), control.Options{Snapshot: snapshot, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.View().Listeners[0].Binds[0].Port() != 0)
	c.Shutdown(context.Background())
	// Output: true
}

const one = `
[listeners.web]
bind = "%s"
cluster = "web"
[clusters.web]
endpoints = ["%s"]
`

func TestListenersComeChangeAndGo(t *testing.T) {
	a, b := echotest.Serve(t, "A"), echotest.Serve(t, "B")
	r := start(t, parse(t, one, "127.0.0.1:0", a))
	web := r.at("web")
	if got := greeting(t, web, 1); got != "A" {
		t.Fatalf("greeted by %q", got)
	}
	old := dial(t, web)
	_, _ = io.ReadFull(old, make([]byte, 1))

	const both = one + `
[listeners.more]
bind = "127.0.0.1:0"
cluster = "more"
[clusters.more]
endpoints = ["%s"]
`
	r.apply(parse(t, both, "127.0.0.1:0", a, b))
	if got := r.at("web"); got != web {
		t.Errorf("the unchanged listener moved from %s to %s", web, got)
	}
	more := r.at("more")
	if got := greeting(t, more, 1); got != "B" {
		t.Errorf("greeted by %q", got)
	}
	mustEcho(t, old)

	r.apply(parse(t, both, "127.0.0.1:0", b, a))
	if got := greeting(t, web, 1); got != "B" {
		t.Errorf("after the change greeted by %q", got)
	}
	if got := greeting(t, more, 1); got != "A" {
		t.Errorf("after the change greeted by %q", got)
	}

	r.apply(parse(t, one, "127.0.0.1:0", b))
	if !refused(more) {
		t.Error("the removed listener still listens")
	}
	if got := r.View().Reloads; got.Applied != 3 || got.Failed != 0 {
		t.Errorf("reloads: %+v", got)
	}
	if !r.logged("listeners_added=[more]") || !r.logged("listeners_removed=[more]") || !r.logged("clusters_changed=") {
		t.Errorf("log:\n%s", r.log)
	}
}

// The removed endpoint's sessions end within the drain's time, those of others go on.
func TestRemovedEndpointDrains(t *testing.T) {
	a, b := echotest.Serve(t, "A"), echotest.Serve(t, "B")
	r := start(t, parse(t, one, "127.0.0.1:0", a))
	leaves := dial(t, r.at("web"))
	_, _ = io.ReadFull(leaves, make([]byte, 1))
	quick := parse(t, one, "127.0.0.1:0", b)
	quick.Process.DrainTimeout = 0
	r.apply(quick)
	if _, err := leaves.Read(make([]byte, 1)); err == nil {
		t.Error("the session of the removed endpoint goes on")
	} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Error("the session of the removed endpoint was not ended")
	}
	stays := dial(t, r.at("web"))
	_, _ = io.ReadFull(stays, make([]byte, 1))
	r.apply(parse(t, one+"connect_attempts = 1", "127.0.0.1:0", b))
	mustEcho(t, stays)
}

func TestFailedBindChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	a, b := echotest.Serve(t, "A"), echotest.Serve(t, "B")
	r := start(t, parse(t, one, "127.0.0.1:0", a))
	web := r.at("web")
	before := r.View().Listeners[0].State

	bad := parse(t, one+`
[listeners.a_good]
bind = "127.0.0.1:0"
cluster = "web"
[listeners.taken]
bind = %q
cluster = "web"`, "127.0.0.1:0", b, taken.Addr())
	err = r.Apply(bad)
	if err == nil || !strings.Contains(err.Error(), `listener "taken"`) || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("error: %v", err)
	}
	if got := greeting(t, web, 1); got != "A" {
		t.Errorf("greeted by %q", got)
	}
	v := r.View()
	if len(v.Listeners) != 1 || v.Listeners[0].State != before {
		t.Errorf("listeners: %+v", v.Listeners)
	}
	if v.Reloads.Failed != 1 || v.Reloads.LastError == "" {
		t.Errorf("reloads: %+v", v.Reloads)
	}
	_ = taken.Close()
	r.apply(bad)
	if got := greeting(t, taken.Addr().String(), 1); got != "B" {
		t.Errorf("greeted by %q", got)
	}
}

// Another weir of the same user would share the port by SO_REUSEPORT.
func TestPortOfAnotherIsNotShared(t *testing.T) {
	a := echotest.Serve(t, "A")
	r := start(t, parse(t, one, "127.0.0.1:0", a))
	_, err := control.New(context.Background(), control.Options{Snapshot: parse(t, one, r.at("web"), a), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error: %v", err)
	}
}

func TestBadCongestionChangesNothing(t *testing.T) {
	r := start(t, parse(t, one, "127.0.0.1:0", echotest.Serve(t, "A")))
	web := r.at("web")
	s := parse(t, one, "127.0.0.1:0", echotest.Serve(t, "B"))
	s.Listeners[0].TCP.Congestion = "no_such_thing"
	if err := r.Apply(s); err == nil || !strings.Contains(err.Error(), "no_such_thing") {
		t.Errorf("error: %v", err)
	}
	if got := greeting(t, web, 1); got != "A" {
		t.Errorf("greeted by %q", got)
	}
}

func TestRestartKeysAreNamed(t *testing.T) {
	a := echotest.Serve(t, "A")
	r := start(t, parse(t, one, "127.0.0.1:0", a))
	r.apply(parse(t, one+"connect_attempts = 2\n[process]\nloops = 1", "127.0.0.1:0", a))
	if !r.logged("key=process.loops") || len(r.View().Loops) != 2 {
		t.Errorf("loops %d, log:\n%s", len(r.View().Loops), r.log)
	}
	if got := r.View().Clusters[0].Attempts; got != 2 {
		t.Errorf("the rest was not applied: %d attempts", got)
	}
}

func TestMaxConnections(t *testing.T) {
	a := echotest.Serve(t, "")
	r := start(t, parse(t, one+"[process]\nmax_connections = 7", "127.0.0.1:0", a))
	if got := r.View().Shared.Max(); got != 7 {
		t.Errorf("limit %d, want 7", got)
	}
	r.apply(parse(t, one, "127.0.0.1:0", a))
	derived := r.View().Shared.Max()
	if derived <= 7 {
		t.Errorf("derived limit %d", derived)
	}
	r.apply(parse(t, one+"[process]\nmax_connections = 1_000_000_000", "127.0.0.1:0", a))
	if got := r.View().Shared.Max(); got != derived || !r.logged("process.max_connections is more than") {
		t.Errorf("limit %d, want %d, log:\n%s", got, derived, r.log)
	}
}

func TestShutdownWaitsForSessions(t *testing.T) {
	r := start(t, parse(t, one, "127.0.0.1:0", echotest.Serve(t, "")))
	c := dial(t, r.at("web"))
	mustEcho(t, c)
	done := make(chan struct{})
	go func() {
		r.Shutdown(context.Background())
		close(done)
	}()
	eventually(t, "draining", func() bool { return r.View().Draining })
	eventually(t, "no listener", func() bool { return refused(r.at("web")) })
	if err := r.Apply(r.Snapshot()); !errors.Is(err, control.ErrDraining) {
		t.Errorf("a change while draining: %v", err)
	}
	_ = c.Close()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("Shutdown goes on without sessions")
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	r := start(t, parse(t, one, "127.0.0.1:0", echotest.Serve(t, "")))
	var conns []net.Conn
	for range 8 {
		conns = append(conns, dial(t, r.at("web")))
		mustEcho(t, conns[len(conns)-1])
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.Shutdown(ctx)
	for _, c := range conns {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
			t.Error("a session was left open")
		}
	}
	if n := r.View().Shared.Active(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// Sessions end one after another over the time of the drain, not all at once.
func TestDrainIsGradual(t *testing.T) {
	s := parse(t, one, "127.0.0.1:0", echotest.Serve(t, ""))
	s.Process.DrainTimeout = 2 * time.Second
	r := start(t, s)
	const n = 40
	ended := make(chan time.Time, n)
	for range n {
		c := dial(t, r.at("web"))
		mustEcho(t, c)
		go func() {
			_, _ = io.Copy(io.Discard, c)
			ended <- time.Now()
		}()
	}
	r.Shutdown(context.Background())
	instants := map[int64]bool{}
	for range n {
		instants[(<-ended).UnixMilli()/100] = true
	}
	if len(instants) < 2 {
		t.Errorf("all sessions ended at once")
	}
}
