package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// promptly are keys of health by which these tests don't wait long, and endpoints that have to wait for a processor don't go down.
const promptly = `
interval = "50ms"
fast_interval = "20ms"
timeout = "1s"
fall = 2
`

// checked is a configuration of one listener, "in", and one cluster with these keys of health and endpoints. Who is down gets nothing, in any case.
func checked(keys string, endpoints ...string) string {
	return simple(endpoints...) + "panic_threshold = 0.0\n[clusters.out.health]" + promptly + keys + "\n"
}

// alsoChecked is a further cluster, without a listener.
func alsoChecked(name, keys string, endpoints ...string) string {
	return fmt.Sprintf("\n[clusters.%s]\nendpoints = [%s]\n[clusters.%[1]s.health]%[3]s%[4]s\n", name, quote(endpoints...), promptly, keys)
}

// condition is what these tests read of /stats.
type condition struct {
	Process struct {
		Checks struct{ Targets, Late, Done int }
	}
	Clusters []clusterCondition
}

type clusterCondition struct {
	Name   string
	Panic  bool
	Limits struct{ Connections, Pending, Retrying int }

	InUse   int `json:"in_use"`
	Waited  int
	Retries int

	Endpoints []endpointCondition
}

type endpointCondition struct {
	Address       string
	Health        string
	InUse         bool `json:"in_use"`
	WeightPercent int  `json:"weight_percent"`
	Check         *struct {
		State, Result string
		Downs         int `json:"went_down"`
		Ups           int `json:"came_up"`
	}
	Outlier *struct {
		Ejected   bool
		Why       string
		Ejections int
	}
	Connections connections
	EarlyResets int `json:"early_resets"`
}

// cluster returns how a cluster is.
func (p *proxy) cluster(name string) *clusterCondition {
	p.t.Helper()
	r := new(condition)
	p.statsInto(r)
	for i := range r.Clusters {
		if r.Clusters[i].Name == name {
			return &r.Clusters[i]
		}
	}
	p.t.Fatalf("/stats knows no cluster %q", name)
	return nil
}

// condition returns how an endpoint is.
func (p *proxy) condition(cluster, addr string) *endpointCondition {
	p.t.Helper()
	c := p.cluster(cluster)
	for i := range c.Endpoints {
		if c.Endpoints[i].Address == addr {
			return &c.Endpoints[i]
		}
	}
	p.t.Fatalf("/stats knows no endpoint %s of cluster %q", addr, cluster)
	return nil
}

// up waits until an endpoint's checks pass, and the balancer knows it.
func (p *proxy) up(cluster, addr string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s in cluster %s is up", addr, cluster), func() bool {
		e := p.condition(cluster, addr)
		return e.Check != nil && e.Check.State == "up" && e.Health == "healthy"
	})
}

// down waits until an endpoint's checks have taken it down with this result, and the balancer knows it.
func (p *proxy) down(cluster, addr, result string) {
	p.t.Helper()
	last := ""
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the last result was %q", last)
		}
	}()
	eventually(p.t, fmt.Sprintf("%s in cluster %s is down: %s", addr, cluster, result), func() bool {
		e := p.condition(cluster, addr)
		if e.Check == nil {
			return false
		}
		last = e.Check.Result
		return e.Check.State == "down" && e.Health == "unhealthy" && last == result
	})
}

// shares runs something, and returns how many connections each endpoint of the cluster "out" has had of it, in the order of the configuration.
func (p *proxy) shares(something func()) (n []int) {
	p.t.Helper()
	for _, e := range p.cluster("out").Endpoints {
		n = append(n, -e.Connections.Total)
	}
	something()
	for i, e := range p.cluster("out").Endpoints {
		n[i] += e.Connections.Total
	}
	return n
}

// freeze stops a process until thaw, which the test's end does at the latest.
func freeze(t *testing.T, process *os.Process) (thaw func()) {
	t.Helper()
	thaw = func() { _ = process.Signal(syscall.SIGCONT) } // or it has ended
	t.Cleanup(thaw)
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return thaw
}

