package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// programs finds and builds what there is of the contenders, once for all tests.
var programs = sync.OnceValues(func() (Binaries, error) {
	dir, err := os.MkdirTemp("", "bench-programs-")
	if err != nil {
		return Binaries{}, err
	}
	built = dir
	if err := BuildRelays(context.Background(), "../..", dir); err != nil {
		return Binaries{}, err
	}
	b, ours := Installed("../../bin"), Installed(dir)
	b.Gnet, b.Go, b.C, b.Load, b.Weir = ours.Gnet, ours.Go, ours.C, ours.Load, ours.Weir
	for path, pkg := range map[string]string{b.Load: "./bench/cmd/load", b.Weir: "./cmd/weir"} {
		cmd := exec.Command("go", "build", "-o", path, pkg)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			return b, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return b, nil
})

var built string // the folder of programs, once there is one

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// serve starts the backend of cmd/load, and returns where its services are.
func serve(t *testing.T, bin Binaries) map[string]string {
	t.Helper()
	b, err := startChild(context.Background(), filepath.Join(t.TempDir(), "backend.log"), []string{bin.Load, "backend"}, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.finish(); err != nil {
			t.Error(err)
		}
	})
	line, err := b.line()
	if err != nil {
		t.Fatal(err)
	}
	var services map[string]string
	if err := json.Unmarshal([]byte(line), &services); err != nil {
		t.Fatal(err)
	}
	return services
}

// begin starts a contender of that name, or skips the test where it isn't here.
func begin(t *testing.T, bin Binaries, free *ports, name string, w Workload, backend string) string {
	t.Helper()
	c, err := newContender(name, bin)
	if errors.Is(err, errNoProgram) && name != "go" && name != "gnet" && name != Weir {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c.Command[0], "/") {
		t.Errorf("%s: results would carry the path %s", name, c.Command[0])
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p, addr, err := c.start(context.Background(), free, dir, w, backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	return addr
}

func TestContendersRelayTCP(t *testing.T) {
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	var free ports
	for _, name := range AllContenders() {
		t.Run(name, func(t *testing.T) {
			services := serve(t, bin)
			for _, load := range []struct{ service, args string }{
				{"echo", "rtt -conns 16 -n 1000"},
				{"bulk", "bulk -bytes 30000000"},
				{"once", "conn -conns 8 -n 100"},
			} {
				addr := begin(t, bin, &free, name, Workload{Protocol: "tcp"}, services[load.service])
				cmd := exec.CommandContext(t.Context(), bin.Load, append(strings.Fields(load.args), "-addr", addr)...)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", load.args, err, out)
				}
			}
		})
	}
}

func TestContendersRelayUDP(t *testing.T) {
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	var free ports
	tested := 0
	for _, k := range kinds(bin) {
		if _, ok := k.templates["udp"]; !ok {
			continue
		}
		tested++
		t.Run(k.name, func(t *testing.T) {
			addr := begin(t, bin, &free, k.name, Workload{Protocol: "udp"}, datagramEcho(t))
			for flow := range 200 {
				exchange(t, addr, fmt.Sprintf("flow %d", flow))
			}
		})
	}
	if tested < 6 {
		t.Errorf("only %d contenders do UDP", tested)
	}
}

// Every row of UDP, with little work: it takes more than a datagram there and
// back. A peer may lose what its buffers don't hold: that is its result.
func TestContendersDoUDPWork(t *testing.T) {
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	var free ports
	services := serve(t, bin)
	for _, k := range kinds(bin) {
		if _, ok := k.templates["udp"]; !ok {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			for _, w := range udp() {
				if (w.Name == "udp-bulk" || w.Name == "udp-flood") && isPeer(k.name) {
					continue
				}
				w.Amount /= 20
				addr := begin(t, bin, &free, k.name, w, services[w.service])
				cmd := exec.CommandContext(t.Context(), bin.Load, w.args(addr, w.Amount, false)...)
				if w.seconds > 0 {
					w.Realtime = false
					cmd.Args = append([]string{bin.Load}, w.withRate(1000).args(addr, 200, false)...)
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", w.Name, err, out)
				}
			}
		})
	}
}

// datagramEcho says back every datagram until the test ends.
func datagramEcho(t *testing.T) string {
	t.Helper()
	echo, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { echo.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := echo.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(b[:n], from)
		}
	}()
	return echo.LocalAddr().String()
}

