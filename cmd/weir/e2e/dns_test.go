package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The servers know every name under weir.test, and of many.txt.test so much that it fits no datagram.
const (
	manyTexts = 40
	longText  = "a text of some length, of which there are many, so that the answer is longer than what fits a datagram of DNS over UDP"
)

// dnsmasqServer answers over UDP and TCP.
func dnsmasqServer(t *testing.T) string {
	t.Helper()
	path := need(t, "dnsmasq")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dnsmasq.conf")
	_, addr := serveUDP(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		var b strings.Builder
		fmt.Fprintf(&b, `
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
`, me.Username, host, port)
		for i := range manyTexts {
			fmt.Fprintf(&b, "txt-record=many.txt.test,\"%d: %s\"\n", i, longText)
		}
		writeFile(t, file, b.String())
		return command(t, path, "-C", file)
	})
	return addr
}

// unboundServer answers over UDP and TCP.
func unboundServer(t *testing.T) string {
	t.Helper()
	path := need(t, "unbound")
	file := filepath.Join(t.TempDir(), "unbound.conf")
	_, addr := serveUDP(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		var b strings.Builder
		fmt.Fprintf(&b, `
server:
	interface: %s
	port: %s
	do-daemonize: no
	use-syslog: no
	logfile: ""
	pidfile: ""
	username: ""
	chroot: ""
	directory: %q
	module-config: "iterator"
	local-zone: "weir.test." redirect
	local-data: "weir.test. A 192.0.2.1"
	local-zone: "txt.test." static
`, host, port, filepath.Dir(file))
		for i := range manyTexts {
			fmt.Fprintf(&b, "\tlocal-data: 'many.txt.test. TXT \"%d: %s\"'\n", i, longText)
		}
		b.WriteString("remote-control:\n\tcontrol-enable: no\n")
		writeFile(t, file, b.String())
		return command(t, path, "-d", "-c", file)
	})
	return addr
}

// dnsperf asks for addresses of many names on 20 sockets.
func dnsperf(t *testing.T, addr string, args ...string) *program {
	t.Helper()
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, "host%d.weir.test A\n", i)
	}
	file := filepath.Join(t.TempDir(), "names")
	writeFile(t, file, names.String())
	host, port := split(t, addr)
	return launch(t, command(t, need(t, "dnsperf"), append([]string{"-s", host, "-p", port, "-d", file, "-c", "20"}, args...)...), os.Kill)
}

// answered waits for dnsperf's end, and returns the rate of the answers and how many queries have got none.
func answered(t *testing.T, dnsperf *program) (rate float64, lost int) {
	t.Helper()
	said := dnsperf.succeeds()
	found := regexp.MustCompile(`(?s)Queries completed: +(\d+) .*Queries lost: +(\d+) .*NOERROR (\d+) .*Queries per second: +([\d.]+)`).FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("dnsperf has no result:\n%s", said)
	}
	if found[1] != found[3] {
		t.Errorf("dnsperf: %s queries completed, %s of them without error", found[1], found[3])
	}
	return number(t, found[4]), int(number(t, found[2]))
}

// Of as many queries as fit through, and of four fifths of that for some time, none goes without its answer.
func TestDNS(t *testing.T) {
	need(t, "dnsperf")
	servers := []string{dnsmasqServer(t), unboundServer(t)}
	seconds := "2"
	if len(raceFlag) > 0 {
		seconds = "1"
	}
	for _, responses := range []int{0, 1} {
		t.Run(fmt.Sprintf("responses %d", responses), func(t *testing.T) {
			w := weir(t, datagrams(fmt.Sprintf("udp = { responses = %d }", responses), servers...))
			most, lost := answered(t, dnsperf(t, w.at(), "-l", "1"))
			rate, lostBelow := answered(t, dnsperf(t, w.at(), "-l", seconds, "-Q", fmt.Sprint(int(most/5*4))))
			l := w.lossless()
			t.Logf("%.0f queries a second at most, %d lost; %d lost at %.0f; %d flows, %v", most, lost, lostBelow, rate, l.Connections.Total, w.spread())
			if lost+lostBelow > 0 {
				t.Error("queries were lost")
			}
			if responses == 0 && l.Connections.Total != 40 {
				t.Errorf("%d flows of 40 sockets", l.Connections.Total)
			}
		})
	}
}

// An answer that is too long for a datagram comes truncated, and is asked for again over TCP.
func TestDNSOverBoth(t *testing.T) {
	path := need(t, "dig")
	servers := []string{dnsmasqServer(t), unboundServer(t)}
	addr := freePort(t)
	w := weir(t, bothOf(addr, servers...))
	dig := func(args ...string) string {
		t.Helper()
		host, port := split(t, addr)
		return run(t, command(t, path, append([]string{"@" + host, "-p", port, "many.txt.test", "TXT"}, args...)...))
	}
	for range 2 * len(servers) {
		if said := dig("+ignore"); !regexp.MustCompile(`flags: [a-z ]*\btc\b`).MatchString(said) || !strings.Contains(said, "(UDP)") {
			t.Errorf("over UDP no truncated answer:\n%s", said)
		}
		said := dig()
		if !strings.Contains(said, "Truncated, retrying in TCP mode") || !strings.Contains(said, "(TCP)") ||
			!strings.Contains(said, fmt.Sprintf("ANSWER: %d,", manyTexts)) || strings.Count(said, longText) != manyTexts {
			t.Errorf("no whole answer over TCP:\n%s", said)
		}
	}
	w.spread()
	r := w.stats()
	if udp, tcp := r.listener(t, "in").Connections.Total, r.listener(t, "stream").Connections.Total; udp != 8 || tcp != 4 {
		t.Errorf("%d flows and %d connections, want 8 and 4", udp, tcp)
	}
	w.lossless()
}
