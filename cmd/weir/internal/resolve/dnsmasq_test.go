package resolve

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/config"
)

// dnsmasq is a real server, with the addresses of a file that it reads again on SIGHUP.
type dnsmasq struct {
	t     testing.TB
	path  string
	addr  netip.AddrPort
	conf  string
	hosts string

	cmd *exec.Cmd
	out *logged
	end chan error // has its end
}

func newDnsmasq(t testing.TB, hosts string) *dnsmasq {
	t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/dnsmasq"); err != nil {
			if os.Getenv("WEIR_TEST_REAL") == "1" {
				t.Fatal("dnsmasq is not installed")
			}
			t.Skip("dnsmasq is not installed")
		}
	}
	dir := t.TempDir()
	d := &dnsmasq{t: t, path: path, conf: filepath.Join(dir, "dnsmasq.conf"), hosts: filepath.Join(dir, "hosts")}
	write(t, d.hosts, hosts)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d.addr = freePort(t)
		write(t, d.conf, fmt.Sprintf(`
keep-in-foreground
user=%s
pid-file
log-facility=-
no-resolv
no-hosts
bind-interfaces
listen-address=127.0.0.1
port=%d
local=/test/
local-ttl=7
addn-hosts=%s
cname=alias.test,web.test
srv-host=_http._tcp.web.test,s1.test,8081,0,10
srv-host=_http._tcp.web.test,s2.test,8082,1,0
srv-host=_none._tcp.web.test
`, me.Username, d.addr.Port(), d.hosts))
		if d.start() {
			t.Cleanup(d.stop)
			return d
		}
		t.Logf("dnsmasq did not start: %s", d.out)
	}
	t.Fatal("dnsmasq does not start")
	return nil
}

// start reports whether it listens; it doesn't when somebody else has taken its port.
func (d *dnsmasq) start() bool {
	d.t.Helper()
	d.cmd, d.out, d.end = exec.Command(d.path, "-C", d.conf), new(logged), make(chan error, 1)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	// It ends with the test, however that ends.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() { d.end <- d.cmd.Wait() }()
	eventually(d.t, "dnsmasq listens or ends", func() bool {
		if len(d.end) > 0 {
			return true
		}
		c, err := net.Dial("tcp", d.addr.String())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return len(d.end) == 0
}

func (d *dnsmasq) stop() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.end:
	case <-time.After(patience):
		_ = d.cmd.Process.Kill()
		<-d.end
	}
	d.cmd = nil
}

// reload has it read other addresses.
func (d *dnsmasq) reload(hosts string) {
	d.t.Helper()
	write(d.t, d.hosts, hosts)
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
}

// freePort is an address that nobody has, neither by UDP nor by TCP.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 20 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := pc.LocalAddr().(*net.UDPAddr).AddrPort()
		ln, err := net.Listen("tcp", addr.String())
		_ = pc.Close()
		if err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no port is free for both UDP and TCP")
	return netip.AddrPort{}
}

func TestDnsmasq(t *testing.T) {
	const services = "10.1.0.1 s1.test\n10.1.0.2 s2.test\nfd00::12 s2.test\n"
	d := newDnsmasq(t, "10.0.0.1 web.test\n10.0.0.2 web.test\nfd00::1 web.test\n"+services)
	// The names come from a resolv.conf, the services from a server of the configuration.
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, conf, "nameserver 127.0.0.1\nsearch nowhere.test test\noptions timeout:1\n")
	r := startWith(t, conf, d.addr.Port(), pace{timeout: 2 * time.Second, grace: time.Second, lookEvery: time.Second})
	by := func(name string, mode config.DiscoverMode, servers ...netip.AddrPort) config.Discover {
		return config.Discover{DNS: name, Mode: mode, Refresh: 20 * time.Millisecond, MaxRefresh: 50 * time.Millisecond, Servers: servers}
	}
	r.Set(map[string]config.Discover{
		"web":   by("web:80", config.DiscoverAll),
		"alias": by("alias.test.:81", config.DiscoverAll, d.addr),
		"first": by("web.test:82", config.DiscoverFirst, d.addr),
		"srv":   by("_http._tcp.web.test", config.DiscoverSRV, d.addr),
		"none":  by("_none._tcp.web.test", config.DiscoverSRV, d.addr),
		"gone":  by("no.such.name.test:83", config.DiscoverAll, d.addr),
	})
	r.finds("web", "10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80")
	r.finds("alias", "10.0.0.1:81", "10.0.0.2:81", "[fd00::1]:81")
	r.finds("srv", "10.1.0.1:8081*10", "10.1.0.2:8082@1", "[fd00::12]:8082@1")
	r.fails("none", "no service", 1)
	r.fails("gone", "no.such.name.test.: no such name", 1)
	if s, _ := r.Status("web"); s.TTL != 7*time.Second {
		t.Errorf("TTL %v", s.TTL)
	}
	first, _ := r.Known("first")
	if len(first) != 1 || !first[0].Address.Addr().Is4() {
		t.Errorf("first: %v", said(first))
	}

	// Records change. What one family has no more is gone, since there is the other.
	d.reload("10.0.0.2 web.test\n10.0.0.3 web.test\n10.1.0.9 s1.test\n10.1.0.2 s2.test\n")
	r.finds("web", "10.0.0.2:80", "10.0.0.3:80")
	r.finds("alias", "10.0.0.2:81", "10.0.0.3:81")
	// Of s2 only A came along: AAAA, which was known, was asked for.
	r.finds("srv", "10.1.0.9:8081*10", "10.1.0.2:8082@1")

	// A name that is gone keeps its addresses, and so does one of a server that is.
	d.reload(services)
	r.fails("alias", "alias.test.: no address", 2)                         // there is still the name's service, below it
	r.fails("web", "REFUSED (before it: web.nowhere.test., web.test.)", 2) // nobody but its upstream, of which there is none, knows of the name alone
	if got, _ := r.Known("web"); len(got) != 2 {
		t.Errorf("web: %v", said(got))
	}
	d.reload("10.0.0.2 web.test\n10.0.0.3 web.test\n" + services)
	r.works("web")
	d.stop()
	for _, cluster := range []string{"web", "alias", "srv"} {
		r.fails(cluster, "connection refused", 2)
		if got, _ := r.Known(cluster); len(got) < 2 {
			t.Errorf("%s: %v", cluster, said(got))
		}
	}
	if n := r.log.count(`msg="discovery fails" cluster=web error="web.nowhere.test.: ` + d.addr.String() + `: connection refused"`); n != 1 {
		t.Errorf("%d lines of the same failure", n)
	}

	// Started again it works again, also with more than fits a datagram.
	var hosts strings.Builder
	var want []string
	for i := range 200 {
		fmt.Fprintf(&hosts, "10.0.2.%d web.test\n", i+1)
		want = append(want, fmt.Sprintf("10.0.2.%d:80", i+1))
	}
	write(t, d.hosts, hosts.String()+services)
	if !d.start() {
		t.Skipf("the port of dnsmasq is another's by now: %s", d.out)
	}
	r.finds("web", want...)
	r.works("web")
	eventually(t, "works again is in the log", func() bool { return r.log.count(`msg="discovery works again" cluster=web`) >= 2 })
}
