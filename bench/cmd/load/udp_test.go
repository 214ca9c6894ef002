package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"weir/bench/load"
)

func mixAt(s load.Services) string     { return s.Mix }
func udpEcho(s load.Services) string   { return s.UDPEcho }
func udpBulkAt(s load.Services) string { return s.UDPBulk }
func dnsAt(s load.Services) string     { return s.DNS }

// overUDP are small runs of each UDP generator. What a spoiled datagram 20 is
// must be an answer in the middle of the work.
var overUDP = []struct {
	args    string
	service func(load.Services) string
	units   int64
}{
	{"udprtt -conns 3 -n 100", udpEcho, 100},
	{"udprtt -conns 2 -size 1200 -n 100", udpEcho, 100},
	{"udprtt -conns 3 -reuse 1 -n 100", udpEcho, 100},
	{"udpopen -conns 3 -rate 2000 -n 100", udpEcho, 100},
	{"udpflood -flows 2 -window 8 -n 201", udpEcho, 201},
	{"udpflood -flows 1 -size 1400 -n 100", udpEcho, 100},
	{"udpbulk -bytes 240000", udpBulkAt, 240_000},
	{"udpbulk -flows 2 -size 999 -segments 7 -window 3 -bytes 99900", udpBulkAt, 99_900},
	{"udpbulk -segments 1 -window 1 -bytes 119999", udpBulkAt, 120_000}, // whole datagrams
	{"dns -conns 3 -n 100", dnsAt, 100},
	{"dns -conns 3 -reuse 0 -n 100", dnsAt, 100},
	{"dns -conns 2 -reuse 7 -n 100", dnsAt, 100},
	{"dns -conns 2 -reuse 0 -n 100", dnsAt, 100},
}

func TestHonestDatagrams(t *testing.T) {
	services := startBackend(t)
	for _, c := range overUDP {
		for _, path := range []struct {
			name string
			addr string
		}{
			{"direct", c.service(services)},
			{"proxy", udpProxy(t, c.service(services), whole, whole)},
		} {
			t.Run(c.args+" "+path.name, func(t *testing.T) {
				code, r, text := runLoad(t, c.args, path.addr)
				if code != 0 || r.Error != "" || r.Units != c.units || r.Lost != 0 || r.Reordered != 0 {
					t.Fatalf("exit code %d, want 0; %s, want %d units", code, text, c.units)
				}
				if r.Work != strings.Fields(c.args)[0] {
					t.Errorf("work %q", r.Work)
				}
			})
		}
	}
}

func TestSpoiledDatagramsFail(t *testing.T) {
	services := startBackend(t)
	const corrupt, lost = "data lost or altered", "datagrams lost"
	for _, spoil := range []struct {
		name string
		down mangler
		want string
	}{
		{"dropped", at(20, dropped), lost},
		{"altered", at(20, altered), corrupt},
		{"truncated", at(20, truncated), corrupt},
		{"lengthened", at(20, lengthened), corrupt},
		{"empty", at(20, emptied), corrupt},
		{"halved", at(20, halved), corrupt},
		{"doubled", at(20, twice), corrupt},
		{"first dropped", at(0, dropped), lost},
		{"first altered", at(0, altered), corrupt},
		{"nothing after a while", func(n int, b []byte) [][]byte {
			if n > 20 {
				return nil
			}
			return [][]byte{b}
		}, lost},
	} {
		for _, c := range overUDP {
			if spoil.name == "doubled" && changesPorts(c.args) {
				continue // the second one may come to a port that is closed
			}
			t.Run(c.args+" "+spoil.name, func(t *testing.T) {
				t.Parallel()
				addr := udpProxy(t, c.service(services), whole, spoil.down)
				args := c.args
				if spoil.want == lost {
					args += " -timeout 80ms" // not where an answer that is late would be taken for a lost one
				}
				code, r, text := runLoad(t, args, addr)
				if code != 1 || !strings.Contains(r.Error, spoil.want) {
					t.Fatalf("exit code %d, want 1; %s, want %q", code, text, spoil.want)
				}
			})
		}
	}
}

// changesPorts reports whether a run leaves a port once it has its answer.
func changesPorts(args string) bool {
	return strings.Contains(args, "-reuse 1") || strings.HasPrefix(args, "dns") && !strings.Contains(args, "-reuse 0")
}

