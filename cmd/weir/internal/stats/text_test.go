package stats

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"weir/l4"
)

func TestTextGolden(t *testing.T) {
	quiet := newScene(t)
	busy := newScene(t)
	busy.busy(t)
	busy.view.Reloads.Failed, busy.view.Reloads.LastError = 1, "weir.toml:12: listeners.web.bnd: unknown key; did you mean bind?\nweir.toml:14: second"
	for path, s := range map[string]*scene{"testdata/quiet.txt": quiet, "testdata/busy.txt": busy} {
		var b bytes.Buffer
		if err := WriteText(&b, s.report()); err != nil {
			t.Fatal(err)
		}
		golden(t, path, b.Bytes())
	}
}

func TestHuman(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{humanCount(0), "0"}, {humanCount(999), "999"}, {humanCount(1000), "1,000"}, {humanCount(math.MaxUint64), "18,446,744,073,709,551,615"},
		{shortCount(99_999), "99,999"}, {shortCount(100_000), "100k"}, {shortCount(999_499), "999k"}, {shortCount(999_999), "1.00M"},
		{shortCount(12_345_678), "12.3M"}, {shortCount(math.MaxUint64), "18.4E"},
		{humanActive(-1), "0"}, {shortLimit(0), "-"}, {shortLimit(500), "500"},
		{humanRate(0), "0"}, {humanRate(0.01), "<0.1"}, {humanRate(4.25), "4.2"}, {humanRate(99.94), "99.9"}, {humanRate(99.96), "100"}, {humanRate(1_234_567), "1.23M"},
		{humanBytes(0), "0"}, {humanBytes(999), "999 B"}, {humanBytes(1023.6), "1.00 KiB"}, {humanBytes(1234), "1.21 KiB"}, {humanBytes(300 << 20), "300 MiB"},
		{humanBytes(1023 << 10), "1023 KiB"}, {humanBytes(1 << 62), "4.00 EiB"},
		{humanSeconds(0), "0"}, {humanSeconds(16e-6), "16us"}, {humanSeconds(999.6e-6), "1.0ms"}, {humanSeconds(1.024e-3), "1.0ms"}, {humanSeconds(0.25), "250ms"},
		{humanSeconds(0.9996), "1.0s"}, {humanSeconds(2.1), "2.1s"}, {humanSeconds(59.96), "1m"}, {humanSeconds(200), "3m20s"}, {humanSeconds(7200), "2h"},
		{humanSeconds(18_600), "5h10m"}, {humanSeconds(273_600), "3d4h"},
		{printable("a\x1b[31mb\nc"), "a [31mb c"}, {printable("ключ"), "ключ"},
		{firstLine("one\n"), "one"}, {firstLine("one\ntwo\nthree\n"), "one (and 2 more)"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestAttention(t *testing.T) {
	endpoint := func(e EndpointReport) *Report {
		return &Report{Clusters: []ClusterReport{{Name: "c", InUse: 1, Endpoints: []EndpointReport{e}}}}
	}
	udpListener := func(l ListenerReport) *Report {
		l.Name, l.Protocol = "u", protocolUDP
		return &Report{Listeners: []ListenerReport{l}}
	}
	ready := EndpointReport{State: "ready", Weight: 1, InUse: true, name: "a"}
	failing, full := ready, ready
	failing.FailureRate, failing.ConnectFailures.TimedOut = 2, 7
	full.Connections = Connections{Active: 90, Max: 100}
	for name, c := range map[string]struct {
		report *Report
		want   string // in the first line; "" = nothing stands out
	}{
		"nothing":              {report: endpoint(ready)},
		"draining":             {report: &Report{Process: Process{Draining: true, Connections: Connections{Active: 5}}}, want: "5 are left"},
		"failed reload":        {report: &Report{Time: now, Process: Process{Reloads: ReloadsReport{Last: now.Add(-time.Minute), LastError: "bad"}}}, want: "1m ago failed: bad"},
		"old failed reload":    {report: &Report{Process: Process{Reloads: ReloadsReport{Failed: 1}}}},
		"no endpoint":          {report: &Report{Clusters: []ClusterReport{{Name: "c"}}}, want: "cluster c has no endpoint"},
		"failing":              {report: endpoint(failing), want: "cluster c: a: 2.0 connects/s fail; since start 0 refused, 7 timed out"},
		"endpoint nearly full": {report: endpoint(full), want: "cluster c: a: 90 of its 100"},
		"pausing":              {report: &Report{Listeners: []ListenerReport{{Name: "l", AcceptPauses: AcceptPauses{PerSecond: 20}}}}, want: "accepting pauses 20.0 times"},
		"listener full":        {report: &Report{Listeners: []ListenerReport{{Name: "l", Connections: Connections{Active: 10, Max: 10}}}}, want: "10 of its 10"},
		"dropping": {report: udpListener(ListenerReport{DroppedRate: 12, RefusedRate: 12, dropRates: [l4.NumDrops]float64{l4.DropMaxFlows: 9, l4.DropHeld: 3}}),
			want: "listener u: 12.0 datagrams/s are dropped, 9.0 of them for max_flows: raise udp.max_flows"},
		"overflowing": {report: udpListener(ListenerReport{DroppedRate: 2, dropRates: [l4.NumDrops]float64{l4.DropReceiveOverflow: 2}}),
			want: "2.0 of them for receive_overflow: raise udp.receive_buffer"},
		"sending too fast": {report: udpListener(ListenerReport{DroppedRate: 2, dropRates: [l4.NumDrops]float64{l4.DropBufferFull: 2}}),
			want: "2.0 of them for buffer_full: raise udp.send_buffer"},
		"unreachable": {report: udpListener(ListenerReport{DroppedRate: 2, dropRates: [l4.NumDrops]float64{l4.DropUnreachable: 2}}),
			want: "2.0 of them for unreachable"},
		"dropped once":     {report: udpListener(ListenerReport{Refused: 7, Dropped: map[string]uint64{"max_flows": 7}})},
		"flows full":       {report: udpListener(ListenerReport{Connections: Connections{Active: 95, Max: 100}}), want: "listener u: 95 of its 100 flows are taken: above that udp.max_flows"},
		"process full":     {report: &Report{Process: Process{Connections: Connections{Active: 95, Max: 100}}}, want: "95 of the process's 100"},
		"process has room": {report: &Report{Process: Process{Connections: Connections{Active: 89, Max: 100}}}},
		"descriptors":      {report: &Report{Process: Process{Descriptors: Descriptors{Open: 95, Limit: 100}}}, want: "95 of 100 descriptors"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(attention(c.report), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q in it", got, c.want)
			}
		})
	}
}

// TestManyEndpoints holds that a page for people stays one, and still shows what is wrong.
func TestManyEndpoints(t *testing.T) {
	c := ClusterReport{Name: "many", InUse: 9_999}
	for i := range 10_000 {
		c.Endpoints = append(c.Endpoints, EndpointReport{State: "ready", Weight: 1, InUse: true, name: fmt.Sprintf("e%d", i)})
	}
	c.Endpoints[7777].State = "maint"
	for i := 8000; i < 8030; i++ {
		c.Endpoints[i].FailureRate = 1
	}
	var b bytes.Buffer
	if err := WriteText(&b, &Report{Clusters: []ClusterReport{c}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n  e0 ", "\n  e7777 ", "\n  e8029 ", "and 9,950 more", "and 11 more"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if lines := strings.Count(b.String(), "\n"); lines > 150 {
		t.Errorf("%d lines", lines)
	}
}