// A redis-server that hangs still accepts: only who asks it finds out. One that wants a password says so, and is of no use either.
func TestHealthRedis(t *testing.T) {
	hangs, serves, secret := redisServer(t), redisServer(t), redisServer(t)
	const password = "open sesame"
	run(t, redisCLI(t, secret.addr, "CONFIG", "SET", "requirepass", password))
	const ping = `
send = "PING\r\n"
expect = "+PONG"
`
	w := weir(t, checked(ping, hangs.addr, serves.addr, secret.addr)+alsoChecked("connecting", "", hangs.addr, secret.addr))
	load := func() {
		t.Helper()
		checkBenchmark(t, run(t, redisBenchmark(t, w.at(), "set", "-k", "0", "-c", "4", "-n", "100")), "set")
	}
	w.up("out", hangs.addr)
	w.up("out", serves.addr)
	w.down("out", secret.addr, `answer "-NOAUTH Authentication required.\r\n" instead of "+PONG"`)
	if n := w.shares(load); n[0] == 0 || n[1] == 0 || n[2] != 0 {
		t.Errorf("connections %v, want none with the server that wants a password", n)
	}

	thaw := freeze(t, hangs.cmd.Process)
	w.down("out", hangs.addr, "timeout in 1s waiting for an answer")
	w.says(fmt.Sprintf(`msg="endpoint down" cluster=out endpoint=%s after=\S+ result="timeout in 1s waiting for an answer"`, hangs.addr))
	w.up("connecting", hangs.addr) // its kernel accepts
	if n := w.shares(load); n[0] != 0 || n[1] < 100 || n[2] != 0 {
		t.Errorf("connections %v, want all with the one server that answers", n)
	}
	thaw()
	run(t, redisCLI(t, secret.addr, "-a", password, "--no-auth-warning", "CONFIG", "SET", "requirepass", ""))
	w.up("out", hangs.addr)
	w.up("out", secret.addr)
	w.says(fmt.Sprintf(`msg="endpoint up" cluster=out endpoint=%s after=`, hangs.addr))
	if n := w.shares(load); n[0] == 0 || n[1] == 0 || n[2] == 0 {
		t.Errorf("connections %v, want some with each", n)
	}
	w.settled("downstream_closed", "downstream_reset")
}

// A redis-server that pauses its clients comes back by itself.
func TestHealthRedisPauses(t *testing.T) {
	r := redisServer(t)
	w := weir(t, simple(r.addr)+`
[clusters.out.health]
send = "PING\r\n"
expect = '~PONG\r\n$'
interval = "50ms"
timeout = "100ms"
fall = 1
`)
	w.up("out", r.addr)
	before := *w.condition("out", r.addr).Check
	if got := run(t, redisCLI(t, r.addr, "CLIENT", "PAUSE", "1500", "ALL")); got != "OK\n" {
		t.Fatalf("CLIENT PAUSE: %q", got)
	}
	w.says(`msg="endpoint down" cluster=out endpoint=\S+ after=\S+ result="timeout in 100ms waiting for an answer"`)
	eventually(t, "it comes back", func() bool {
		now := w.condition("out", r.addr).Check
		return now.Downs > before.Downs && now.Ups > before.Ups && now.State == "up"
	})
}

// PostgreSQL answers a request for TLS with one letter, before it wants to know who asks.
func TestHealthPostgreSQL(t *testing.T) {
	addr := postgresServer(t)
	const request = `send = '\x00\x00\x00\x08\x04\xd2\x16\x2f'` + "\n"
	w := weir(t, checked(request+`expect = "~^[NS]$"`, addr)+
		alsoChecked("connecting", "", addr)+
		alsoChecked("plain", request+`expect = "N"`, addr)+
		alsoChecked("tls", request+`expect = "S"`, addr))
	for _, cluster := range []string{"out", "connecting", "plain"} {
		w.up(cluster, addr)
	}
	w.down("tls", addr, `answer "N" instead of "S"`)
	if got := run(t, psql(t, w.at(), "SELECT 6 * 7")); got != "42\n" {
		t.Errorf("got %q", got)
	}

	thaw := freeze(t, postmaster(t, addr))
	w.down("out", addr, "timeout in 1s waiting for an answer")
	w.up("connecting", addr)
	thaw()
	w.up("out", addr)
	if got := run(t, psql(t, w.at(), "SELECT 6 * 7")); got != "42\n" {
		t.Errorf("got %q", got)
	}
	w.settled("downstream_closed", "upstream_closed")
}

