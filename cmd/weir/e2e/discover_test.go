package e2e

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestDiscoverDNS moves a service from one address to another in a real dnsmasq, with health checks on, and then has dnsmasq end.
func TestDiscoverDNS(t *testing.T) {
	one := greeter(t, "127.0.0.2:0", "1")
	port := one.Addr().(*net.TCPAddr).Port
	greeter(t, fmt.Sprintf("127.0.0.3:%d", port), "2")

	path := need(t, "dnsmasq")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	hosts, conf := filepath.Join(dir, "hosts"), filepath.Join(dir, "dnsmasq.conf")
	writeFile(t, hosts, "127.0.0.2 web.test\n")
	names, server := serveUDP(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		writeFile(t, conf, fmt.Sprintf(`
keep-in-foreground
user=%s
pid-file
log-facility=-
no-resolv
no-hosts
bind-interfaces
listen-address=%s
port=%s
local=/test/
addn-hosts=%s
`, me.Username, host, port, hosts))
		return command(t, path, "-C", conf)
	})

	p := weir(t, fmt.Sprintf(`
process.drain_timeout = "100ms"
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
[clusters.out]
discover = { dns = "web.test:%d", servers = [%q], refresh = "100ms" }
[clusters.out.health]
interval = "50ms"
`, port, server))
	at := p.at()
	eventually(t, "the first address greets", func() bool { return greetedBy(at) == "1" })
	old := dialGreeted(t, at)

	writeFile(t, hosts, "127.0.0.3 web.test\n")
	names.signal(syscall.SIGHUP)
	eventually(t, "the second address greets", func() bool { return greetedBy(at) == "2" })
	p.says(fmt.Sprintf(`msg="endpoints discovered" cluster=out endpoints=1 added=\[?127.0.0.3:%d\]? removed=\[?127.0.0.2:%d\]?`, port, port))
	_ = old.SetDeadline(time.Now().Add(patience))
	if _, err := old.Read(make([]byte, 1)); err == nil {
		t.Error("the session of an address that is gone was not drained")
	}

	names.signal(syscall.SIGTERM)
	p.says(`msg="discovery fails" cluster=out`)
	if got := greetedBy(at); got != "2" {
		t.Errorf("without a name server %q greets", got)
	}
}

// greeter greets who connects with a text, and waits for the end.
func greeter(t *testing.T, at, text string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, text)
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return ln
}

// greetedBy returns what a new connection is greeted with, "" when it isn't.
func greetedBy(at string) string {
	c, err := net.DialTimeout("tcp", at, patience)
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

// dialGreeted opens a connection and waits for its greeting.
func dialGreeted(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}
