package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/cmd/weir/internal/echotest"
)

// proxied is a configuration with one listener before one endpoint.
const proxied = `
[process]
loops = 2
drain_timeout = "%s"
[admin]
listen = "127.0.0.1:0"
[listeners.web]
bind = "127.0.0.1:0"
cluster = "web"
[clusters.web]
endpoints = ["%s"]
`

func TestReloadBySignal(t *testing.T) {
	backend := echotest.Serve(t, "")
	file := filepath.Join(t.TempDir(), "weir.toml")
	write(t, file, proxied, "10s", backend)
	p := weir(t, "run", "-c", file, "--set", "clusters.web.connect_attempts=2")
	web := p.at("web")
	c := session(t, web)

	write(t, file, proxied+`
[listeners.more]
bind = "127.0.0.1:0"
cluster = "web"
`, "10s", backend)
	p.signal(syscall.SIGHUP)
	p.says(`level=INFO msg="configuration applied" listeners_added=\[more\]$`)
	session(t, p.at("more"))

	write(t, file, "[listeners.web]\nbind = 1\nclutser = 'x'\n")
	p.signal(syscall.SIGHUP)
	p.says(`level=ERROR msg="configuration refused" error=".*weir.toml:2: listeners.web.bind: `)
	p.says(`level=ERROR msg="configuration refused" error=".*weir.toml:3: listeners.web.clutser: `)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.says(`level=ERROR msg="configuration refused" error="open .*weir.toml: no such file or directory"`)

	// Nothing has changed: the old session, the listeners.
	if err := echo(c); err != nil {
		t.Error(err)
	}
	session(t, web)
	session(t, p.at("more"))
	_, text := get(t, "http://"+p.says(`msg="admin listening" address=(\S+)`)[1]+"/stats?format=text")
	if !strings.Contains(text, "1 applied") || !strings.Contains(text, "2 failed") || !strings.Contains(text, web) {
		t.Errorf("/stats:\n%s", text)
	}

	write(t, file, proxied, "0s", backend)
	p.signal(syscall.SIGHUP)
	p.says(`listeners_removed=\[more\]`)
	p.terminate()
}

func TestTerminateWaitsForSessions(t *testing.T) {
	p := weir(t, "run", "--config-toml", fmt.Sprintf(proxied, "1h", echotest.Serve(t, "")))
	web := p.at("web")
	admin := "http://" + p.says(`msg="admin listening" address=(\S+)`)[1]
	if code, _ := get(t, admin+"/ready"); code != 200 {
		t.Errorf("/ready: %d", code)
	}
	c := session(t, web)
	p.signal(syscall.SIGTERM)
	p.eventually("nobody listens", func() bool {
		other, err := net.Dial("tcp", web)
		if err == nil {
			_ = other.Close()
		}
		return err != nil
	})
	if code, _ := get(t, admin+"/ready"); code != 503 {
		t.Errorf("/ready while draining: %d", code)
	}
	if err := echo(c); err != nil {
		t.Errorf("the session did not go on: %v", err)
	}
	p.signal(syscall.SIGHUP)
	p.says(`level=WARN msg="configuration not taken up" error="weir is shutting down"`)
	_ = c.Close()
	p.ends(0)
	p.says("msg=drained")
}

// slow is a configuration whose endpoints are asked of a DNS server that says nothing, and a channel that is closed when it was asked.
func slow(t *testing.T) (text string, asked <-chan struct{}) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	came := make(chan struct{})
	go func() {
		if _, _, err := server.ReadFrom(make([]byte, 1)); err == nil {
			close(came)
		}
	}()
	return fmt.Sprintf("\n[listeners.slow]\nbind = '127.0.0.1:0'\ncluster = 'slow'\n[clusters.slow]\ndiscover = { dns = 'slow.internal:80', servers = [%q] }\n",
		server.LocalAddr()), came
}

func (p *process) wait(what string, c <-chan struct{}) {
	p.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		p.t.Fatalf("%s: not within %s", what, patience)
	}
}

// A signal ends weir also while it waits for first answers of DNS.
func TestTerminateBeforeItRuns(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		text, asked := slow(t)
		p := weir(t, "run", "--config-toml", text, "--set", `admin.listen=""`)
		p.wait("it asks", asked)
		p.signal(syscall.SIGHUP) // comes to nothing
		p.signal(s)
		p.ends(0)
		p.says(`msg="ended before it ran"`)
		if log := p.log(); strings.Contains(log, "listening") || strings.Contains(log, "level=WARN") {
			t.Errorf("it said:\n%s", log)
		}
	}
}