// postmaster is the process of a server that accepts.
func postmaster(t *testing.T, addr string) *os.Process {
	t.Helper()
	data := strings.TrimSpace(run(t, psql(t, addr, "SHOW data_directory")))
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// beGRPC has the test's program be a server of grpc.health.v1 at the address that the variable says. On standard input it is told services and what
// they are, such as "shop.Cart NOT_SERVING"; it says each line again when it is so. It ends with its input.
const beGRPC = "WEIR_E2E_GRPC"

func init() {
	if addr := os.Getenv(beGRPC); addr != "" {
		os.Exit(runGRPC(addr))
	}
}

// runGRPC is the process. It returns its exit code.
func runGRPC(addr string) int {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server, services := grpc.NewServer(), grpchealth.NewServer()
	grpc_health_v1.RegisterHealthServer(server, services)
	go func() { _ = server.Serve(ln) }()
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		service, status, _ := strings.Cut(orders.Text(), " ")
		services.SetServingStatus(service, grpc_health_v1.HealthCheckResponse_ServingStatus(grpc_health_v1.HealthCheckResponse_ServingStatus_value[status]))
		fmt.Println(orders.Text())
	}
	return 0
}

// grpcServer is a running one.
type grpcServer struct {
	*program
	addr   string
	orders io.Writer
}

func newGRPC(t *testing.T) *grpcServer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, orders, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = in.Close(), orders.Close() })
	p, addr := serve(t, syscall.SIGTERM, func(host, port string) *exec.Cmd {
		cmd := command(t, self)
		cmd.Env = append(cmd.Env, beGRPC+"="+net.JoinHostPort(host, port))
		cmd.Stdin = in
		return cmd
	})
	return &grpcServer{p, addr, orders}
}

// set returns when a service is what it shall be.
func (g *grpcServer) set(service, status string) {
	g.t.Helper()
	said, order := len(g.out.String()), service+" "+status+"\n"
	if _, err := io.WriteString(g.orders, order); err != nil {
		g.t.Fatal(err)
	}
	eventually(g.t, "the server is told", func() bool { return strings.Contains(g.out.from(said), order) })
}

// A server of gRPC says for each of its services whether it serves.
func TestHealthGRPC(t *testing.T) {
	g := newGRPC(t)
	g.set("shop.Cart", "SERVING")
	g.set("shop.Till", "NOT_SERVING")
	const typed = "type = \"grpc\"\n"
	w := weir(t, checked(typed, g.addr)+
		alsoChecked("cart", typed+`service = "shop.Cart"`, g.addr)+
		alsoChecked("till", typed+`service = "shop.Till"`, g.addr)+
		alsoChecked("nobody", typed+`service = "shop.Nobody"`, g.addr))
	w.up("out", g.addr)
	w.up("cart", g.addr)
	w.down("till", g.addr, "grpc: not serving")
	w.down("nobody", g.addr, "grpc status 5 (not found)")

	g.set("shop.Cart", "NOT_SERVING")
	g.set("shop.Till", "SERVING")
	g.set("shop.Nobody", "SERVING")
	w.down("cart", g.addr, "grpc: not serving")
	w.up("till", g.addr)
	w.up("nobody", g.addr)
	w.up("out", g.addr)

	g.set("", "NOT_SERVING")
	w.down("out", g.addr, "grpc: not serving")
	g.signal(os.Kill)
	g.code()
	for _, cluster := range []string{"out", "cart", "till", "nobody"} {
		w.down(cluster, g.addr, "connection refused")
	}
}
