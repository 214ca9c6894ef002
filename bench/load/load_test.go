package load_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/bench/load"
)

// A loop in a raw wait keeps its processor: there must be some to spare for the
// rest of the test.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(8)
	os.Exit(m.Run())
}

func Example() {
	b, err := load.NewBackend("")
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- b.Run() }()
	r, err := load.RTT{Addr: b.Addrs().Echo, Conns: 4, Total: 100}.Run()
	fmt.Println(r.Work, r.Units, err)
	b.Stop()
	fmt.Println(<-ended)
	b.Close()
	// Output:
	// rtt 100 <nil>
	// <nil>
}

// backend serves for the length of a test.
func backend(t *testing.T) load.Services {
	t.Helper()
	b, err := load.NewBackend("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run() }()
	t.Cleanup(func() {
		b.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		b.Close()
	})
	return b.Addrs()
}

type generator interface{ Run() (load.Result, error) }

func TestWorkIsDone(t *testing.T) {
	at := backend(t)
	for _, c := range []struct {
		name string
		work generator
		want int64
	}{
		{"one connection", load.RTT{Addr: at.Echo, Conns: 1, Total: 20}, 20},
		{"more connections than round trips", load.RTT{Addr: at.Echo, Conns: 30, Total: 7}, 7},
		{"smallest message", load.RTT{Addr: at.Echo, Size: 8, Total: 200}, 200},
		{"message larger than a socket buffer", load.RTT{Addr: at.Echo, Conns: 2, Size: 9 << 20, Total: 4}, 4},
		{"down", load.Bulk{Addr: at.Bulk, Bytes: 3_000_001}, 3_000_001},
		{"up", load.Bulk{Addr: at.Bulk, Bytes: 3_000_001, Up: true}, 3_000_001},
		{"both ways", load.Bulk{Addr: at.Bulk, Bytes: 3_000_001, Both: true}, 6_000_002},
		{"fewer bytes than connections", load.Bulk{Addr: at.Bulk, Bytes: 3, Conns: 5, Both: true}, 6},
		{"connections", load.Conn{Addr: at.Once, Conns: 8, Total: 100}, 100},
		{"connections from many sources", load.Conn{Addr: at.Once, Conns: 8, Total: 100, Sources: 5}, 100},
		{"more slots than connections", load.Conn{Addr: at.Once, Conns: 9, Total: 3}, 3},
		{"idle", load.Idle{Addr: at.Echo, Conns: 50}, 50},
		{"open", load.Open{Addr: at.Echo, Rate: 2000, Duration: 100 * time.Millisecond}, 200},
		{"open, large messages", load.Open{Addr: at.Echo, Conns: 3, Size: 100_000, Rate: 1000, Duration: 50 * time.Millisecond}, 50},
		{"open, a number of messages", load.Open{Addr: at.Echo, Rate: 2000, Total: 33}, 33},
		{"mix", load.Mix{Addr: at.Mix, Bytes: 20_000_001}, 20_000_001},
		{"mix, large messages", load.Mix{Addr: at.Mix, Bytes: 3_000_000, BulkConns: 3, Conns: 2, Size: 100_000}, 3_000_000},
		{"UDP", load.UDPRTT{Addr: at.UDPEcho, Total: 300}, 300},
		{"UDP, smallest datagram", load.UDPRTT{Addr: at.UDPEcho, Conns: 2, Size: 8, Total: 100}, 100},
		{"UDP, largest datagram", load.UDPRTT{Addr: at.UDPEcho, Conns: 2, Size: 65507, Total: 20}, 20},
		{"UDP, more sockets than round trips", load.UDPRTT{Addr: at.UDPEcho, Conns: 9, Total: 3}, 3},
		{"UDP, a new port each", load.UDPRTT{Addr: at.UDPEcho, Conns: 8, Reuse: 1, Total: 300}, 300},
		{"UDP, a new port for three", load.UDPRTT{Addr: at.UDPEcho, Conns: 8, Reuse: 3, Total: 300}, 300},
		{"UDP open", load.UDPOpen{Addr: at.UDPEcho, Rate: 2000, Duration: 100 * time.Millisecond}, 200},
		{"UDP open, largest datagram", load.UDPOpen{Addr: at.UDPEcho, Conns: 3, Size: 65507, Rate: 1000, Total: 30}, 30},
		{"UDP open, smallest datagram", load.UDPOpen{Addr: at.UDPEcho, Conns: 1, Size: 16, Rate: 2000, Total: 33}, 33},
		{"UDP idle", load.UDPIdle{Addr: at.UDPName, Conns: 50}, 50},
		{"UDP flood", load.UDPFlood{Addr: at.UDPEcho, Total: 5000}, 5000},
		{"UDP flood, large window", load.UDPFlood{Addr: at.UDPEcho, Flows: 1, Window: 1024, Total: 20_000}, 20_000},
		{"UDP flood, more flows than datagrams", load.UDPFlood{Addr: at.UDPEcho, Flows: 5, Total: 3}, 3},
		{"UDP flood, largest datagram", load.UDPFlood{Addr: at.UDPEcho, Flows: 1, Window: 3, Size: 65507, Total: 20}, 20},
		{"UDP bulk", load.UDPBulk{Addr: at.UDPBulk, Bytes: 12_000_000}, 12_000_000},
		{"UDP bulk, many flows", load.UDPBulk{Addr: at.UDPBulk, Flows: 7, Bytes: 1_200_000}, 1_200_000},
		{"UDP bulk, more flows than datagrams", load.UDPBulk{Addr: at.UDPBulk, Flows: 4, Bytes: 1}, 1200},
		{"UDP bulk, largest batch", load.UDPBulk{Addr: at.UDPBulk, Size: 1023, Segments: 64, Window: 4, Bytes: 10_230_000}, 10_230_000},
		{"UDP bulk, smallest datagram", load.UDPBulk{Addr: at.UDPBulk, Size: 32, Segments: 3, Bytes: 32_000}, 32_000},
		{"UDP bulk, largest datagram", load.UDPBulk{Addr: at.UDPBulk, Size: 65507, Segments: 1, Bytes: 655_070}, 655_070},
		{"DNS", load.DNS{Addr: at.DNS, Reuse: 1, Total: 300}, 300},
		{"DNS, the same ports", load.DNS{Addr: at.DNS, Total: 300}, 300},
		{"DNS, more than there are IDs", load.DNS{Addr: at.DNS, Conns: 1, Total: 70_000}, 70_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := c.work.Run()
			if err != nil {
				t.Fatal(err)
			}
			if r.Units != c.want {
				t.Errorf("units %d, want %d", r.Units, c.want)
			}
			if r.Resets != 0 {
				t.Errorf("%d resets", r.Resets)
			}
			if r.Lost != 0 || r.Reordered != 0 {
				t.Errorf("%d lost, %d reordered", r.Lost, r.Reordered)
			}
		})
	}
}

