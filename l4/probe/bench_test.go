package probe

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// servesBenchmarks marks the process that the benchmarks check: what that uses of the processors is not theirs.
const servesBenchmarks = "WEIR_TEST_SERVES_BENCHMARKS"

var benchmarks = []struct {
	name    string
	options Options
}{
	{"tcp", Options{}},
	{"tcp-expect", Options{Send: "PING\r\n", Expect: "PONG"}},
	{"http", Options{Type: HTTP, ExpectBody: "ok"}},
	{"grpc", Options{Type: GRPC}},
	{"udp", Options{Type: UDP, Send: "x", Expect: "x"}},
}

// TestServeBenchmarks is the other process: it prints an address for each of the benchmarks, and serves until its input ends.
func TestServeBenchmarks(t *testing.T) {
	if os.Getenv(servesBenchmarks) == "" {
		t.Skip("for benchmarks")
	}
	page := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	answers := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, text)
			silent(c)
		}
	}
	for _, at := range []netip.AddrPort{
		serve(t, func(net.Conn) {}), serve(t, answers("PONG\r\n")), serve(t, answers(page)), serveGRPC(t, nil),
		answerUDP(t, func(asked string) []byte { return []byte(asked) }),
	} {
		fmt.Println(at)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// endpoints starts the other process and returns its addresses.
func endpoints(b *testing.B) (all []netip.AddrPort) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeBenchmarks$")
	cmd.Env = append(os.Environ(), servesBenchmarks+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for range benchmarks {
		if !lines.Scan() {
			b.Fatal("the other process doesn't serve")
		}
		all = append(all, netip.MustParseAddrPort(lines.Text()))
	}
	return all
}

// cpu returns what this process has used of the processors, in the kernel too.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheck is one check after the other. checks/cpu-s is how many a processor does in a second.
func BenchmarkCheck(b *testing.B) {
	all := endpoints(b)
	for i, bench := range benchmarks {
		b.Run(bench.name, func(b *testing.B) {
			check := mustNew(b, bench.options)
			b.ReportAllocs()
			used := cpu()
			for b.Loop() {
				if err := check.Run(b.Context(), all[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/(cpu()-used).Seconds(), "checks/cpu-s")
		})
	}
}

// BenchmarkTargets is a Runner with 10,000 targets that are checked each two seconds; the checks of "none" do nothing. cores is how
// much of a processor that takes.
func BenchmarkTargets(b *testing.B) {
	const targets, interval = 10_000, 2 * time.Second
	all := endpoints(b)
	checks := map[string]Check{"none": well}
	at := map[string]netip.AddrPort{}
	names := []string{"none"}
	for i, bench := range benchmarks {
		names = append(names, bench.name)
		checks[bench.name], at[bench.name] = mustNew(b, bench.options), all[i]
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			r := NewRunner(RunnerOptions{})
			defer r.Close()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan struct{})
			report := func(err error, _ time.Duration) time.Duration {
				if err != nil {
					b.Error(err)
				}
				if left.Add(-1) == 0 {
					close(done)
				}
				return interval
			}
			start, used := time.Now(), cpu()
			for range targets {
				r.Add(&Target{Check: checks[name], Address: at[name], Timeout: safety, Report: report}, rand.N(interval))
			}
			<-done
			spent, took := cpu()-used, time.Since(start)
			b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-us/op")
			b.ReportMetric(spent.Seconds()/took.Seconds(), "cores")
			b.ReportMetric(float64(r.Stats().Late), "late")
		})
	}
}