// exchange sends a datagram from a new socket and wants it back on it.
func exchange(t *testing.T, addr, text string) {
	t.Helper()
	c, err := net.Dial("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	if n, err := c.Read(b); err != nil || string(b[:n]) != text {
		t.Fatalf("got %q, %v, want %q", b[:n], err, text)
	}
}

func TestPresentContenders(t *testing.T) {
	list, skips, err := PresentContenders(Binaries{HAProxy: "/bin/true", Envoy: "/nowhere/envoy"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 4 || list[1].Name != "haproxy" || list[2].Name != "haproxy-best" {
		t.Errorf("contenders %+v", list)
	}
	if len(skips) != len(AllContenders())-2 {
		t.Errorf("skips %+v", skips)
	}
	for _, s := range skips {
		if s.Contender == "envoy" && !strings.Contains(s.Why, "/nowhere/envoy") {
			t.Errorf("why: %s", s.Why)
		}
	}
}

func TestSupports(t *testing.T) {
	bin := Binaries{HAProxy: "/bin/true", NGINX: "/bin/true", Weir: "/bin/true"}
	list, err := NewContenders([]string{"haproxy", "nginx", Weir}, bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if !c.supports("tcp") {
			t.Errorf("%s doesn't support tcp", c.Name)
		}
		if want := c.Name != "haproxy"; c.supports("udp") != want {
			t.Errorf("%s supports udp: %v", c.Name, !want)
		}
	}
	if nginx := list[2].Config; !strings.Contains(nginx, "LISTEN;") || !strings.Contains(nginx, "LISTEN udp reuseport;") {
		t.Errorf("configuration:\n%s", nginx)
	}
	if weir := list[3].Config; strings.Count(weir, "responses = 1") != 1 || !strings.Contains(weir, `protocol = "tcp"`) || !strings.Contains(weir, `protocol = "udp"`) {
		t.Errorf("configuration:\n%s", weir)
	}
}

func TestLacks(t *testing.T) {
	list, err := NewContenders([]string{"haproxy", "go"}, Binaries{HAProxy: "/bin/true", Go: "/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of       Contender
		protocol string
		conns    int
		want     string
	}{
		{list[0], "udp", 1, ""},
		{list[1], "tcp", 8000, ""},
		{list[1], "udp", 1, "no udp"},
		{list[2], "tcp", 3000, ""},
		{list[2], "tcp", 4000, "24000"}, // a pipe for each direction, besides the sockets
	} {
		got := c.of.lacks(Workload{Protocol: c.protocol, Conns: c.conns}, 20_000)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s, %d connections of %s: %q, want %q", c.of.Name, c.conns, c.protocol, got, c.want)
		}
	}
}

func TestBoundLine(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err := boundLine(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile("/proc/net/udp"); err != nil || !strings.Contains(string(text), line) {
		t.Errorf("%q is not in\n%s%v", line, text, err)
	}
	for _, addr := range []string{"", "localhost:1", "[::1]:1"} {
		if line, err := boundLine(addr); err == nil {
			t.Errorf("%q: no error, %q", addr, line)
		}
	}
}

// A contender whose threads bind one after the other is ready with the last one.
func TestSocketsSettle(t *testing.T) {
	var s sockets
	start := time.Now()
	for _, look := range []struct {
		at    time.Duration
		bound int
		want  bool
	}{
		{0, 0, false}, {settling, 0, false}, {settling + 1, 1, false}, {2 * settling, 1, false}, {2*settling + 1, 2, false},
		{3 * settling, 2, false}, {3*settling + 1, 2, true}, {4 * settling, 3, false},
	} {
		if got := s.settled(look.bound, start.Add(look.at)); got != look.want {
			t.Errorf("%d after %v: %t, want %t", look.bound, look.at, got, look.want)
		}
	}
}

func TestInstalled(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "peers"), 0o755); err != nil {
		t.Fatal(err)
	}
	const program = "#!/bin/sh\necho nginx version: nginx/999.0.1\n"
	for _, name := range []string{"envoy", "nginx"} {
		if err := os.WriteFile(filepath.Join(dir, "peers", name), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := Installed(dir)
	for got, want := range map[string]string{
		b.Envoy: filepath.Join(dir, "peers", "envoy"), b.NGINX: filepath.Join(dir, "peers", "nginx"), b.HAProxy: "haproxy",
		b.Weir: filepath.Join(dir, "weir"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if newer([3]int{1, 22, 9}, [3]int{1, 31, 3}) || !newer([3]int{1, 31, 3}, [3]int{1, 22, 9}) || newer([3]int{1, 2, 3}, [3]int{1, 2, 3}) {
		t.Error("versions are compared wrongly")
	}
}
