package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
)

// iperf3 connects over TCP, then sends over UDP to the same port. At a modest rate nothing is lost, in either direction, in four streams, of
// small datagrams and of the largest that there are.
func TestIperf(t *testing.T) {
	path := need(t, "iperf3")
	_, server := serveAt(t, "tcp", syscall.SIGTERM, func(host, port string) *exec.Cmd {
		return command(t, path, "-s", "-B", host, "-p", port)
	})
	addr := freePort(t)
	w := weir(t, bothOf(addr, server))
	host, port := split(t, addr)
	for _, size := range []int{64, 1200, 16_000, 65_507} {
		for _, reverse := range []bool{false, true} {
			rate := min(size*8*2000, 20_000_000) // bits a second of each stream
			args := []string{
				"-c", host, "-p", port, "-u", "-P", "4", "-J", "-w", "4M",
				"-l", fmt.Sprint(size), "-b", fmt.Sprint(rate), "-n", fmt.Sprint(rate / 8 * 2), // half a second of four streams
			}
			if reverse {
				args = append(args, "-R")
			}
			var said output
			cmd := command(t, path, args...)
			cmd.Stdout = &said // warnings go elsewhere
			run(t, cmd)
			var got iperfResult
			if err := json.Unmarshal([]byte(said.String()), &got); err != nil || got.Error != "" {
				t.Fatalf("iperf3: %v %s", err, got.Error)
			}
			overtaken := 0
			for _, s := range got.End.Streams {
				overtaken += s.UDP.OutOfOrder
			}
			sum := got.End.Sum
			t.Logf("%5d bytes, reverse %5v: %d datagrams, %d lost, %d overtaken, %.0f Mbit/s", size, reverse, sum.Packets, sum.Lost, overtaken, sum.BitsPerSecond/1e6)
			if sum.Packets == 0 || sum.Lost != 0 || overtaken != 0 || len(got.End.Streams) != 4 {
				t.Errorf("%d bytes, reverse %v: of %d datagrams in %d streams %d were lost and %d overtaken",
					size, reverse, sum.Packets, len(got.End.Streams), sum.Lost, overtaken)
			}
		}
	}
	if l := w.lossless(); l.Connections.Total != 8*4 {
		t.Errorf("%d flows of %d sockets", l.Connections.Total, 8*4)
	}
}

// iperfResult is what the test reads of iperf3's JSON.
type iperfResult struct {
	Error string
	End   struct {
		Streams []struct {
			UDP struct {
				OutOfOrder int `json:"out_of_order"`
			}
		}
		Sum struct {
			Packets       int
			Lost          int     `json:"lost_packets"`
			BitsPerSecond float64 `json:"bits_per_second"`
		}
	}
}