// What is lost or altered on its way to the backend shows as well.
func TestSpoiledQuestionsFail(t *testing.T) {
	services := startBackend(t)
	for _, c := range []struct {
		args    string
		service func(load.Services) string
		up      mangler
		want    string
	}{
		{"udprtt -conns 2 -n 100", udpEcho, at(20, altered), "data lost or altered"},
		{"udprtt -conns 2 -n 100", udpEcho, at(20, dropped), "datagrams lost"},
		{"udprtt -reuse 1 -conns 2 -n 100", udpEcho, at(20, dropped), "datagrams lost"},
		{"udpopen -rate 2000 -n 200", udpEcho, at(20, twice), "data lost or altered"},
		{"udpopen -rate 2000 -n 200", udpEcho, at(70, dropped), "datagrams lost"},
		{"udpflood -n 200", udpEcho, at(20, twice), "data lost or altered"},
		{"udpflood -n 200", udpEcho, at(20, dropped), "datagrams lost"},
		{"udpbulk -window 1 -bytes 2400000", udpBulkAt, at(20, dropped), "datagrams lost"}, // an acknowledgement
		{"udpbulk -bytes 2400000", udpBulkAt, at(0, truncated), "datagrams lost"},
		{"dns -conns 2 -n 100", dnsAt, at(20, emptied), "datagrams lost"}, // no message: no answer
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			args := c.args
			if c.want == "datagrams lost" {
				args += " -timeout 80ms"
			}
			code, r, text := runLoad(t, args, udpProxy(t, c.service(services), c.up, whole))
			if code != 1 || !strings.Contains(r.Error, c.want) {
				t.Fatalf("exit code %d, want 1; %s, want %q", code, text, c.want)
			}
		})
	}
}

func TestReorderedDatagrams(t *testing.T) {
	services := startBackend(t)
	for _, c := range []struct {
		args    string
		service func(load.Services) string
	}{
		{"udpflood -flows 1 -n 200", udpEcho},
		{"udpopen -conns 1 -rate 20000 -n 200", udpEcho},
		{"udpbulk -bytes 240000", udpBulkAt},
	} {
		code, r, text := runLoad(t, c.args, udpProxy(t, c.service(services), whole, swap(20)))
		if code != 1 || !strings.Contains(r.Error, "datagrams reordered") {
			t.Errorf("%s: exit code %d, want 1; %s", c.args, code, text)
		}
		code, r, text = runLoad(t, c.args+" -reorder 0.01", udpProxy(t, c.service(services), whole, swap(20)))
		if code != 0 || r.Reordered != 1 || r.Lost != 0 {
			t.Errorf("%s: tolerated: exit code %d, want 0; %s", c.args, code, text)
		}
	}
}

// size is the -size of args, or udpbulk's default.
func size(args string) int64 {
	var n int64 = 1200
	if _, after, ok := strings.Cut(args, "-size "); ok {
		_, _ = fmt.Sscan(after, &n)
	}
	return n
}

// With loss tolerated the rest of the work is done, and what was lost is told.
func TestToleratedLoss(t *testing.T) {
	services := startBackend(t)
	for _, c := range overUDP {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			// 41 spares the first answers, which must come.
			code, r, text := runLoad(t, c.args+" -timeout 100ms -loss 0.2", udpProxy(t, c.service(services), whole, every(41)))
			if code != 0 || r.Lost == 0 || r.Units >= c.units || r.Units == 0 {
				t.Fatalf("exit code %d, want 0; %s", code, text)
			}
			lost := r.Lost
			if c.service(services) == services.UDPBulk {
				lost *= size(c.args)
			}
			if r.Units+lost != c.units {
				t.Errorf("%d done and %d lost, want %d in all", r.Units, lost, c.units)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	for _, c := range overUDP {
		if code, r, text := runLoad(t, c.args, "127.0.0.1:1"); code != 1 || !strings.Contains(r.Error, "refused") {
			t.Errorf("%s: exit code %d, want 1; %s", c.args, code, text)
		}
	}
}

// A path that goes silent ends the run even where any loss is tolerated.
func TestSilenceStalls(t *testing.T) {
	services := startBackend(t)
	for _, c := range overUDP {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			silent := func(n int, b []byte) [][]byte {
				if n > 5 {
					return nil
				}
				return [][]byte{b}
			}
			addr := udpProxy(t, c.service(services), whole, silent)
			code, r, text := runLoad(t, c.args+" -loss 1 -timeout 20s -stall 100ms", addr)
			if code != 1 || !strings.Contains(r.Error, "stalled") {
				t.Errorf("%s: exit code %d, want 1; %s", c.args, code, text)
			}
		})
	}
}

