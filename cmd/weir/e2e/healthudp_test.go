package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// asksDNS are keys of health that ask for web.weir.test, and want an authoritative answer.
const asksDNS = `
type = "udp"
send = '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x04weir\x04test\x00\x00\x01\x00\x01'
expect = '\x12\x34\x85\x80'
`

// dnsmasqAt is a dnsmasq at an address of the caller's choice, in the test's hand.
func dnsmasqAt(t *testing.T, host, port string) *program {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dnsmasq.conf")
	writeFile(t, file, fmt.Sprintf(`
keep-in-foreground
user=%s
pid-file
log-facility=-
no-resolv
no-hosts
bind-interfaces
listen-address=%s
port=%s
address=/weir.test/192.0.2.1
`, me.Username, host, port))
	p := launch(t, command(t, need(t, "dnsmasq"), "-C", file), syscall.SIGTERM)
	addr := net.JoinHostPort(host, port)
	eventually(t, "dnsmasq listens", func() bool { return !p.running() || taken(t, "udp", addr) && taken(t, "tcp", addr) })
	return p
}

// dnsmasq is one on a free port.
func dnsmasq(t *testing.T) (p *program, addr string) {
	t.Helper()
	for range 3 {
		addr = freePort(t)
		if p = dnsmasqAt(t, "127.0.0.1", addr[len("127.0.0.1:"):]); p.running() {
			return p, addr
		}
	}
	t.Fatal("dnsmasq does not start")
	return nil, ""
}

// dig asks for a name through weir, once, from this address and port.
func dig(t *testing.T, at, from, name string) *exec.Cmd {
	t.Helper()
	host, port := split(t, at)
	return command(t, need(t, "dig"), "@"+host, "-p", port, "-b", strings.ReplaceAll(from, ":", "#"), "+tries=1", "+time=10", "+short", name, "A")
}

// resolves wants that a name is known to whom weir asks.
func resolves(t *testing.T, at, from, name string) {
	t.Helper()
	if got := run(t, dig(t, at, from, name)); got != "192.0.2.1\n" {
		t.Errorf("dig from %s for %s: %q", from, name, got)
	}
}

// ports are n addresses of clients, each one flow as long as it lasts.
func ports(t *testing.T, n int) (from []string) {
	t.Helper()
	for len(from) < n {
		if addr := freePort(t); !slices.Contains(from, addr) {
			from = append(from, addr)
		}
	}
	return from
}

// Name servers are asked over UDP. When one dies, and another hangs, their flows move to the last, and no query is lost any more.
func TestHealthDNS(t *testing.T) {
	need(t, "dig")
	dies, diesAt := dnsmasq(t)
	hangs, hangsAt := dnsmasq(t)
	lives := unboundServer(t)
	keys := strings.Replace(datagrams("", diesAt, hangsAt, lives), "[clusters.out]", "[clusters.out]\npanic_threshold = 0.0", 1)
	w := weir(t, keys+"[clusters.out.health]"+promptly+asksDNS+
		alsoChecked("silent", strings.Replace(asksDNS, `expect`, `# expect`, 1), diesAt, hangsAt)+
		alsoChecked("strict", strings.Replace(asksDNS, `\x85\x80'`, `\x81\x80'`, 1), lives))
	for _, addr := range []string{diesAt, hangsAt, lives} {
		w.up("out", addr)
	}
	w.up("silent", diesAt)
	w.says(fmt.Sprintf(`msg="endpoint down" cluster=strict endpoint=%s result="answer .*x12.*instead of`, lives))

	clients := ports(t, 6)
	ask := func(name string) {
		t.Helper()
		for i, c := range clients {
			resolves(t, w.at(), c, fmt.Sprintf("%s%d.weir.test", name, i))
		}
	}
	if n := w.shares(func() { ask("first") }); n[0] != 2 || n[1] != 2 || n[2] != 2 {
		t.Errorf("flows %v, want two with each", n)
	}
	if n := w.shares(func() { ask("again") }); n[0]+n[1]+n[2] != 0 {
		t.Errorf("new flows %v, want none", n)
	}

	dies.signal(os.Kill)
	dies.code()
	w.down("out", diesAt, "port unreachable")
	w.down("silent", diesAt, "port unreachable")
	if n := w.shares(func() { ask("killed") }); n[0] != 0 {
		t.Errorf("new flows %v, want none with the server that is gone", n)
	}
	thaw := freeze(t, hangs.cmd.Process)
	w.down("out", hangsAt, "timeout in 1s waiting for an answer")
	w.up("silent", hangsAt) // nobody says no
	if n := w.shares(func() { ask("frozen") }); n[0]+n[1] != 0 {
		t.Errorf("new flows %v, want none but with the server that answers", n)
	}
	thaw()
	w.up("out", hangsAt)
	again := dnsmasqAt(t, "127.0.0.1", diesAt[len("127.0.0.1:"):])
	w.up("out", diesAt)
	clients = ports(t, 6)
	if n := w.shares(func() { ask("back") }); n[0] != 2 || n[1] != 2 || n[2] != 2 {
		t.Errorf("flows %v, want two with each", n)
	}
	if !again.running() {
		t.Error("dnsmasq has ended")
	}
	w.lossless()
}

// A cluster of UDP takes the results of one of TCP: of the same address and port, and else of the same host.
func TestTrack(t *testing.T) {
	need(t, "dig")
	port := netip.MustParseAddrPort(freePort(t)).Port()
	hosts := []string{"127.0.0.2", "127.0.0.3"}
	var servers []*program
	var names, agents []string // addresses
	agentPort := 0
	listeners := make([]net.Listener, len(hosts))
	for i, host := range hosts {
		servers = append(servers, dnsmasqAt(t, host, fmt.Sprint(port)))
		names = append(names, fmt.Sprintf("%s:%d", host, port))
		listeners[i] = greeter(t, fmt.Sprintf("%s:%d", host, agentPort), "1")
		agentPort = listeners[i].Addr().(*net.TCPAddr).Port
		agents = append(agents, listeners[i].Addr().String())
	}
	w := weir(t, datagrams("", names...)+`
health = { track = "agents" }
[clusters.same]
endpoints = [`+quote(names...)+`]
health = { track = "streams" }
`+alsoChecked("agents", `expect = "1"`, agents...)+alsoChecked("streams", "", names...))
	for _, cluster := range []string{"out", "same"} {
		for _, addr := range names {
			w.up(cluster, addr)
		}
	}
	clients := ports(t, 4)
	ask := func() {
		t.Helper()
		for _, c := range clients {
			resolves(t, w.at(), c, "web.weir.test")
		}
	}
	if n := w.shares(ask); n[0] != 2 || n[1] != 2 {
		t.Errorf("flows %v, want two with each", n)
	}

	// The agent of a host is gone: the name server is there, but not used.
	_ = listeners[0].Close()
	w.down("agents", agents[0], "connection refused")
	w.down("out", names[0], "connection refused")
	w.says(fmt.Sprintf(`msg="endpoint down" cluster=out endpoint=%s tracks=agents`, names[0]))
	w.up("same", names[0])
	if n := w.shares(ask); n[0] != 0 || n[1] != 2 {
		t.Errorf("new flows %v, want the two that were with the first server", n)
	}
	greeter(t, agents[0], "1")
	w.up("out", names[0])

	servers[1].signal(os.Kill)
	servers[1].code()
	w.down("streams", names[1], "connection refused")
	w.down("same", names[1], "connection refused")
	if e := w.condition("out", names[1]); e.Check.State != "up" {
		t.Errorf("%s, whose agent is well, is %s", names[1], e.Check.State)
	}
}
