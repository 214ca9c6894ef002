package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// balanced is a weir before three redis servers of weight 1, 2 and 3.
type balanced struct {
	*proxy
	servers [3]*redis
}

// with is the configuration, with a state of the last server.
func (b *balanced) with(state string) string {
	return fmt.Sprintf(`
[listeners.in]
bind = "127.0.0.1:0"
cluster = "out"
[[clusters.out.endpoints]]
address = %q
[[clusters.out.endpoints]]
address = %q
weight = 2
[[clusters.out.endpoints]]
address = %q
weight = 3
state = %q
`, b.servers[0].addr, b.servers[1].addr, b.servers[2].addr, state)
}

// totals are weir's counts of the connections that servers have had.
func (b *balanced) totals() (n [3]int) {
	b.t.Helper()
	r := b.stats()
	for i, s := range b.servers {
		n[i] = r.endpoint(b.t, s.addr).Connections.Total
	}
	return n
}

// connect makes so many connections of one request each, and some more, and returns where weir says they went.
func (b *balanced) connect(requests int) (n [3]int) {
	b.t.Helper()
	before := b.totals()
	load := redisBenchmark(b.t, b.at(), "set", "-k", "0", "-c", "4", "-n", fmt.Sprint(requests))
	checkBenchmark(b.t, run(b.t, load), "set")
	for i, after := range b.totals() {
		n[i] = after - before[i]
	}
	return n
}

// Weights are kept to; then one server drains; then one dies.
func TestBalance(t *testing.T) {
	b := &balanced{servers: [3]*redis{redisServer(t), redisServer(t), redisServer(t)}}
	b.proxy = weir(t, b.with("ready"))
	b.checkWeights()
	b.checkDrain()
	b.checkDeath()
}

func (b *balanced) checkWeights() {
	b.t.Helper()
	var seen [3]int
	for i, s := range b.servers {
		seen[i] = -s.connections() - 1
	}
	got := b.connect(1200)
	sum := got[0] + got[1] + got[2]
	for i, s := range b.servers {
		seen[i] += s.connections()
		if want := sum * (i + 1) / 6; got[i] < want-want/20 || got[i] > want+want/20 {
			b.t.Errorf("server %d: %d connections of %d, want %d within 5 %%", i, got[i], sum, want)
		}
	}
	if sum < 1200 || seen != got {
		b.t.Errorf("weir counts %v connections, the servers %v", got, seen)
	}
}

// checkDrain drains the last server while sessions last.
func (b *balanced) checkDrain() {
	b.t.Helper()
	_, port := split(b.t, b.servers[2].addr)
	var lasting []*held
	draining := 0
	for range 12 {
		h := hold(b.t, b.at())
		lasting = append(lasting, h)
		if h.port == port {
			draining++
		}
	}
	if draining == 0 {
		b.t.Fatal("no session is with the server that drains")
	}
	b.reload(b.with("drain"))
	if got := b.connect(300); got[2] != 0 || got[0] == 0 || got[1] == 0 {
		b.t.Errorf("new connections %v, want none with the last", got)
	}
	if e := b.stats().endpoint(b.t, b.servers[2].addr); e.State != "drain" || e.Connections.Active != draining {
		b.t.Errorf("the draining endpoint is in state %s with %d sessions, want %d", e.State, e.Connections.Active, draining)
	}
	for _, h := range lasting {
		if got := h.ask(); got != h.port {
			b.t.Errorf("a session with %s is now with %s", h.port, got)
		}
		h.leave()
	}
	b.reload(b.with("ready"))
}

// checkDeath kills a server, which has its turn all the same; then another one is tried, and the client sees nothing of it.
func (b *balanced) checkDeath() {
	b.t.Helper()
	b.servers[1].signal(os.Kill)
	b.servers[1].code()
	if got := b.connect(600); got[1] != 0 || got[0] == 0 || got[2] == 0 {
		b.t.Errorf("connections %v, want none with the dead one", got)
	}
}

// held is a redis-cli that stays connected. When it loses its connection it makes another; where to, tells that it has.
type held struct {
	*program
	commands io.WriteCloser
	from     *os.File
	answers  *bufio.Reader // of from
	port     string        // of its server at first
}

func hold(t *testing.T, addr string) *held {
	t.Helper()
	cmd := redisCLI(t, addr)
	in, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout = in, out
	h := &held{program: launch(t, cmd, os.Kill), commands: commands, from: from, answers: bufio.NewReader(from)}
	_, _ = in.Close(), out.Close() // redis-cli has its own
	t.Cleanup(func() { _, _ = commands.Close(), from.Close() })
	h.port = h.ask()
	return h
}

// ask returns the port of the server that answers.
func (h *held) ask() string {
	h.t.Helper()
	if _, err := io.WriteString(h.commands, "CONFIG GET port\n"); err != nil {
		h.t.Fatal(err)
	}
	if err := h.from.SetReadDeadline(time.Now().Add(patience)); err != nil {
		h.t.Fatal(err)
	}
	var line string
	for range 2 { // the key, the value
		var err error
		if line, err = h.answers.ReadString('\n'); err != nil {
			h.t.Fatalf("redis-cli: %v", err)
		}
	}
	return strings.TrimSpace(line)
}

// leave ends it.
func (h *held) leave() {
	h.t.Helper()
	_ = h.commands.Close()
	h.succeeds()
}