// Where each datagram is to be a new flow, none comes from where one came from.
func TestNewFlows(t *testing.T) {
	services := startBackend(t)
	for _, c := range []struct {
		args    string
		service string
	}{{"udprtt -reuse 1 -conns 8 -n 2000", services.UDPEcho}, {"dns -conns 8 -n 2000", services.DNS}} {
		front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		_ = front.SetReadBuffer(4 << 20)
		p := &flowCounter{front: front, seen: map[netip.AddrPort]int{}}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			p.serve(c.service)
		}()
		code, r, text := runLoad(t, c.args, front.LocalAddr().String())
		front.Close()
		<-ended
		if code != 0 || r.Units != 2000 || len(p.seen) != 2001 { // and one before the clock starts
			t.Errorf("%s: exit code %d, %s; %d flows, want 2001", c.args, code, text, len(p.seen))
		}
	}
}

// flowCounter is a proxy with one flow to the backend, a datagram at a time.
type flowCounter struct {
	front *net.UDPConn
	seen  map[netip.AddrPort]int
}

func (p *flowCounter) serve(backend string) {
	up, err := net.Dial("udp4", backend)
	if err != nil {
		return
	}
	defer up.Close()
	b := make([]byte, 2048)
	for {
		n, client, err := p.front.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		p.seen[client]++
		_, _ = up.Write(b[:n])
		if n, err = up.Read(b); err == nil {
			_, _ = p.front.WriteToUDPAddrPort(b[:n], client)
		}
	}
}

// A datagram that is lost has taken as long as it was waited for: nobody gets
// better latencies by dropping.
func TestLossIsLatency(t *testing.T) {
	services := startBackend(t)
	args := "udpopen -conns 2 -rate 2000 -n 200 -timeout 150ms -loss 0.1"
	code, r, text := runLoad(t, args, udpProxy(t, udpEcho(services), whole, at(50, dropped)))
	if code != 0 || r.Lost != 1 || r.Units != 199 || r.LatencyUS == nil || r.LatencyUS.Max < 150_000 || r.LatencyUS.P90 > 100_000 {
		t.Fatalf("exit code %d, want 0; %s, want one that took 150 ms", code, text)
	}
}

func TestIdleFlows(t *testing.T) {
	services := startBackend(t)
	const flows = 50
	// The first answers are 0 to 49, those at the end 50 to 99.
	for _, c := range []struct {
		name string
		addr string
		want string
	}{
		{"direct", services.UDPName, ""},
		{"proxy", udpProxy(t, services.UDPName, whole, whole), ""},
		{"forgetful proxy", forgetfulProxy(t, services.UDPName), "flow forgotten"},
		{"no port behind the answer", services.UDPEcho, "data lost or altered"},
		{"nobody", "127.0.0.1:1", "refused"},
		{"first answer dropped", udpProxy(t, services.UDPName, whole, at(20, dropped)), "datagrams lost"},
		{"first answer altered", udpProxy(t, services.UDPName, whole, at(20, func(b []byte) [][]byte { b[30] ^= 1; return [][]byte{b} })), "data lost or altered"},
		{"first answer doubled", udpProxy(t, services.UDPName, whole, at(20, twice)), "data lost or altered"},
		{"last answer dropped", udpProxy(t, services.UDPName, whole, at(99, dropped)), "datagrams lost"},
		{"last answer truncated", udpProxy(t, services.UDPName, whole, at(99, truncated)), "data lost or altered"},
		{"last question altered", udpProxy(t, services.UDPName, at(99, altered), whole), "data lost or altered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, r, text := runLoad(t, fmt.Sprintf("udpidle -conns %d -timeout 300ms", flows), c.addr)
			if (code == 0) != (c.want == "") || !strings.Contains(r.Error, c.want) || c.want == "" && r.Units != flows {
				t.Fatalf("exit code %d; %s, want %q", code, text, c.want)
			}
		})
	}
}
