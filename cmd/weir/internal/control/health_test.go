package control_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/lb/health"
)

// named is a backend that greets with its name; it can stop listening and begin again.
type named struct {
	t    testing.TB
	name string
	at   string
	ln   net.Listener
}

func serveName(t testing.TB, name string) *named {
	b := &named{t: t, name: name, at: "127.0.0.1:0"}
	b.listen()
	t.Cleanup(b.stop)
	return b
}

func (b *named) listen() {
	b.t.Helper()
	ln, err := net.Listen("tcp", b.at)
	if err != nil {
		b.t.Fatal(err)
	}
	b.ln, b.at = ln, ln.Addr().String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, b.name)
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
}

func (b *named) stop() { _ = b.ln.Close() }

func (r *rig) state(cluster, endpoint string) health.State {
	for _, c := range r.View().Clusters {
		if c.Name != cluster {
			continue
		}
		for _, e := range c.Endpoints {
			if e.Address.String() == endpoint {
				return e.Condition().Check
			}
		}
	}
	return health.Unknown
}

const checked = `
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
[clusters.out]
policy = "first"
endpoints = [%q, %q]
connect_attempts = 1
%s
[clusters.out.health]
interval = "20ms"
fast_interval = "10ms"
expect = %q
on_down = %q
`

// An endpoint whose checks fail gets no new connections, through a reload as well, and is back when they pass.
func TestChecks(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	text := fmt.Sprintf(checked, a.at, b.at, "", "~[ab]", "keep")
	r := start(t, parse(t, "%s", text))
	r.eventually("both are up", func() bool { return r.state("out", a.at) == health.Up && r.state("out", b.at) == health.Up })
	at := r.at("in")
	r.eventually("the first greets", func() bool { return greeted(at) == "a" })
	a.stop()
	r.eventually("the first is down", func() bool { return r.state("out", a.at) == health.Down })
	r.eventually("the second greets", func() bool { return greeted(at) == "b" })
	r.apply(parse(t, "%s\n[listeners.more]\nbind = '127.0.0.1:0'\ncluster = 'out'", strings.Replace(text, "connect_attempts = 1", "connect_attempts = 2", 1)))
	if s := r.state("out", a.at); s != health.Down {
		t.Errorf("after a reload the first is %v", s)
	}
	if got := greeting(t, r.at("more"), 1); got != "b" {
		t.Fatalf("%q greets after a reload", got)
	}
	a.listen()
	r.eventually("the first is up", func() bool { return r.state("out", a.at) == health.Up })
	r.eventually("the first greets", func() bool { return greeted(at) == "a" })
	for _, want := range []string{`msg="endpoint down" cluster=out endpoint=` + a.at, `result="connection refused"`, `msg="endpoint up" cluster=out endpoint=` + a.at} {
		if n := strings.Count(r.log.String(), want); n != 1 {
			t.Errorf("the log has %q %d times:\n%s", want, n, r.log)
		}
	}
}

// on_down says what becomes of the sessions.
func TestOnDown(t *testing.T) {
	for _, onDown := range []string{"keep", "close"} {
		t.Run(onDown, func(t *testing.T) {
			a, b := serveName(t, "a"), serveName(t, "b")
			r := start(t, parse(t, checked, a.at, b.at, "", "~[ab]", onDown))
			c := dial(t, r.at("in"))
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			a.stop()
			r.eventually("the first is down", func() bool { return r.state("out", a.at) == health.Down })
			if onDown == "keep" {
				mustEcho(t, c)
				return
			}
			if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
				t.Errorf("the session of an endpoint that is down: %v", err)
			}
		})
	}
}

// A configuration that can't be had changes nothing, also where only the checks' files are at fault.
func TestHealthTLSFiles(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	text := fmt.Sprintf(checked, a.at, b.at, "", "~[ab]", "keep")
	r := start(t, parse(t, "%s", text))
	err := r.Apply(parse(t, "%s\n[clusters.out.health.tls]\nca = '/nowhere/ca.pem'", text))
	if err == nil || !strings.Contains(err.Error(), `cluster "out": health: tls: ca: open /nowhere/ca.pem`) {
		t.Errorf("error: %v", err)
	}
	r.eventually("it goes on", func() bool { return r.state("out", a.at) == health.Up })
}

const discovered = `
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
[clusters.out]
policy = "first"
discover = { file = %q }
`

// Endpoints of a file are taken up as the file changes, and stay when it can't be read.
func TestDiscoverFile(t *testing.T) {
	a, b := serveName(t, "a"), serveName(t, "b")
	file := filepath.Join(t.TempDir(), "out.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(`[%q]`, a.at))
	r := start(t, parse(t, discovered, file))
	at := r.at("in")
	if got := greeting(t, at, 1); got != "a" {
		t.Fatalf("%q greets", got)
	}
	live := dial(t, at)
	if _, err := io.ReadFull(live, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	write(fmt.Sprintf(`{"endpoints": [{"address": %q, "weight": 2}, %q]}`, b.at, a.at))
	defer func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	}()
	r.eventually("the other greets", func() bool { return greeted(at) == "b" })
	mustEcho(t, live)
	r.apply(parse(t, "%s\nconnect_attempts = 2", fmt.Sprintf(discovered, file)))
	if got := greeting(t, at, 1); got != "b" {
		t.Fatalf("%q greets after a reload", got)
	}
	// A change that is refused loses nothing, though the resolver had to begin anew.
	if err := r.Apply(parse(t, "%s\n[clusters.out.health.tls]\nca = '/nowhere'", fmt.Sprintf(discovered, filepath.Join(t.TempDir(), "other.json")))); err == nil {
		t.Fatal("taken up")
	}
	r.apply(parse(t, "%s\nconnect_attempts = 1", fmt.Sprintf(discovered, file)))
	if got := greeted(at); got != "b" {
		t.Fatalf("%q greets after a change that was refused", got)
	}
	write(`{"endpoints": [`)
	r.eventually("the error is told", func() bool { d, ok := r.View().Discovery("out"); return ok && d.LastError != "" })
	if got := greeting(t, at, 1); got != "b" {
		t.Fatalf("%q greets after the file went bad", got)
	}
	r.apply(parse(t, "[listeners.in]\nbind = '127.0.0.1:0'\ncluster = 'out'\n[clusters.out]\nendpoints = [%q]", a.at))
	if _, ok := r.View().Discovery("out"); ok {
		t.Error("a cluster with endpoints of its own is still discovered")
	}
}

// A cluster whose endpoints nobody knows yet is no error.
func TestDiscoverNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing.toml")
	r := start(t, parse(t, discovered, file))
	if !strings.Contains(r.log.String(), `msg="no endpoints discovered yet" cluster=out`) {
		t.Errorf("the log doesn't say so:\n%s", r.log)
	}
	if got := greeted(r.at("in")); got != "" {
		t.Errorf("a connection to no endpoint is greeted with %q", got)
	}
	r.eventually("the refusal is logged", func() bool {
		return strings.Contains(r.log.String(), `msg="connections refused" listener=in reason=no_endpoint count=1`)
	})
	a := serveName(t, "a")
	if err := os.WriteFile(file, []byte(fmt.Sprintf("endpoints = [%q]", a.at)), 0o600); err != nil {
		t.Fatal(err)
	}
	r.eventually("it is found", func() bool { return greeted(r.at("in")) == "a" })
}

// greeted returns what a new connection is greeted with, "" when it is refused.
func greeted(at string) string {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		return ""
	}
	return string(b)
}
