package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// loadProgram builds the program that loads and answers.
func loadProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "load")
	build := command(t, need(t, "go"), "build", "-buildvcs=false", "-o", path, "weir/bench/cmd/load")
	build.Dir, build.Env = "", os.Environ()
	run(t, build)
	return path
}

// echoServer sends back every datagram.
func echoServer(t *testing.T, load string) (addr string) {
	t.Helper()
	in, lasts, err := os.Pipe() // the backend ends with its input
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lasts.Close() })
	cmd := command(t, load, "backend")
	cmd.Stdin = in
	p := launch(t, cmd, os.Kill)
	_ = in.Close() // the backend has its own
	var services struct{ UDPEcho string }
	eventually(t, "the backend says its ports", func() bool {
		return !p.running() || json.Unmarshal([]byte(p.out.String()), &services) == nil
	})
	if services.UDPEcho == "" {
		t.Fatal("the backend does not start")
	}
	return services.UDPEcho
}

// loadResult is what the test reads of the load's JSON.
type loadResult struct {
	Units, Lost, Reordered int
	Seconds                float64
	Error                  string
}

// checkLoad wants that a load has come to its end with nothing lost and nothing overtaken.
func checkLoad(t *testing.T, p *program) (r loadResult) {
	t.Helper()
	said := p.succeeds()
	if err := json.Unmarshal([]byte(said), &r); err != nil || r.Error != "" || r.Lost != 0 || r.Reordered != 0 || r.Units == 0 {
		t.Errorf("load: %v in %s", err, said)
	}
	return r
}

// Flows that last, and new ones again and again, while the configuration changes as often as it can: weights, an endpoint that comes and goes, and
// everything of the listener that can be changed. Nothing is lost, nothing overtaken.
func TestReloadUDP(t *testing.T) {
	load := loadProgram(t)
	servers := []string{echoServer(t, load), echoServer(t, load), echoServer(t, load)}
	variant := func(i int, begins string) string {
		third := ""
		if i%8 >= 4 { // not at first: the lasting flows would go to another endpoint, whose answers may overtake
			third = fmt.Sprintf("{ address = %q, weight = %d },", servers[2], 1+i%5)
		}
		return begins + fmt.Sprintf(`
[listeners.in]
bind = "127.0.0.1:0"
protocol = "udp"
cluster = "out"
idle_timeout = "%dm"
udp = { max_flows = %d }
[clusters.out]
policy = %q
endpoints = [{ address = %q, weight = %d }, %s %q]
`, 1+i%3, 10_000+i%7, []string{"round_robin", "least_connections", "random"}[i%3], servers[0], 1+i%4, third, servers[1])
	}
	const forever = "process.drain_timeout = \"10000h\"\n" // no flow ends before it is asked to
	w := weir(t, variant(0, forever))
	// A datagram that the machine was too busy to send on for a second isn't lost: what is, never comes.
	start := func(args ...string) *program {
		t.Helper()
		return launch(t, command(t, load, append(args, "-addr", w.at(), "-timeout", "10s")...), os.Kill)
	}
	flows := func() int { return w.stats().listener(t, "in").Connections.Total }
	trips := 150_000
	if len(raceFlag) > 0 {
		trips *= 2 // reloads take longer
	}
	lasting := start("udpflood", "-flows", "4", "-window", "16", "-size", "300", "-n", fmt.Sprint(trips))
	eventually(t, "the lasting flows are there", func() bool { return flows() == 4 })

	short := func() *program { return start("udprtt", "-conns", "10", "-n", "2000") }
	now, shorts := short(), 0
	reloads, third := 0, 0 // flows of the third endpoint
	began := time.Now()
	for lasting.running() {
		if reloads%8 >= 4 {
			third = max(third, w.stats().endpoint(t, servers[2]).Connections.Total)
		}
		reloads++
		w.reload(variant(reloads, forever))
		if !now.running() {
			checkLoad(t, now)
			now = short()
			shorts++
		}
	}
	took := time.Since(began)
	r := checkLoad(t, lasting)
	checkLoad(t, now)
	if n := w.stats().Process.Reloads; n.Applied != uint64(reloads) || n.Failed != 0 || reloads < 50 {
		t.Errorf("%d reloads, of which weir counts %+v", reloads, n)
	}
	l := w.lossless()
	w.reload(variant(reloads, hurried))
	t.Logf("%d reloads in %.1f s; %.0f round trips a second on lasting flows, %d runs of 10 short ones; %d flows, at most %d with the endpoint that came and went",
		reloads, took.Seconds(), float64(r.Units)/r.Seconds, shorts+1, l.Connections.Total, third)
	if third == 0 || shorts == 0 {
		t.Errorf("%d flows with the endpoint that came and went, %d runs of short flows", third, shorts)
	}
}