func TestOpenRecordsEveryMessage(t *testing.T) {
	r, err := load.Open{Addr: backend(t).Echo, Conns: 2, Rate: 1000, Duration: 20 * time.Millisecond}.Run()
	if err != nil {
		t.Fatal(err)
	}
	l := r.LatencyUS
	if l == nil || r.SendLagUS == nil || l.Max <= 0 || l.P50 > l.P99 || l.P99 > l.Max {
		t.Fatalf("latency %+v, lag %+v", l, r.SendLagUS)
	}
	if len(r.Curve) == 0 || r.Curve[len(r.Curve)-1].US != l.Max {
		t.Errorf("curve %v, want its last point at %g us", r.Curve, l.Max)
	}
}

func TestUDPOpenRecordsEveryDatagram(t *testing.T) {
	r, err := load.UDPOpen{Addr: backend(t).UDPEcho, Conns: 2, Rate: 1000, Duration: 20 * time.Millisecond}.Run()
	if err != nil {
		t.Fatal(err)
	}
	l := r.LatencyUS
	if l == nil || r.SendLagUS == nil || l.Max <= 0 || l.P50 > l.P99 || l.P99 > l.Max || r.Curve[len(r.Curve)-1].US != l.Max {
		t.Fatalf("latency %+v, lag %+v, curve %v", l, r.SendLagUS, r.Curve)
	}
}

func TestMixRecordsBothKinds(t *testing.T) {
	r, err := load.Mix{Addr: backend(t).Mix, Bytes: 30_000_000, Rate: 5000}.Run()
	if err != nil {
		t.Fatal(err)
	}
	if r.Messages == 0 || r.LatencyUS == nil || r.LatencyUS.Max <= 0 || r.SendLagUS == nil || len(r.Curve) == 0 {
		t.Fatalf("%+v", r)
	}
}

func TestOptionsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		work generator
		want string
	}{
		{"no address", load.RTT{}, `address ""`},
		{"a name for an address", load.RTT{Addr: "localhost:1"}, "want IPv4:PORT"},
		{"message too small for a stamp", load.RTT{Addr: "127.0.0.1:1", Size: 4}, "size 4"},
		{"negative bytes", load.Bulk{Addr: "127.0.0.1:1", Bytes: -1}, "bytes -1"},
		{"too many sources", load.Conn{Addr: "127.0.0.1:1", Sources: 251}, "sources 251"},
		{"negative connections", load.Idle{Addr: "127.0.0.1:1", Conns: -1}, "conns -1"},
		{"negative rate", load.Open{Addr: "127.0.0.1:1", Rate: -1}, "rate -1"},
		{"negative number of messages", load.Open{Addr: "127.0.0.1:1", Total: -1}, "total -1"},
		{"negative bulk", load.Mix{Addr: "127.0.0.1:1", Bytes: -1}, "bytes -1"},
		{"datagram too small for a stamp", load.UDPRTT{Addr: "127.0.0.1:1", Size: 7}, "size 7"},
		{"datagram larger than one can be", load.UDPRTT{Addr: "127.0.0.1:1", Size: 65508}, "size 65508"},
		{"more loss than all", load.UDPRTT{Addr: "127.0.0.1:1", Tolerance: load.Tolerance{Loss: 1.5}}, "loss 1.5"},
		{"negative reuse of a port", load.UDPRTT{Addr: "127.0.0.1:1", Reuse: -1}, "reuse -1"},
		{"negative rate of datagrams", load.UDPOpen{Addr: "127.0.0.1:1", Rate: -1}, "rate -1"},
		{"scheduled datagram too small", load.UDPOpen{Addr: "127.0.0.1:1", Size: 15}, "size 15"},
		{"scheduled datagram too large", load.UDPOpen{Addr: "127.0.0.1:1", Size: 65508}, "size 65508"},
		{"negative flows", load.UDPIdle{Addr: "127.0.0.1:1", Conns: -1}, "conns -1"},
		{"no address of flows", load.UDPIdle{}, `address ""`},
		{"window too large", load.UDPFlood{Addr: "127.0.0.1:1", Window: 1025}, "window 1025"},
		{"reordering of less than none", load.UDPFlood{Addr: "127.0.0.1:1", Reorder: -1}, "reorder -1"},
		{"batch larger than a datagram", load.UDPBulk{Addr: "127.0.0.1:1", Segments: 60}, "segments 60"},
		{"too many segments", load.UDPBulk{Addr: "127.0.0.1:1", Size: 100, Segments: 65}, "segments 65"},
		{"negative reuse", load.DNS{Addr: "127.0.0.1:1", Reuse: -1}, "reuse -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.work.Run(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestBackendRefusesHost(t *testing.T) {
	if b, err := load.NewBackend("nowhere"); err == nil {
		b.Close()
		t.Fatal("no error")
	}
}

func TestGateOrder(t *testing.T) {
	at := backend(t)
	var said bytes.Buffer
	// The word to go is there only once "ready" was written.
	r := load.RTT{Addr: at.Echo, Conns: 1, Total: 5, Gate: load.Gate{
		Ready: &said,
		Go:    readFunc(func(p []byte) (int, error) { p[0] = '\n'; said.WriteString("go\n"); return 1, nil }),
		Done:  func(r load.Result) { fmt.Fprintln(&said, "done", r.Units) },
	}}
	if _, err := r.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := said.String(), "ready\ngo\ndone 5\n"; got != want {
		t.Fatalf("said %q, want %q", got, want)
	}
}

func TestGateThatCloses(t *testing.T) {
	_, err := load.RTT{Addr: backend(t).Echo, Total: 5, Gate: load.Gate{Go: strings.NewReader("")}}.Run()
	if err == nil || !strings.Contains(err.Error(), "gate") {
		t.Fatalf("error %v", err)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A backend that goes away while connections are held is noticed.
func TestIdleNoticesLoss(t *testing.T) {
	b, err := load.NewBackend("")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run() }()
	_, err = load.Idle{Addr: b.Addrs().Echo, Conns: 3, Gate: load.Gate{Go: readFunc(func(p []byte) (int, error) {
		b.Stop()
		<-ended
		b.Close()
		p[0] = '\n'
		return 1, nil
	})}}.Run()
	if !errors.Is(err, load.ErrCorrupt) {
		t.Fatalf("error %v", err)
	}
}
