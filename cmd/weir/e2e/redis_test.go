package e2e

import (
	"bytes"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// redis is a running redis-server.
type redis struct {
	*program
	addr string
}

func redisServer(t *testing.T) *redis {
	t.Helper()
	path := need(t, "redis-server")
	need(t, "redis-cli")
	need(t, "redis-benchmark")
	p, addr := serve(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		return command(t, path, "--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no")
	})
	return &redis{p, addr}
}

// redisCLI is a redis-cli of a server, or of what stands before it.
func redisCLI(t *testing.T, addr string, args ...string) *exec.Cmd {
	t.Helper()
	host, port := split(t, addr)
	return command(t, need(t, "redis-cli"), append([]string{"-h", host, "-p", port, "--raw"}, args...)...)
}

// connections asks the server directly how many connections it has had, this one not among them. Each call is one more.
func (r *redis) connections() int {
	r.t.Helper()
	info := run(r.t, redisCLI(r.t, r.addr, "INFO", "stats"))
	found := regexp.MustCompile(`total_connections_received:(\d+)`).FindStringSubmatch(info)
	if found == nil {
		r.t.Fatalf("redis-server says nothing of its connections:\n%s", info)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		r.t.Fatal(err)
	}
	return n - 1
}

// redisBenchmark is a redis-benchmark that runs these tests, such as "set,get".
func redisBenchmark(t *testing.T, addr, tests string, args ...string) *exec.Cmd {
	t.Helper()
	host, port := split(t, addr)
	return command(t, need(t, "redis-benchmark"), append([]string{"-h", host, "-p", port, "-q", "-t", tests}, args...)...)
}

// checkBenchmark looks for a result of each test and no errors in what redis-benchmark has said.
func checkBenchmark(t *testing.T, said, tests string) {
	t.Helper()
	if strings.Contains(strings.ToLower(said), "error") {
		t.Errorf("redis-benchmark had errors:\n%s", said)
	}
	for name := range strings.SplitSeq(strings.ToUpper(tests), ",") {
		if !regexp.MustCompile(name + `[^:\r\n]*: [\d.]+ requests per second`).MatchString(said) {
			t.Errorf("redis-benchmark has no result of %s:\n%s", name, said)
		}
	}
}

func TestRedis(t *testing.T) {
	r := redisServer(t)
	w := weir(t, simple(r.addr))
	before := r.connections()
	cli := func(stdin string, args ...string) string {
		t.Helper()
		cmd := redisCLI(t, w.at(), args...)
		cmd.Stdin = strings.NewReader(stdin)
		return run(t, cmd)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"SET", "name", "weir"}, "OK\n"},
		{[]string{"GET", "name"}, "weir\n"},
		{[]string{"APPEND", "name", " of stone"}, "13\n"},
		{[]string{"GET", "name"}, "weir of stone\n"},
		{[]string{"DEL", "name"}, "1\n"},
		{[]string{"GET", "name"}, "\n"},
	} {
		if got := cli("", c.args...); got != c.want {
			t.Errorf("%v: %q, want %q", c.args, got, c.want)
		}
	}

	big := random(1, 16<<20)
	if got := cli(string(big), "-x", "SET", "big"); got != "OK\n" {
		t.Errorf("SET of %d bytes: %q", len(big), got)
	}
	if got := cli("", "GET", "big"); !bytes.Equal([]byte(got), append(big, '\n')) {
		t.Errorf("GET of %d bytes: got %d bytes that are not the same", len(big), len(got)-1)
	}

	const tests = "ping_mbulk,set,get,incr,lpush,mset"
	checkBenchmark(t, run(t, redisBenchmark(t, w.at(), tests, "-P", "16", "-n", "100000", "-c", "50")), tests)

	// A benchmark may leave while it has answers unread, which resets the connection.
	l := w.settled("downstream_closed", "downstream_reset")
	if got := r.connections() - 1 - before; got != l.Connections.Total || got < 300 {
		t.Errorf("weir counts %d sessions, the server %d connections", l.Connections.Total, got)
	}
	if in, out := l.Bytes.ToUpstream.total(), l.Bytes.ToDownstream.total(); in < len(big) || out < len(big) {
		t.Errorf("weir counts %d bytes in and %d out", in, out)
	}
}