// DNS has its answers under reloads, too.
func TestReloadDNS(t *testing.T) {
	need(t, "dnsperf")
	servers := []string{dnsmasqServer(t), unboundServer(t)}
	variant := func(i int) string {
		keys := fmt.Sprintf("idle_timeout = \"%dm\"\nudp = { responses = 1 }", 1+i%2)
		return datagrams(keys, servers[:1+i%2]...)
	}
	w := weir(t, variant(1))
	asking := dnsperf(t, w.at(), "-l", "2", "-Q", "10000")
	reloads := 0
	for ; asking.running(); reloads++ {
		w.reload(variant(reloads))
	}
	rate, lost := answered(t, asking)
	t.Logf("%.0f queries a second, %d lost over %d reloads; %d flows", rate, lost, reloads, w.lossless().Connections.Total)
	if lost > 0 || reloads < 5 {
		t.Errorf("%d queries were lost over %d reloads", lost, reloads)
	}
}

// After SIGTERM the flows that there are get their answers, those to earlier questions and those to new ones.
func TestDrainUDP(t *testing.T) {
	server := listenUDP(t)
	w := weir(t, strings.Replace(datagrams("", server.LocalAddr().String()), hurried, `process.drain_timeout = "3s"`, 1))
	const flows = 20
	deadline := time.Now().Add(patience)
	_ = server.SetReadDeadline(deadline)
	var clients [flows]net.Conn
	b := make([]byte, 100)
	// question sends one of a client, and returns what the server has to answer it to.
	question := func(i int, text string) netip.AddrPort {
		t.Helper()
		if _, err := fmt.Fprintf(clients[i], "%s %d", text, i); err != nil {
			t.Fatal(err)
		}
		n, from, err := server.ReadFromUDPAddrPort(b)
		if want := fmt.Sprintf("%s %d", text, i); err != nil || string(b[:n]) != want {
			t.Fatalf("the server has %q, %v, want %q", b[:n], err, want)
		}
		return from
	}
	answer := func(i int, to netip.AddrPort, text string) {
		t.Helper()
		if _, err := server.WriteToUDPAddrPort([]byte(text), to); err != nil {
			t.Fatal(err)
		}
		if n, err := clients[i].Read(b); err != nil || string(b[:n]) != text {
			t.Fatalf("client %d has %q, %v, want %q", i, b[:n], err, text)
		}
	}
	var asked [flows]netip.AddrPort
	for i := range clients {
		c, err := net.Dial("udp4", w.at())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(deadline)
		clients[i] = c
		asked[i] = question(i, "before")
	}
	w.signal(syscall.SIGTERM)
	sent := time.Now()
	w.says(`msg=drain`)
	for i, to := range asked {
		answer(i, to, "late")
	}
	for i, to := range asked {
		if again := question(i, "after"); again != to {
			t.Errorf("client %d had the flow %s, now %s", i, to, again)
		}
		answer(i, to, "in time")
	}
	if code := w.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("%d flows had two answers each after SIGTERM; weir ended after %.1f s", flows, time.Since(sent).Seconds())
}