// What SIGHUP says before it runs is done then.
func TestReloadBeforeItRuns(t *testing.T) {
	text, asked := slow(t)
	p := weir(t, "run", "--config-toml", text, "--set", `admin.listen=""`)
	p.wait("it asks", asked)
	p.signal(syscall.SIGHUP)
	p.says(`level=INFO msg="waiting for the first answers of discovery" at_most=3s$`)
	p.says(`msg="weir runs"`)
	p.says(`msg="no endpoints discovered yet" cluster=slow$`)
	p.says(`msg="configuration read again, nothing changed"`)
	p.terminate()
}

// A change that waits for first answers of DNS doesn't keep weir from ending, nor another change from being taken up after it.
func TestSignalsWhileAChangeWaits(t *testing.T) {
	backend := echotest.Serve(t, "")
	file := filepath.Join(t.TempDir(), "weir.toml")
	write(t, file, proxied, "10s", backend)
	p := weir(t, "run", "-c", file)
	web := p.at("web")
	for _, last := range []bool{false, true} {
		text, asked := slow(t)
		write(t, file, proxied+text, "10s", backend)
		p.signal(syscall.SIGHUP)
		p.wait("it asks", asked)
		session(t, web)
		if last {
			break
		}
		write(t, file, proxied, "24h", backend)
		p.signal(syscall.SIGHUP)
		p.says(`msg="configuration applied" .*listeners_added=\[slow\]`)
		p.says(`msg="configuration applied" .*listeners_removed=\[slow\]`)
	}
	p.signal(syscall.SIGTERM)
	p.says("msg=draining")
	p.says(`level=WARN msg="configuration not taken up" error="weir is shutting down"`)
	p.signal(syscall.SIGTERM)
	p.ends(1)
}

func TestDrainEndsSessionsInTime(t *testing.T) {
	p := weir(t, "run", "--config-toml", fmt.Sprintf(proxied, "500ms", echotest.Serve(t, "")))
	web := p.at("web")
	var conns []net.Conn
	for range 20 {
		conns = append(conns, session(t, web))
	}
	p.terminate()
	for _, c := range conns {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a session was not ended")
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := weir(t, "run", "--config-toml", fmt.Sprintf(proxied, "24h", echotest.Serve(t, "")))
		session(t, p.at("web"))
		p.signal(syscall.SIGTERM)
		p.says("msg=draining sessions=1")
		p.signal(s)
		p.ends(1)
		p.says("^weir: ended by a second signal$")
	}
}

func TestFormatFollowsTheConfiguration(t *testing.T) {
	backend := echotest.Serve(t, "")
	file := filepath.Join(t.TempDir(), "weir.toml")
	write(t, file, proxied+"[process]", "1s", backend) // a table twice: refused
	if out, err := exec.Command(binary, "check", "-c", file).CombinedOutput(); err == nil {
		t.Fatalf("%s", out)
	}
	write(t, file, proxied, "1s", backend)
	p := weir(t, "run", "-c", file)
	p.at("web")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("[process]"), []byte("[process]\nlog_format = \"json\""), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.says(`"configuration applied"`)
	p.signal(syscall.SIGHUP)
	p.says(`^\{.*"msg":"configuration read again, nothing changed"\}`)
	p.terminate()
}

func TestDemo(t *testing.T) {
	p := weir(t, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	web := "http://" + p.at("demo")
	admin := "http://" + p.says(`msg="admin listening" address=(\S+)`)[1]
	p.says("weir runs")
	seen := map[string]int{}
	for range 6 {
		_, line := get(t, web)
		seen[line]++
	}
	for _, line := range []string{"backend 1 (one)\n", "backend 2 (two)\n", "backend 3 (three)\n"} {
		if seen[line] != 2 {
			t.Errorf("%q came %d times of 6", line, seen[line])
		}
	}
	if code, _ := get(t, admin+"/ready"); code != 200 {
		t.Errorf("/ready: %d", code)
	}
	p.terminate()
}

func TestDemoRefusesNonsense(t *testing.T) {
	p := weir(t, "demo", "--listen", "nonsense", "--admin", "")
	p.ends(2)
	p.says(`^demo:\d+: listeners.demo.bind: `)
}
